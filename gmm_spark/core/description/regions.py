"""Regions that a mixture explains worst: where there are many more rows than it says, or many fewer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.description.expected import expect_histograms, expect_pairs
from gmm_spark.core.formatting import say_share, show_number, show_within
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import N_BINS, N_PAIR_BINS
from gmm_spark.core.portrait.portrait import Portrait

# Bins of a pair that make a block along each feature, four at a time; the outer ones stay alone.
_MERGED = 4
# Regions that one feature takes part in at most: else one bad feature would fill the list.
_OF_FEATURE = 2
# Least difference of the shares that is worth telling, and standard deviations of chance that it has to exceed.
_LEAST, _DEVIATIONS = 0.002, 4.0


@dataclass(frozen=True)
class Region:
    """A region of one or two features.

    Attributes
    ----------
    features : tuple of int
        One or two.
    names : tuple of str
    low, high : tuple of float
        Bounds along each of these; infinite if open.
    observed, expected : float
        Shares of the rows and of the mixture in the region.
    sentence : str
        The same in words.
    """

    features: tuple[int, ...]
    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    observed: float
    expected: float
    sentence: str


def find_regions(
    parameters: MixtureParameters, portrait: Portrait, most: int = 5, effective_rows: float | None = None
) -> tuple[Region, ...]:
    """Find the regions that a mixture explains worst, the worst first.

    They are blocks of four by four bins in pairs of shown features, or of single bins of a mixture's only feature. What
    counts is how many rows there are too many, or too few. Each pair gives one region at most, each feature two. If
    values are missing, shares are of the rows that have both features.

    Parameters
    ----------
    parameters : MixtureParameters
        In the table's own coordinates.
    portrait : Portrait
        Of the rows beside this mixture.
    most : int
    effective_rows : float, optional
        Rows of equal weight that would say as much; by default the number of rows.
    """
    n = portrait.rows if effective_rows is None else effective_rows
    frame = portrait.frame
    bounds = np.pad(frame.pair_edges if frame.pairs else frame.edges, ((0, 0), (1, 1)))
    bounds[:, 0], bounds[:, -1] = -np.inf, np.inf
    tables: list[tuple[tuple[int, ...], Array, Array]]
    if frame.pairs:
        cuts = np.array([0, *range(1, N_PAIR_BINS - 1, _MERGED), N_PAIR_BINS - 1])
        expected = expect_pairs(parameters, frame, portrait.observed)
        tables = [
            (pair, _merge(portrait.pair_histograms[number], cuts), _merge(expected[number], cuts))
            for number, pair in enumerate(frame.pairs)
        ]
    else:
        cuts = np.arange(N_BINS)
        tables = [((0,), portrait.histograms[0], expect_histograms(parameters, frame, portrait.observed)[0])]
    found: list[tuple[float, Region]] = []
    for features, table, share in tables:
        total = portrait.weight_sum if portrait.observed is None else float(table.sum())  # of rows that have both
        if not total > 0:
            continue
        observed, own = table / total, n * total / portrait.weight_sum
        excess = np.abs(observed - share)
        chance = np.sqrt(np.maximum(np.maximum(share, observed), 1 / own) / own)
        excess = np.where(excess > np.maximum(_LEAST, _DEVIATIONS * chance), excess, 0.0)
        # One feature has one list of regions; a pair gives its worst.
        cells = product(*(range(len(cuts)) for _ in features))
        worst = sorted(cells, key=lambda cell: -excess[cell])[: most if len(features) == 1 else 1]
        found += [
            (float(excess[cell]), _write(portrait, features, cell, cuts, bounds, observed, share))
            for cell in worst
            if excess[cell] > 0
        ]
    return _choose([one for _, one in sorted(found, key=lambda pair: -pair[0])], most)


def _merge(table: Array, cuts: NDArray[np.intp]) -> Array:
    """Add up the bins of a table of two features between cuts along each."""
    return np.asarray(np.add.reduceat(np.add.reduceat(table, cuts, axis=0), cuts, axis=1))


def _choose(regions: list[Region], most: int) -> tuple[Region, ...]:
    """Choose the first regions, so that no feature has more than its share."""
    taken: Counter[int] = Counter()
    chosen = []
    for one in regions:
        if len(one.features) == 1 or all(taken[i] < _OF_FEATURE for i in one.features):
            chosen.append(one)
            taken.update(one.features)
    return tuple(chosen[:most])


def _write(
    portrait: Portrait,
    features: tuple[int, ...],
    cell: tuple[int, ...],
    cuts: NDArray[np.intp],
    bounds: Array,
    observed: Array,
    expected: Array,
) -> Region:
    """Describe one cell of a merged table."""
    ends = np.append(cuts[1:], bounds.shape[1] - 1)
    low = tuple(float(bounds[i, int(cuts[c])]) for i, c in zip(features, cell, strict=True))
    high = tuple(float(bounds[i, int(ends[c])]) for i, c in zip(features, cell, strict=True))
    names = tuple(portrait.feature_names[i] for i in features)
    where = " and ".join(_write_interval(*one) for one in zip(names, low, high, strict=True))
    seen, said = float(observed[cell]), float(expected[cell])
    much = "more" if seen > said else "fewer"
    sentence = f"{much.capitalize()} rows than the mixture says with {where}: {say_share(seen)}, not {say_share(said)}."
    return Region(features, names, low, high, seen, said, sentence)


def _write_interval(name: str, low: float, high: float) -> str:
    """Write an interval of a feature."""
    if np.isinf(low):
        return f"{name} below {show_number(high, 3)}"
    if np.isinf(high):
        return f"{name} from {show_number(low, 3)} on"
    return f"{name} between {show_within(low, high - low)} and {show_within(high, high - low)}"
