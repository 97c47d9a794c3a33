"""One pass that draws rows by chance, and says how much of the table lies nearest to each of some sites.

Distances are taken of centred rows in units of each feature's deviation, so that a change of units draws the same
rows. A row is drawn with a chance in proportion to its weighted squared distance from the nearest site, and the
factor, expected rows over the cost of all rows, is known only when the pass is over. So every row has a key, a
uniform number divided by that distance: the rows whose keys end up below the factor are the independent draws asked
for. What a partition has added up so far bounds the factor from above and the rows that it must keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.log_prob import WORK_BYTES
from gmm_spark.core.randomness import Purpose, random_stream

_MIN_CHUNK, _MAX_CHUNK = 64, 1 << 14


@dataclass(frozen=True, eq=False)
class DrawRequest:
    """What a pass is to draw.

    Attributes
    ----------
    mean, deviation : array (d,)
        Of the table; ``deviation`` positive.
    sites : array (d, c)
        Centred and in units of the deviation.
    seed, number : int
        Of the random numbers; ``number`` tells passes of one seed apart.
    expected : float
        Rows to draw on average, each with a chance in proportion to its weighted squared distance from the nearest
        site, and of 1 at most.
    shares : array (c,), optional
        Draw the rows of each site's cell with this chance instead, if they have weight.
    """

    mean: Array
    deviation: Array
    sites: Array
    seed: int
    number: int
    expected: float = 0.0
    shares: Array | None = None

    def threshold(self, cost: float) -> float:
        """Key below which a row is drawn, where all rows together have this cost."""
        if self.shares is not None:
            return 1.0
        return self.expected / cost if cost > 0 else 0.0


@dataclass(frozen=True, eq=False)
class DrawResult:
    """What a pass, or one partition in it, has drawn.

    Attributes
    ----------
    rows : array (d, m)
        In the table's own coordinates and order.
    weight, keys : array (m,)
    cells : array (2, c)
        Of the cell of each site, that is, all rows that are nearest to it: number of rows with weight, and weight.
    cost : float
        Weighted sum of all rows' squared distances from their nearest sites.
    """

    rows: Array
    weight: Array
    keys: Array
    cells: Array
    cost: float


class Nearest:
    """The nearest site of each row, in reused buffers."""

    def __init__(self, draw: DrawRequest) -> None:
        d, c = draw.sites.shape
        self.chunk = int(np.clip(WORK_BYTES // (8 * (c + d)), _MIN_CHUNK, _MAX_CHUNK))
        self._mean, self._inverse = draw.mean[:, None], (1.0 / draw.deviation)[:, None]
        self._lengths = np.einsum("ij,ij->j", draw.sites, draw.sites)
        self._sites = np.concatenate([-2.0 * draw.sites, self._lengths[None]])
        self._scaled, self._products = np.empty((d + 1) * self.chunk), np.empty(c * self.chunk)
        # Bound of the rounding of the products below, as a share of the squared lengths.
        self._rounding = 4 * (d + 4) * np.finfo(float).eps

    def __call__(self, rows: Block) -> tuple[NDArray[np.intp], Array]:
        """Index of the nearest site and squared distance to it, (m,) each, of up to ``chunk`` rows (d, m)."""
        d, m = rows.shape
        scaled = self._scaled[: (d + 1) * m].reshape(d + 1, m)
        scaled[d], z = 1.0, scaled[:d]
        np.subtract(rows, self._mean, out=z)
        z *= self._inverse
        # |s|^2 - 2 s.z for each site s; |z|^2 is missing from all of them alike.
        products = self._products[: m * len(self._lengths)].reshape(m, -1)
        np.matmul(scaled.T, self._sites, out=products)  # (m, d + 1) @ (d + 1, c)
        nearest = products.argmin(axis=1)
        lengths = np.einsum("ij,ij->j", z, z)
        distance = products[np.arange(m), nearest] + lengths
        # A row that is a site is at distance 0, whatever rounding leaves: it is not to be drawn again.
        distance[distance <= self._rounding * (lengths + self._lengths[nearest])] = 0.0
        return nearest, distance

    def of_all(self, rows: Block) -> NDArray[np.intp]:
        """Index of the nearest site of any number of rows."""
        parts = [self(rows[:, at : at + self.chunk])[0] for at in range(0, rows.shape[1], self.chunk)]
        return np.concatenate(parts) if parts else np.empty(0, np.intp)


class DrawAccumulator:
    """Folds the blocks of one partition into what is drawn from it; holds a bounded number of rows.

    Parameters
    ----------
    draw : DrawRequest
    partition : int
        Keys its random numbers, which then follow the partition's rows.
    """

    def __init__(self, draw: DrawRequest, partition: int) -> None:
        d, c = draw.sites.shape
        self._draw = draw
        self._nearest = Nearest(draw)
        self._random = random_stream(draw.seed, Purpose.OVERSAMPLING, draw.number, partition)
        self._cells, self._cost = np.zeros((2, c)), 0.0
        # A partition's draws are `expected` on average at most: four times as many come up next to never.
        self._most = 4 * int(draw.expected) + 64
        self._kept = (np.empty((d, 0)), np.empty(0), np.empty(0))  # rows, weights, keys

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
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
            potential = self._draw.shares[nearest] * (weight > 0)
        uniform = 1.0 - self._random.random(len(weight))  # above 0, so that 0 / 0 does not arise
        with np.errstate(divide="ignore", over="ignore"):
            keys = uniform / potential
        drawn = np.flatnonzero(keys < self._draw.threshold(self._cost))
        if len(drawn):
            found = (rows[:, drawn].astype(np.float64), weight[drawn], keys[drawn])
            self._kept = _joined([self._kept, found])
            if self._draw.shares is None and len(self._kept[2]) > 2 * self._most:
                self._prune()

    def _prune(self) -> None:
        """Keep what is still below the threshold, and of too many those with the smallest keys."""
        rows, weight, keys = self._kept
        below = np.flatnonzero(keys < self._draw.threshold(self._cost))
        if self._draw.shares is None and len(below) > self._most:
            below = np.sort(below[np.argpartition(keys[below], self._most)[: self._most]])
        self._kept = (rows[:, below], weight[below], keys[below])

    def result(self) -> DrawResult:
        """What has been drawn, by what this partition knows of the cost."""
        self._prune()
        return DrawResult(*self._kept, self._cells, self._cost)


def merge_draws(draw: DrawRequest, parts: Sequence[DrawResult]) -> DrawResult:
    """Put together what the partitions have drawn, in their order, by the cost of all of them."""
    rows, weight, keys = _joined([(part.rows, part.weight, part.keys) for part in parts])
    cost = sum(part.cost for part in parts)
    below = keys < draw.threshold(cost)
    cells = np.sum([part.cells for part in parts], axis=0)
    return DrawResult(rows[:, below], weight[below], keys[below], cells, cost)


def _joined(parts: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    rows, weights, keys = zip(*parts, strict=True)
    return np.concatenate(rows, axis=1), np.concatenate(weights), np.concatenate(keys)
