"""Overreach: how much of a mixture lies beyond the least and greatest values of a table, where no row is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import count_of, say_share, show_number
from gmm_spark.core.mixture.marginals import marginal_cdf
from gmm_spark.core.mixture.parameters import MixtureParameters

# Share of the mixture beyond one end of a feature from which on it is worth a word; and expected rows there, of which
# none was seen: by chance that happens once in 22,000 times.
_LEAST, _ROWS = 0.005, 10.0
# Ends that a sentence names.
_TOLD = 4
# Standard deviations of the feature by which a value counts as beyond: as narrow as the floor are atoms at the end.
_MARGIN = 0.01


class Overreach(NamedTuple):
    """A share of a mixture beyond one end of a feature.

    Attributes
    ----------
    feature : int
    is_below : bool
        Whether it lies below the least value, or above the greatest.
    bound : float
        That value.
    share : float
    """

    feature: int
    is_below: bool
    bound: float
    share: float

    def tell(self, name: str) -> str:
        """Say where the share lies, with a name for the feature.

        Examples
        --------
        >>> Overreach(0, True, 17.0, 0.0123).tell("distance")
        '1.2 % with distance below 17, the least value of any row'
        """
        side, end = ("below", "least") if self.is_below else ("above", "greatest")
        return f"{say_share(self.share)} with {name} {side} {show_number(self.bound, 6)}, the {end} value of any row"


def find_overreach(
    parameters: MixtureParameters, low: Array, high: Array, spreads: Array, steps: Array | None, rows: float
) -> list[Overreach]:
    """Find the features of which a mixture has more beyond the rows' range than chance explains, the most first.

    The shares are exact: they are those of the components' normal distributions, and of noise. A value is beyond if it
    is so by more than half a step of the rounding, and by more than a hundredth of a standard deviation.

    Parameters
    ----------
    parameters : MixtureParameters
    low, high : array (d,)
        Least and greatest value of each feature; not finite if it has none.
    spreads : array (d,)
        Standard deviation of each feature over all rows.
    steps : array (d,), optional
        The step that the values of each feature are rounded to; 0 for none.
    rows : float
        Rows of equal weight that would say as much. A share of s is told if more than 10 rows in expectation would lie
        there, s > 10 / rows, and s > 0.005.

    Examples
    --------
    >>> mixture = MixtureParameters([1.0], [[1.0]], [1.0], "spherical")
    >>> find_overreach(mixture, np.zeros(1), np.full(1, 9.0), np.ones(1), None, 1e6)[0].tell("delay")
    '16 % with delay below 0, the least value of any row'
    """
    margin = np.maximum(_MARGIN * spreads, 0.0 if steps is None else steps / 2)
    ends = marginal_cdf(parameters, np.stack([low - margin, high + margin], axis=1))  # (d, 2)
    shares = {True: ends[:, 0], False: 1.0 - ends[:, 1]}
    least = max(_LEAST, _ROWS / rows)
    found = [
        Overreach(i, is_below, float(bounds[i]), float(shares[is_below][i]))
        for is_below, bounds in ((True, low), (False, high))
        for i in np.flatnonzero((shares[is_below] > least) & np.isfinite(bounds)).tolist()
    ]
    return sorted(found, key=lambda one: -one.share)


def tell_overreach(found: Sequence[Overreach], names: Sequence[str]) -> str:
    """Say where a mixture lies beyond the rows' range, with the names of all features; an empty text if nowhere."""
    told = [one.tell(names[one.feature]) for one in found[:_TOLD]]
    more = len(found) - len(told)
    return "; ".join([*told, *([f"and likewise at {count_of(more, 'more end')} of features"] if more else [])])
