"""Draw a sample of weighted rows: half of it in proportion to the weight, half from all rows alike.

A sample that is uniform over the rows misses the few rows that carry most of the weight. One that is drawn by weight
alone misses rows of little weight, however many they are. Here a row's share of the draw is the mean of its shares of
the weight and of the rows. In the sample a row weighs w / pi, where pi is the probability that it is drawn. So sums
over the sample are unbiased, and no row that is drawn by chance weighs more than about twice the average.

It is priority sampling (Duffield, Lund & Thorup 2007): each row gets a key, a uniform random number divided by its
share, and the n rows of the smallest keys are drawn. Given the next smallest key t, pi is min(1, t share). One pass
suffices: keys need the sums of rows and weights alone, and a bound that follows from them tells early which rows cannot
be among the n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.weight_sums import WeightSums

# Standard deviations of the number of keys below the bound, by which its mean exceeds n; and a few rows more.
_DEVIATIONS, _ROWS_MORE = 6.0, 20


@dataclass(frozen=True)
class WeightedDraw:
    """How rows are drawn from a table of more than ``n`` rows.

    Attributes
    ----------
    n : int
        Rows to draw.
    weights : WeightSums
        Of all rows, in the units of the weights that are to come.
    """

    n: int
    weights: WeightSums

    @property
    def bound(self) -> float:
        """Key that the ``n`` + 1 smallest keys are below, but for a chance of 1e-9; about ``n`` to 2 ``n`` keys are."""
        wanted = self.n + _DEVIATIONS * np.sqrt(self.n) + _ROWS_MORE
        # With the bound t, min(1, t share) keys of a row are below it on average: as many as wanted unless some rows
        # are certain. Then twice the bound is enough, since half of each share is that of an equal row.
        certain = wanted * self.shares(np.array([self.weights.largest]))[0] > 1
        return float(2 * wanted if certain else wanted)

    def shares(self, weight: Array) -> Array:
        """Return the shares (m,) of rows in the draw; over all rows they sum to 1."""
        return np.asarray(0.5 / self.weights.positive + 0.5 * (weight / self.weights.unit / self.weights.total))

    def keys(self, weight: Array, rng: np.random.Generator) -> Array:
        """Draw the keys (m,) of rows with positive weights (m,)."""
        return rng.random(len(weight)) / self.shares(weight)

    def choose(self, keys: Array, weight: Array) -> tuple[NDArray[np.intp], Array]:
        """Choose the sample.

        Parameters
        ----------
        keys, weight : array (m,)
            Of all rows whose keys are below the bound, at least.

        Returns
        -------
        chosen : array (n,) of int
            Indices of the rows, ascending.
        weight : array (n,)
            What each stands for in the sample.
        """
        if len(keys) > self.n:
            smallest = np.argpartition(keys, self.n)
            chosen, threshold = np.sort(smallest[: self.n]), float(keys[smallest[self.n]])
        else:  # practically never: each row has been drawn by itself
            chosen, threshold = np.arange(len(keys)), self.bound
        return chosen, weight[chosen] / np.minimum(threshold * self.shares(weight[chosen]), 1.0)
