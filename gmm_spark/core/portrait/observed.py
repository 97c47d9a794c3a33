"""What was observed of the rows of a portrait, if values are missing: pattern by pattern, and component by component.

A mixture that fits rows whose values are missing more often in one component than in others need not look like the
values that were observed: these are more often of the other components. So what is observed of a feature is compared
with the components as they are among the rows that have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.missing.patterns import observed_features, read_pattern, write_pattern
from gmm_spark.core.mixture.conditioning import marginal
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Observed:
    """The rows of a portrait by pattern of missingness, and the components that they belong to.

    Attributes
    ----------
    patterns : tuple of bytes, (q,)
        See :func:`.write_pattern`; without a bit that is 1 nothing is missing.
    shares : array (q, k)
        Sums of the responsibilities of each component over the rows of each pattern, by weight; noise is last.
    width : int
        Features, d.

    Raises
    ------
    ParameterError
        If the shapes do not fit together, or a sum is negative.
    """

    patterns: tuple[bytes, ...]
    shares: Array
    width: int

    def __post_init__(self) -> None:
        sizes = {len(pattern) for pattern in self.patterns}
        if self.shares.ndim != 2 or len(self.shares) != len(self.patterns) or sizes - {-(-self.width // 8)}:
            raise ParameterError(f"not patterns of {self.width} features: {len(self.patterns)}, {self.shares.shape}")
        if not ((self.shares >= 0) & (self.shares < np.inf)).all():
            raise ParameterError("sums of responsibilities by pattern must be finite, and 0 or more")

    @cached_property
    def has(self) -> NDArray[np.bool_]:
        """Whether the rows of a pattern have a feature, (q, d)."""
        found = [~read_pattern(pattern, self.width) for pattern in self.patterns]
        return np.array(found, bool).reshape(len(self.patterns), self.width)

    @property
    def weights(self) -> Array:
        """Sum of the weights of the rows of each pattern, (q,)."""
        return np.asarray(self.shares.sum(axis=1))

    @property
    def missing(self) -> Array:
        """Share of the rows, by weight, in which each feature is missing, (d,)."""
        return np.asarray(self.weights @ ~self.has / self.weights.sum())

    @property
    def incomplete(self) -> float:
        """Share of the rows, by weight, that have missing values."""
        return float(self.weights[~self.has.all(axis=1)].sum() / self.weights.sum())

    def weigh_classes(self, features: Sequence[int]) -> Array:
        """Return the shares of the components among the rows that have all of some features, (k,).

        NaN if no row has them.
        """
        found = self.shares[self.has[:, list(features)].all(axis=1)].sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(found / found.sum())

    def to_dict(self) -> dict[str, Any]:
        """Write as plain lists, ready for JSON: of each pattern the indices of the missing features."""
        return {"missing": [np.flatnonzero(~one).tolist() for one in self.has], "shares": self.shares.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], width: int) -> Observed:
        """Read what :meth:`to_dict` wrote; raises KeyError, TypeError, ValueError or ParameterError if it is not."""
        missing = np.zeros((len(values["missing"]), width), bool)
        for own, indices in zip(missing, values["missing"], strict=True):
            if not all(type(i) is int and 0 <= i < width for i in indices):
                raise ValueError(f"of {width} features {str(indices)[:300]} are missing")
            own[indices] = True
        return cls(tuple(write_pattern(one) for one in missing), np.array(values["shares"], np.float64), width)


def find_ceiling(parameters: MixtureParameters, patterns: Sequence[bytes]) -> float:
    """Find a log-density, nats, that what was observed of no row of some patterns exceeds."""
    found = []
    for pattern in patterns:
        observed = observed_features(pattern, parameters.n_features)
        whole = len(observed) == parameters.n_features
        some = parameters if whole else marginal(parameters, observed.tolist())
        found.append(np.logaddexp.reduce(some.log_normalisers))
        if some.noise is not None:
            found[-1] = np.logaddexp(found[-1], some.noise.log_height)
    return float(max(found))
