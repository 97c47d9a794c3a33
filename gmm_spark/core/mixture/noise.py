"""The noise component: one constant density over a box, for rows that belong to no Gaussian (Banfield & Raftery 1993).

Only its weight is estimated. The box is that of the table: from the least to the greatest value of each feature. Values
that are rounded to a step stand for all values within half a step, so the box is wider by a step there: over whole
numbers the probabilities of noise then sum to 1, as those of a Gaussian do. mclust may also take a box along the
principal axes if it is smaller; this one has bounds that people can read, and it needs no second look at the rows.

Beyond the box the density stays what it is inside, as in mclust. A row there is farther off than any training row, so
it is noise sooner than a member of a component a thousand deviations away. The price: rows beyond the box count as if
it had been made for them too. Of training rows there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.errors import DegenerateComponentError, ParameterError

# The least weight that an M step gives: from there noise comes back in a few steps if rows ask for it later, and it
# moves no likelihood that anybody could measure.
LEAST_WEIGHT = 1e-12
# Weight in a start. Greater weights take rows from components that have not found theirs yet.
INITIAL_WEIGHT = 0.05


@dataclass(frozen=True, eq=False, init=False)
class Noise:
    """A component of constant density over a box.

    Parameters
    ----------
    weight : float
        Its mixing weight, above 0 and below 1. Those of the Gaussians sum to the rest.
    low, high : array (d,)
        Bounds of the box along each feature, low < high.

    Raises
    ------
    ParameterError
        If a bound or the weight cannot be that.

    Examples
    --------
    >>> noise = Noise(0.1, [0.0, -1.0], [2.0, 1.0])
    >>> round(noise.log_density, 6), round(noise.log_height, 6)  # of a volume of 4
    (-1.386294, -3.688879)
    """

    weight: float
    low: Array
    high: Array

    def __init__(self, weight: float, low: ArrayLike, high: ArrayLike) -> None:
        object.__setattr__(self, "weight", _to_weight(weight))
        for name, values in (("low", low), ("high", high)):
            bound = np.array(values, dtype=np.float64)
            bound.setflags(write=False)
            object.__setattr__(self, name, bound)
        with np.errstate(over="ignore", invalid="ignore"):
            width = self.high - self.low if self.low.shape == self.high.shape else np.full(1, np.nan)
        if self.low.ndim != 1 or not self.low.size or not ((width > 0) & np.isfinite(width)).all():
            raise ParameterError(
                f"noise has a box from {_show(self.low)} to {_show(self.high)}; need two finite numbers for each "
                "feature, the first below the second"
            )

    @cached_property
    def log_density(self) -> float:
        """Log of its density, nats: the negative log volume of the box."""
        return -float(np.log(self.high - self.low).sum())

    @property
    def log_height(self) -> float:
        """Log of weight times density, nats."""
        return float(np.log(self.weight)) + self.log_density

    def with_weight(self, weight: float) -> Noise:
        """Return the same box with another weight."""
        return Noise(weight, self.low, self.high)

    def shifted(self, offset: Array) -> Noise:
        """Return noise whose box is moved by ``offset`` (d,)."""
        return Noise(self.weight, self.low + offset, self.high + offset)

    def of_features(self, features: Sequence[int] | NDArray[np.intp]) -> Noise:
        """Return the noise of some features, whatever the others are: constant over the box of these."""
        kept = np.asarray(features, dtype=np.intp)
        return Noise(self.weight, self.low[kept], self.high[kept])

    def to_dict(self) -> dict[str, Any]:
        """Write as plain numbers and lists, ready for JSON."""
        return {"weight": self.weight, "low": self.low.tolist(), "high": self.high.tolist()}

    @classmethod
    def from_dict(cls, values: Any) -> Noise:
        """Read what :meth:`to_dict` wrote; raises ParameterError if it cannot be noise."""
        if not isinstance(values, Mapping) or set(values) != {"weight", "low", "high"}:
            keys = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
            raise ParameterError(f"noise has the keys {keys}; need weight, low and high")
        try:
            return cls(values["weight"], values["low"], values["high"])
        except (TypeError, ValueError) as error:
            raise ParameterError(f"noise is not made of numbers: {error}") from error


def enclose(extent: Array, step: Array, weight: float = INITIAL_WEIGHT) -> Noise:
    """Make noise over the box of a table.

    Parameters
    ----------
    extent : array (2, d)
        Least and greatest value of each feature.
    step : array (d,)
        The step that values are rounded to; 0 for none.
    weight : float

    Raises
    ------
    ParameterError
        If a feature is constant: a box of no width has no density.
    """
    low, high = extent
    constant = np.flatnonzero(~(high > low))
    if len(constant):
        raise ParameterError(
            f"noise needs features that vary, and {len(constant)} of {len(low)} have one value in all rows; drop them"
        )
    return Noise(weight, low - step / 2, high + step / 2)


def refuse_noise(noise: Noise | None, target: str) -> None:
    """Refuse to write a mixture with noise to a target that cannot hold it; raises ParameterError."""
    if noise is not None:
        raise ParameterError(
            f"the mixture has a noise component, which {target} cannot hold; to leave it out, so that every row is "
            "answered by a Gaussian, convert a model made of model.parameters.without_noise()"
        )


def share_weight(weights: Array, noise_sum: float, noise: Noise | None) -> tuple[Array, Noise | None]:
    """Make weights (k,) that do not sum to 1, and that of noise if there is noise, sum to 1.

    Noise keeps a least weight, under which the others are the likeliest that remain.

    Raises
    ------
    DegenerateComponentError
        If the Gaussians have no weight at all.
    """
    total = weights.sum()
    if noise is None:
        return weights / total, None
    if not total > 0:
        raise DegenerateComponentError("noise has taken all rows: no Gaussian describes any better; set noise=False")
    share = min(max(float(noise_sum / (total + noise_sum)), LEAST_WEIGHT), 1.0 - LEAST_WEIGHT)
    return weights / total * (1.0 - share), noise.with_weight(share)


def _to_weight(weight: Any) -> float:
    try:
        found = float(weight)
    except (TypeError, ValueError):
        found = float("nan")
    if isinstance(weight, bool | str) or not 0 < found < 1:
        raise ParameterError(f"noise has weight {weight!r}; need a number above 0 and below 1")
    return found


def _show(bound: Array) -> str:
    return f"{bound.tolist()[:5]}{', ...' if bound.size > 5 else ''}" if bound.ndim == 1 else f"shape {bound.shape}"
