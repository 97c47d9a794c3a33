"""What a mixture remembers of the rows that it was fitted to: their sums, as far as its parameters do not have them.

The M step turns the sums of the last pass into weights, means and covariances, and these give the sums back: about each
component's mean, a component of weight w has the share w of the rows' total weight W, first moments of 0, and second
moments of w W times its covariance. So the total weight is all that has to be kept, and a mixture of any k and d is as
small with its memory as without. A component that was raised to the floor under variances is remembered as wide as the
floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

# Days that are remembered by name, the latest: a century of them.
_MOST_DAYS = 36_525


@dataclass(frozen=True, eq=False)
class Memory:
    """What a mixture remembers of its rows.

    Attributes
    ----------
    weight : float
        Total weight of the rows, those of earlier days at what they still weigh; with importance weights the effective
        number of rows.
    floor : array (d,)
        Least variance along each feature, in the features' squared units; 0 for none.
    weights : array (k,)
        Mixing weights when the mixture was last fitted.
    days : tuple of str
        Names of the days that it has seen, the latest last: a day is not added twice.
    shortfall, gap, strange : float or None
        How much less likely the rows of the last fit were than the mixture expects of itself, nats; the largest
        difference of the two distributions; and the share of rows below the hundredth that it expects. None until the
        first update finds them.

    Raises
    ------
    ParameterError
        If a value cannot be that.
    """

    weight: float
    floor: Array
    weights: Array
    days: tuple[str, ...] = ()
    shortfall: float | None = None
    gap: float | None = None
    strange: float | None = None

    def __post_init__(self) -> None:
        figures = [self.weight, *(one for one in (self.shortfall, self.gap, self.strange) if one is not None)]
        arrays = self.floor.ndim == self.weights.ndim == 1
        if not arrays or not np.isfinite([*figures, *self.floor, *self.weights]).all() or not self.weight > 0:
            raise ParameterError(
                "not what a mixture remembers of its rows: a weight, a floor or a share cannot be right"
            )
        if (self.floor < 0).any() or (self.weights < 0).any() or not all(type(day) is str for day in self.days):
            raise ParameterError("not what a mixture remembers of its rows: a floor, a share or a day cannot be right")

    def require_fits(self, k: int, d: int) -> None:
        """Raise ParameterError if this is the memory of a mixture of another size."""
        if (len(self.weights), len(self.floor)) != (k, d):
            raise ParameterError(
                f"a mixture of {k} components and {d} features has the memory of one of {len(self.weights)} and "
                f"{len(self.floor)}"
            )

    def add_day(self, day: str | None) -> tuple[str, ...]:
        """Return the days with another; of very many only the latest are kept."""
        return self.days if day is None else (*self.days, day)[-_MOST_DAYS:]

    def to_dict(self) -> dict[str, Any]:
        """Write as plain numbers and lists, ready for JSON; floats survive the round trip exactly."""
        return {
            "weight": self.weight,
            "floor": self.floor.tolist(),
            "weights": self.weights.tolist(),
            "days": list(self.days),
            "shortfall": self.shortfall,
            "gap": self.gap,
            "strange": self.strange,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Memory:
        """Read what :meth:`to_dict` wrote; keys that are not known are passed over.

        Raises
        ------
        ParameterError
            If it is not that.
        """
        try:
            names = ("shortfall", "gap", "strange")
            shortfall, gap, strange = (None if values[name] is None else float(values[name]) for name in names)
            floor, weights = (np.array(values[name], np.float64) for name in ("floor", "weights"))
            return cls(float(values["weight"]), floor, weights, tuple(values["days"]), shortfall, gap, strange)
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"not what a mixture remembers of its rows: {error!r}") from error


def recall(parameters: MixtureParameters, weight: float) -> SufficientStatistics:
    """Return the sums that a mixture came from, of rows of this total weight, about the components' means.

    The number of rows and the log-likelihood are not remembered: they are 0.

    Examples
    --------
    >>> mixture = MixtureParameters([0.25, 0.75], [[0.0], [4.0]], [1.0, 2.0], "spherical")
    >>> sums = recall(mixture, 100.0)
    >>> sums.resp_sum.tolist(), sums.second.round(9).tolist()
    ([25.0, 75.0], [25.0, 150.0])
    """
    resp_sum, kind = weight * parameters.weights, parameters.structure
    if kind.axis_aligned:
        second = kind.project(resp_sum[:, None] * parameters.deviations**2)
    elif kind.pooled:
        second = resp_sum.sum() * parameters.covariances
    else:
        second = resp_sum[:, None, None] * parameters.covariances
    return SufficientStatistics(
        covariance_type=parameters.covariance_type,
        reference=parameters.means,
        rows=0.0,
        weight_sum=weight,
        log_likelihood=0.0,
        resp_sum=resp_sum,
        first=np.zeros_like(parameters.means),
        second=second,
        noise_sum=0.0 if parameters.noise is None else weight * parameters.noise.weight,
    )
