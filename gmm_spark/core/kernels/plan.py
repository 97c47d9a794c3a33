"""What a pass needs to know of its candidates: their coefficients, and which kernel each component takes.

The driver makes a plan once a pass and sends it to every task. A Gaussian's log-density is linear in the quadratic
features of a row. So every component becomes a row of coefficients, and the E step of a candidate is one matrix product
over features that all candidates share.

Coordinates: candidates are in *centred* coordinates (row - center), in which EM runs so that an offset of the table
costs no digits. Kernels also divide by ``scale``, which keeps float32 in range and makes the gate independent of units.

The gate: expanding ``(z - mu)' P (z - mu)`` loses digits by cancellation if ``mu`` is far from the centre in units of
the component's own width, or if P is ill-conditioned. At a row about one deviation from the mean, the terms that cancel
are as large as ``(|mu| + sigma)' |P| (|mu| + sigma)``. Times the unit roundoff, this bounds the log-density's error.
A component above the tolerance takes the accurate kernel, which subtracts the component's own mean first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.sparse import SIFTING_COST, WORTH_SIFTING
from gmm_spark.core.mixture.covariance import CovarianceStructure
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

PRECISIONS: dict[str, type[np.floating]] = {"float64": np.float64, "float32": np.float32}

# Bound of a log-density's error, in nats, above which a component takes the accurate kernel. The largest errors of
# many rows were up to 20 times the bound.
GATE_TOLERANCE = {"float64": 1e-11, "float32": 1e-3}

# Above this many features the cross products of a row outgrow the caches, and the accurate kernel is faster: its
# triangular products need fewer operations.
MAX_EXPANDED_FEATURES = 60

# In place of log(0): finite, since BLAS may multiply it by zero.
_LOG_ZERO = -1e30


@dataclass(frozen=True, eq=False)
class Segment:
    """One candidate in a pass: its coefficients, and what the accurate kernel needs in their place."""

    structure: CovarianceStructure
    classes: slice
    """The candidate's components, noise included, among those of all candidates."""
    accurate: NDArray[np.bool_]
    """Which components take the accurate kernel, (k,)."""
    peak: float
    """Largest value that any component's weighted log-density can have, nats. Kernels return values relative to it."""
    constants: Array
    """log weight + log normalising constant - peak, (k,)."""
    means: Array
    """Scaled, (k, d)."""
    factors: Array
    """Scaled precision factors, (k, d) or (k, d, d); one alone, (d, d), if the structure shares its scatter."""
    coefficients: Array
    """Coefficients of the quadratic features that the structure needs, a prefix of all features, (k, prefix)."""
    noise: float | None = None
    """Log of weight times density of the noise component - peak; None if there is none."""

    @property
    def ceiling(self) -> float:
        """Upper bound of log p(row), nats: its value if all components had their peaks at the same row."""
        constants = self.constants if self.noise is None else np.append(self.constants, self.noise)
        return self.peak + float(np.logaddexp.reduce(constants))

    @property
    def n_components(self) -> int:
        """Number of Gaussians, k."""
        return len(self.means)

    @property
    def n_classes(self) -> int:
        """Rows of log-densities: k, and a last one if there is noise."""
        return len(self.means) + (self.noise is not None)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which components have weight, (k,)."""
        return np.asarray(self.constants > _LOG_ZERO)

    @cached_property
    def expanded(self) -> bool:
        """False if every component takes the accurate kernel, which does not need the quadratic features."""
        return not bool(self.accurate.all())

    @cached_property
    def worth_sifting(self) -> bool:
        """True if skipping negligible responsibilities pays."""
        k, features = self.coefficients.shape
        return self.expanded and self.needs_cross_products and k * (features - SIFTING_COST) >= WORTH_SIFTING

    @property
    def needs_cross_products(self) -> bool:
        """True if each component has coefficients of its own for the cross products of features."""
        return not (self.structure.axis_aligned or self.structure.shares_scatter)

    @property
    def uses_row_scatter(self) -> bool:
        """True if one scatter of rows about the centre is the second moment of all Gaussians: no accurate kernel."""
        return self.structure.shares_scatter and not bool(self.accurate.any())


@dataclass(frozen=True, eq=False)
class Plan:
    """A pass over a table for some candidates, a segment each; the coordinates are explained at the module's head."""

    center: Array
    scale: Array
    precision: str
    segments: tuple[Segment, ...]

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return len(self.center)

    @property
    def n_classes(self) -> int:
        """Number of components of all candidates together, noise included."""
        return int(self.segments[-1].classes.stop)

    @property
    def most_classes(self) -> int:
        """Number of components of the largest candidate, noise included."""
        return max(s.n_classes for s in self.segments)

    @property
    def dtype(self) -> type[np.floating]:
        """Type that the kernels compute in."""
        return PRECISIONS[self.precision]

    @property
    def n_expanded(self) -> int:
        """Number of quadratic features to compute, the longest prefix that a candidate needs."""
        return max((s.coefficients.shape[1] for s in self.segments if s.expanded), default=1 + self.n_features)

    @property
    def independent(self) -> list[list[int]]:
        """Group the candidates such that within a group no sums depend, to the bit, on which others are in it.

        Sums are added up chunk by chunk, and chunks are as long as the longest features and the largest candidate
        allow. Sifted sums are added up by windows, which end sooner if others fill them.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, s in enumerate(self.segments):
            expanded = s.coefficients.shape[1] if s.expanded else 0
            groups.setdefault((expanded, s.n_classes, i if s.worth_sifting else -1), []).append(i)
        return list(groups.values())

    def part(self, numbers: Sequence[int]) -> Plan:
        """Make the plan of some of the candidates."""
        chosen = [self.segments[i] for i in numbers]
        ends = np.cumsum([0] + [segment.n_classes for segment in chosen]).tolist()
        segments = (replace(one, classes=slice(*span)) for one, span in zip(chosen, pairwise(ends), strict=True))
        return replace(self, segments=tuple(segments))

    @property
    def n_products(self) -> int:
        """Estimate of the multiplications a row takes: a matrix product for its log-densities and one for the sums."""
        square = self.n_features**2
        matrices = sum(s.structure.shares_scatter + int(s.accurate.sum()) for s in self.segments)
        return sum(2 * s.coefficients.size for s in self.segments) + square * matrices


def plan_pass(
    candidates: Sequence[MixtureParameters],
    center: Array,
    scale: Array,
    precision: str = "float64",
) -> Plan:
    """Turn candidates into the coefficients of one pass.

    Parameters
    ----------
    candidates : sequence of MixtureParameters
        In centred coordinates; any mix of structures and k, one d.
    center : array (d,)
        Subtracted from every row.
    scale : array (d,)
        Positive; centred rows are divided by it.
    precision : {"float64", "float32"}
        Type that the kernels compute in.

    Raises
    ------
    ParameterError
        If there is no candidate, a width differs, or the precision is unknown.
    """
    d = len(center)
    if not candidates or any(c.n_features != d for c in candidates):
        raise ParameterError(f"candidates have {[c.n_features for c in candidates]} features; need {d} in each")
    if precision not in PRECISIONS:
        raise ParameterError(f"precision={precision!r}; use one of {', '.join(PRECISIONS)}")
    ends = np.cumsum([0] + [c.n_classes for c in candidates]).tolist()
    segments = tuple(
        _make_segment(candidate, slice(*span), scale, precision)
        for candidate, span in zip(candidates, pairwise(ends), strict=True)
    )
    return Plan(center, scale, precision, segments)


def bound_rounding(candidate: MixtureParameters, scale: Array, precision: str) -> Array:
    """Bound how far rounding to a precision moves rows, in the metric of each component, (k,).

    Rows are rounded after the centre is subtracted, so no kernel can avoid it. The rows are those at about one
    deviation from a component's mean, as in the gate's bound, and each feature is off by half a unit in its last place.
    A result of 0.1 is a tenth of the component's own standard deviation. Parameters are those of :func:`plan_pass`.
    """
    factors = candidate.component_cholesky * (scale if candidate.structure.axis_aligned else scale[:, None])
    form = candidate.structure.quadratic_form(candidate.means / scale, factors, candidate.deviations / scale)
    return np.asarray(0.5 * np.finfo(PRECISIONS[precision]).eps * np.sqrt(form.magnitude))


def _make_segment(candidate: MixtureParameters, classes: slice, scale: Array, precision: str) -> Segment:
    """Write one candidate in scaled coordinates, and choose each component's kernel."""
    structure = candidate.structure
    k, d = candidate.means.shape
    means = candidate.means / scale
    factors = candidate.component_cholesky * (scale if structure.axis_aligned else scale[:, None])
    peak, noise = float(candidate.log_normalisers.max()), None
    if candidate.noise is not None:
        peak = max(peak, candidate.noise.log_height)
        noise = candidate.noise.log_height - peak
    constants = np.maximum(candidate.log_normalisers - peak, _LOG_ZERO)
    linear, quadratic, magnitude = structure.quadratic_form(means, factors, candidate.deviations / scale)
    accurate = np.finfo(PRECISIONS[precision]).eps * magnitude > GATE_TOLERANCE[precision]
    if structure.shares_scatter:
        # One scatter serves all components, so they take the same kernel.
        accurate = np.full(k, accurate.any())
        factors = factors[0]
    elif not structure.axis_aligned and d > MAX_EXPANDED_FEATURES:
        accurate = np.ones(k, dtype=bool)
    expanded_constants = np.maximum(constants - 0.5 * (linear * means).sum(axis=1), _LOG_ZERO)
    coefficients = np.concatenate([expanded_constants[:, None], linear, quadratic], axis=1)
    # The accurate kernel subtracts the means as rounded to its type. Its moments are about those rounded points.
    points = means.astype(PRECISIONS[precision]).astype(np.float64)
    return Segment(structure, classes, accurate, peak, constants, points, factors, coefficients, noise)
