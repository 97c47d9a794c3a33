"""The marginals of a mixture by pattern of missingness: made when rows of a pattern come, and kept for the next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from threading import Lock
from typing import NamedTuple

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, plan_scoring
from gmm_spark.core.kernels.single_row import SingleRowKernel
from gmm_spark.core.missing.patterns import Indices, find_runs, observed_features, sort_by_pattern
from gmm_spark.core.mixture.conditioning import marginal
from gmm_spark.core.mixture.parameters import MixtureParameters

# Rows of a batch from which a pattern is taken by itself: of fewer, what is made for it costs more than it saves.
FEW = 32
# Bytes that the marginals of a mixture may take, and how many are kept whatever they take.
_KEPT_BYTES, _KEPT = 1 << 26, 16


class Marginal:
    """A mixture, looked at through the features that a pattern leaves observed: at least one.

    Parameters
    ----------
    whole : MixtureParameters
        Of all features.
    pattern : bytes
        From :func:`.write_pattern`.
    precision : {"float64", "float32"}
        Of its plan.

    Attributes
    ----------
    observed : array (g,)
        Indices of the observed features.
    """

    def __init__(self, whole: MixtureParameters, pattern: bytes, precision: str) -> None:
        self._whole, self._precision = whole, precision
        self.pattern = pattern
        self.observed: Indices = observed_features(pattern, whole.n_features)

    @property
    def is_whole(self) -> bool:
        """True if nothing is missing."""
        return len(self.observed) == self._whole.n_features

    @cached_property
    def parameters(self) -> MixtureParameters:
        """The mixture of the observed features."""
        return self._whole if self.is_whole else marginal(self._whole, self.observed.tolist())

    @cached_property
    def plan(self) -> Plan:
        """How rows of the observed features are scored."""
        return plan_scoring(self.parameters, self._precision)

    @cached_property
    def row_scorer(self) -> Scorer:
        """What scores one row of the observed features; it has no buffers, so threads share it."""
        return Scorer(self.plan, SingleRowKernel(self.plan))

    @cached_property
    def missing(self) -> Indices:
        """Indices of the missing features, (r,)."""
        return np.delete(np.arange(self._whole.n_features), self.observed)

    @cached_property
    def slopes(self) -> Array | None:
        """Each component's regression of the missing features on the observed, (k, r, g); None if uncorrelated.

        By the factors of the observed features alone, which exist for every mixture that does.
        """
        if self._whole.structure.axis_aligned:
            return None
        crossed = self._whole.dense_covariances[:, self.missing[:, None], self.observed]
        factors = self.parameters.component_cholesky
        return (crossed @ factors) @ np.swapaxes(factors, 1, 2)

    def expect(self, rows: Block, shares: Array) -> Array:
        """Compute the conditional means of the missing features, (r, n), given the observed.

        Parameters
        ----------
        rows : array (g, n)
        shares : array (n, k)
            Responsibilities of the Gaussians.
        """
        whole, missing = self._whole, self.missing
        means = whole.means[:, missing]
        expected = means.T @ shares.T
        if self.slopes is not None:
            for j, slope in enumerate(self.slopes):
                expected += shares[:, j] * (slope @ (rows - self.parameters.means[j][:, None]))
        return expected


class Marginals:
    """The marginals of one mixture, those used last; threads may share them.

    Parameters
    ----------
    parameters : MixtureParameters
    precision : {"float64", "float32"}
        Of the plans by which rows are scored.
    """

    def __init__(self, parameters: MixtureParameters, precision: str = "float64") -> None:
        self.parameters, self.precision = parameters, precision
        d = parameters.n_features
        numbers = d if parameters.structure.axis_aligned else d * d
        bytes_each = 8 * parameters.n_components * (6 * numbers + 8 * d + 64)
        self._most = max(_KEPT_BYTES // bytes_each, _KEPT)
        self._kept: OrderedDict[bytes, Marginal] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def whole(self) -> bytes:
        """The pattern of complete rows."""
        return bytes(-(-self.parameters.n_features // 8))

    def of(self, pattern: bytes) -> Marginal:
        """Return the marginal of a pattern that leaves at least one feature observed."""
        with self._lock:
            found = self._kept.pop(pattern, None)
            if found is None:
                found = Marginal(self.parameters, pattern, self.precision)
            self._kept[pattern] = found
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def __getstate__(self) -> dict[str, object]:
        """Return what pickle takes: all but what was made."""
        return {"parameters": self.parameters, "precision": self.precision}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore what was pickled; marginals are made again."""
        self.__init__(**state)  # type: ignore[misc]


class Groups(NamedTuple):
    """Rows of a batch by pattern.

    Attributes
    ----------
    common : list of (bytes, array)
        Patterns that many rows have, and the pattern of complete rows, with the places of their rows.
    few : array
        Places of the rows whose patterns few others have.
    """

    common: list[tuple[bytes, Indices]]
    few: Indices


def group_rows(rows: Block, few: int | None = None) -> Groups:
    """Group rows (d, m) with NaN for missing values; a pattern of fewer rows than ``few``, or FEW, is one of few."""
    few = FEW if few is None else few
    missing = np.isnan(rows)
    order = sort_by_pattern(missing)
    common, rare = [], []
    for run in find_runs(rows[:, order]):
        at = order[run.rows]
        if len(at) >= few or not any(run.pattern):
            common.append((run.pattern, at))
        else:
            rare.append(at)
    return Groups(common, np.concatenate(rare) if rare else np.empty(0, np.intp))


def iterate_patterns(
    marginals: Marginals, rows: Block, common: list[tuple[bytes, Indices]]
) -> Iterator[tuple[Marginal, Indices, Block]]:
    """Yield for some patterns of rows (d, m) the marginal, the rows' places (n,) and their observed values (g, n)."""
    for pattern, at in common:
        marginal = marginals.of(pattern)
        yield marginal, at, rows[:, at] if marginal.is_whole else rows[marginal.observed[:, None], at]
