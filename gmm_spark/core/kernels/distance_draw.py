"""A pass that draws rows at random, far from some sites, and counts the rows nearest to each site.

Rows are centred and divided by each feature's deviation, so that a change of units draws the same rows. A row is drawn
with a probability in proportion to its weighted squared distance from the nearest site. The factor of proportion,
expected rows / cost of all rows, is known only at the end of the pass. So every row gets a key, a uniform random number
divided by that distance. The rows whose keys are below the factor are drawn: independently, each with its probability.
During the pass, the cost of the rows so far bounds the factor from above, and so the rows that must be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.kernels.log_prob import WORK_BYTES
from gmm_spark.core.randomness import Purpose, random_stream

_MIN_CHUNK, _MAX_CHUNK = 64, 1 << 14


@dataclass(frozen=True, eq=False)
class DrawRequest:
    """The rows that a pass is to draw.

    Attributes
    ----------
    mean, deviation : array (d,)
        Mean and standard deviation of the table's features; ``deviation`` is positive.
    sites : array (d, c)
        Centred and in units of the deviation.
    seed, number : int
        Key the random numbers; ``number`` tells passes of one seed apart.
    expected : float
        Rows to draw on average, each with a probability, at most 1, in proportion to its weighted squared distance from
        the nearest site.
    shares : array (c,), optional
        Draw each row that has weight with its cell's probability instead.
    weight_shares : array (c,), optional
        To be added to that probability, times the row's weight.
    """

    mean: Array
    deviation: Array
    sites: Array
    seed: int
    number: int
    expected: float = 0.0
    shares: Array | None = None
    weight_shares: Array | None = None

    def probabilities(self, cells: NDArray[np.intp], weight: Array) -> Array:
        """Return the probabilities (m,) of rows of given cells and weights; a row is certain if it is above 1."""
        assert self.shares is not None
        found = self.shares[cells] * (weight > 0)
        return found if self.weight_shares is None else found + self.weight_shares[cells] * weight

    def threshold(self, cost: float) -> float:
        """Return the key below which a row is drawn, given the cost of all rows."""
        if self.shares is not None:
            return 1.0
        return self.expected / cost if cost > 0 else 0.0


@dataclass(frozen=True, eq=False)
class DrawResult:
    """The rows that a pass, or one partition in it, has drawn.

    Attributes
    ----------
    rows : array (d, m)
        In the table's own coordinates and order.
    weight, keys : array (m,)
        Of the drawn rows.
    cells : array (2, c)
        Number of rows that have weight, and their weight, in the cell of each site: the rows nearest to it.
    cost : float
        Weighted sum of all rows' squared distances from their nearest sites.
    """

    rows: Array
    weight: Array
    keys: Array
    cells: Array
    cost: float


class Nearest:
    """Finds the nearest site of each row, in reused buffers.

    If values are missing, the squared distance is that of the observed features, times d over their number.
    """

    def __init__(self, draw: DrawRequest) -> None:
        d, c = draw.sites.shape
        self.chunk = int(np.clip(WORK_BYTES // (8 * (c + d)), _MIN_CHUNK, _MAX_CHUNK))
        self._mean, self._inverse = draw.mean[:, None], (1.0 / draw.deviation)[:, None]
        self._lengths = np.einsum("ij,ij->j", draw.sites, draw.sites)
        self._sites = np.concatenate([-2.0 * draw.sites, self._lengths[None]])
        self._scaled, self._products = np.empty((d + 1) * self.chunk), np.empty(c * self.chunk)
        # Bound of the products' rounding, as a share of the squared lengths.
        self._rounding = 4 * (d + 4) * np.finfo(float).eps

    def __call__(self, rows: Block) -> tuple[NDArray[np.intp], Array]:
        """Return the nearest site's index and the squared distance to it, (m,) each, of up to ``chunk`` rows (d, m)."""
        d, m = rows.shape
        scaled = self._scaled[: (d + 1) * m].reshape(d + 1, m)
        scaled[d], z = 1.0, scaled[:d]
        np.subtract(rows, self._mean, out=z)
        z *= self._inverse
        products = self._products[: m * len(self._lengths)].reshape(m, -1)
        incomplete = has_missing(z)
        if incomplete:
            # Distances over what was observed: |s|^2 counts those features alone.
            observed = ~np.isnan(z)
            z[~observed] = scaled[d] = 0.0
        # |s|^2 - 2 s.z for each site s, without |z|^2, which is the same for all.
        np.matmul(scaled.T, self._sites, out=products)  # (m, d + 1) @ (d + 1, c)
        if incomplete:
            products += observed.T @ (0.25 * self._sites[:d] ** 2)
        nearest = products.argmin(axis=1)
        lengths = np.einsum("ij,ij->j", z, z)
        distance = products[np.arange(m), nearest] + lengths
        if incomplete:
            distance *= d / np.maximum(observed.sum(axis=0), 1)
        # A row that is itself a site has distance 0, not a rounding error: it must not be drawn again.
        distance[distance <= self._rounding * (lengths + self._lengths[nearest])] = 0.0
        return nearest, distance

    def of_all(self, rows: Block) -> NDArray[np.intp]:
        """Return the index of the nearest site of any number of rows."""
        parts = [self(rows[:, at : at + self.chunk])[0] for at in range(0, rows.shape[1], self.chunk)]
        return np.concatenate(parts) if parts else np.empty(0, np.intp)


class DrawAccumulator:
    """Draws rows from the blocks of one partition, and holds a bounded number of them.

    Parameters
    ----------
    draw : DrawRequest
    partition : int
        Keys the random numbers: the same partition draws the same rows.
    """

    def __init__(self, draw: DrawRequest, partition: int) -> None:
        d, c = draw.sites.shape
        self._draw = draw
        self._nearest = Nearest(draw)
        self._random = random_stream(draw.seed, Purpose.OVERSAMPLING, draw.number, partition)
        self._cells, self._cost = np.zeros((2, c)), 0.0
        # A partition draws at most `expected` rows on average, and practically never four times as many.
        self._most = 4 * int(draw.expected) + 64
        self._kept = (np.empty((d, 0)), np.empty(0), np.empty(0))  # rows, weights, keys

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Add rows (d, m), with weights (m,) if the table has them."""
        for at in range(0, rows.shape[1], self._nearest.chunk):
            part = rows[:, at : at + self._nearest.chunk]
            weight = np.ones(part.shape[1]) if sample_weight is None else sample_weight[at : at + part.shape[1]]
            self._add_chunk(part, weight)

    def _add_chunk(self, rows: Block, weight: Array) -> None:
        nearest, distance = self._nearest(rows)
        c = self._cells.shape[1]
        self._cells[0] += np.bincount(nearest, weight > 0, c)
        self._cells[1] += np.bincount(nearest, weight, c)
        potential = weight * distance
        self._cost += float(potential.sum())
        if self._draw.shares is not None:
            potential = self._draw.probabilities(nearest, weight)
        uniform = 1.0 - self._random.random(len(weight))  # above 0: no key is 0 / 0
        with np.errstate(divide="ignore", over="ignore"):
            keys = uniform / potential
        drawn = np.flatnonzero(keys < self._draw.threshold(self._cost))
        if len(drawn):
            found = (rows[:, drawn].astype(np.float64), weight[drawn], keys[drawn])
            self._kept = _concatenate([self._kept, found])
            if self._draw.shares is None and len(self._kept[2]) > 2 * self._most:
                self._prune()

    def _prune(self) -> None:
        """Keep the rows still below the threshold; if there are too many, those with the smallest keys."""
        rows, weight, keys = self._kept
        below = np.flatnonzero(keys < self._draw.threshold(self._cost))
        if self._draw.shares is None and len(below) > self._most:
            below = np.sort(below[np.argpartition(keys[below], self._most)[: self._most]])
        self._kept = (rows[:, below], weight[below], keys[below])

    def result(self) -> DrawResult:
        """Return the rows below the threshold that follows from this partition's cost."""
        self._prune()
        return DrawResult(*self._kept, self._cells, self._cost)


def merge_draws(draw: DrawRequest, parts: Sequence[DrawResult]) -> DrawResult:
    """Merge the partitions' draws, in their order, by the threshold that follows from the cost of all."""
    rows, weight, keys = _concatenate([(part.rows, part.weight, part.keys) for part in parts])
    cost = sum(part.cost for part in parts)
    below = keys < draw.threshold(cost)
    cells = np.sum([part.cells for part in parts], axis=0)
    return DrawResult(rows[:, below], weight[below], keys[below], cells, cost)


def _concatenate(parts: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    rows, weights, keys = zip(*parts, strict=True)
    return np.concatenate(rows, axis=1), np.concatenate(weights), np.concatenate(keys)
