"""Checks of numbers: digits that float32 or float64 cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.kernels.plan import bound_rounding

# Rounding of a row, in deviations of a component, from which on the component may be shaped by it.
_MATTERS = 0.01


def find_float32_risk(evidence: Evidence) -> Iterator[Finding]:
    """`precision` is "float32", which moves rows of a component by more than 1 % of its own deviation.

    The component is narrow for its distance from the table's mean. The bound is the one by which the kernels choose how
    to compute a component's densities: half a unit in the last place of a row, in the component's own metric.
    """
    if evidence.precision != "float32":
        return
    bounds = np.where(
        evidence.parameters.weights > 0, bound_rounding(evidence.parameters, evidence.moments.scale, "float32"), 0.0
    )
    j = int(np.argmax(bounds))
    if bounds[j] > _MATTERS:
        others = int((bounds > _MATTERS).sum()) - 1
        also = f", and so it is for {others} other(s)" if others else ""
        yield Finding(
            f"float32 rounds rows of component {j} by up to {bounds[j]:.2g} of its own standard deviation{also}.",
            'Set `precision` to "float64".',
            component=j,
            figures={"rounding": bounds[j], "limit": _MATTERS, "components": others + 1},
        )


def find_rounded(evidence: Evidence) -> Iterator[Finding]:
    """A bigint or decimal column has values at 2^53 or beyond, which float64 rounds.

    Values that differ little become one. Such columns are often identifiers.
    """
    for name, values in sorted(evidence.rounded.items(), key=lambda one: -one[1]):
        yield Finding(
            f"{values:,} value(s) of column {name!r} are whole numbers or decimals at 2^53 or beyond, where float64 "
            "rounds.",
            "Subtract an offset in SQL first, or drop the column from `inputCols` if it is an identifier.",
            column=name,
            figures={"values": values},
        )
