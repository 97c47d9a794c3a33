"""Draw starts from rows in memory: a bounded sample of the table.

For k-means|| the sample is one that :mod:`.kmeans_parallel` has completed by the table's rare rows.

Distances are in units of each feature's standard deviation, so a change of units changes no start. Rows and parameters
are centred at the table's mean, as in EM.

A mode draws starts of one kind or of several in turn. If all were seeds far apart, each would look where variance is,
and clusters apart along a direction of little variance would never be found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.mixture.noise import INITIAL_WEIGHT, Noise, enclose
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.directions import find_flattest, find_skewest
from gmm_spark.errors import DataError, ParameterError

Cells: TypeAlias = list[tuple[NDArray[np.intp], Array]]
"""For each component the rows that it starts from, and their responsibilities."""

# Lloyd steps of the "kmeans" start; assignments rarely move after this many.
_LLOYD_STEPS = 20
# Squared distances below this share of the squared lengths lose too many digits in the subtraction.
_CANCELLED = 1e-8
# Deviations from the centre beyond which some kinds of starts count distances by their logarithms.
_FAR = 10.0
# Rows among which the least Gaussian directions are found, directions that are used, and features up to which they are
# looked for: what that costs grows with the square of the features.
_DIRECTION_ROWS, _DIRECTIONS, _DIRECTION_FEATURES = 10_000, 5, 500
# Variance added to a start's covariances, as a share of each feature's variance: a cluster may be a single row.
_START_FLOOR = 1e-3


def draw_start(
    rows: Array,
    sample_weight: Array | None,
    centre: Array,
    variance: Array,
    k: int,
    covariance_types: Sequence[str],
    mode: str,
    rng: np.random.Generator,
    number: int = 0,
    doubt: Array | None = None,
) -> list[MixtureParameters]:
    """Draw one start, in each of several covariance structures: finding its seeds is most of the work.

    Parameters
    ----------
    rows : array (d, m)
        Centred at the table's mean.
    sample_weight : array (m,), optional
    centre : array (d,)
        A typical value of each feature.
    variance : array (d,)
        Of the table's features, robust against far values; zero if a feature is constant.
    k : int
    covariance_types : sequence of {"full", "tied", "diag", "spherical"}
    mode : {"k-means++", "k-means||", "kmeans", "random_from_data", "random"}
        "k-means++": starts of several kinds in turn, each of which fails on other tables: k-means, greedy seeds alone,
        k-means in the directions of least kurtosis and of greatest skewness, and the next two modes. "kmeans": greedy
        seeds, followed by Lloyd steps. "random_from_data": k rows as means, with the table's variances. "random":
        random responsibilities. "k-means||": from a completed sample, greedy seeds and the directions.
    rng : numpy Generator
    number : int
        Which of a fit's starts this is, from 0.
    doubt : array (d, m), optional
        Variances of the values that were missing and have been filled in, 0 of the others; they add to covariances.

    Returns
    -------
    list of MixtureParameters
        One of each structure, all from the same responsibilities.

    Raises
    ------
    ParameterError
        If the mode is unknown.
    DataError
        If the rows of positive weight have fewer than k distinct values.
    """
    if mode not in START_MODES:
        raise ParameterError(f"initMode={mode!r}; use one of {', '.join(START_MODES)}")
    weight = np.ones(rows.shape[1]) if sample_weight is None else sample_weight
    if not weight.sum() > 0:
        raise DataError(f"the {rows.shape[1]} rows that starts are drawn from have no weight; give more rows a weight")
    kinds = START_MODES[mode]
    draw = kinds[number % len(kinds)]
    scaled = (rows - centre[:, None]) / np.where(variance > 0, np.sqrt(variance), 1.0)[:, None]
    cells = draw(scaled, weight, k, rng)
    if draw is _pick_rows:
        means = np.concatenate([rows[:, own] for own, _ in cells], axis=1).T
        return [under_table_variance(means, variance, kind) for kind in covariance_types]
    return _estimate_from_cells(rows, weight, cells, variance, covariance_types, doubt)


def _draw_near(scaled: Array) -> Array:
    """Shorten what is beyond ten deviations to ten and the logarithm of the rest; different values stay different.

    Seeds find what is rare and far. If that is a code for missing values, every seed may be one, and all other rows
    begin in one cell.
    """
    far = np.maximum(np.abs(scaled) / _FAR, 1.0)
    return np.asarray(scaled / far + np.sign(scaled) * np.log(far))


def _draw_seeds(extended: Array, weight: Array, k: int, rng: np.random.Generator) -> Array:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007): k of the rows, as an array (d, k)."""
    rows = extended[:-2]
    n_candidates = 2 + int(np.log(k))
    seeds = np.empty((rows.shape[0], k))
    seeds[:, 0] = rows[:, rng.choice(rows.shape[1], p=weight / weight.sum())]
    nearest = _square_distances(extended, seeds[:, :1])[0]
    for j in range(1, k):
        potential = np.cumsum(weight * nearest)
        if not potential[-1] > 0:
            raise DataError(f"k={k} but the rows that starts are drawn from have {j} distinct values; lower k")
        # The same draw as rng.choice, in a quarter of the time: that checks its probabilities.
        drawn = potential[:-1].searchsorted(rng.random(n_candidates) * potential[-1], side="right")
        distances = np.minimum(nearest, _square_distances(extended, rows[:, drawn]))
        choice = int(np.argmin(distances @ weight))
        seeds[:, j], nearest = rows[:, drawn[choice]], distances[choice]
    return seeds


def _square_lengths(columns: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->j", columns, columns))


def _append_lengths(rows: Array) -> Array:
    """Append squared lengths and ones to rows (d, m): (d + 2, m)."""
    return np.concatenate([rows, _square_lengths(rows)[None], np.ones((1, rows.shape[1]))])


def _square_distances(extended: Array, seeds: Array) -> Array:
    """Squared distances (k, m) between seeds (d, k) and rows with their lengths, (d + 2, m).

    They come from one matrix product; if that would cancel, from the difference itself, so a seed is at exactly zero
    distance from its own row.
    """
    rows, lengths = extended[:-2], extended[-2]
    own = _square_lengths(seeds)
    distances = np.concatenate([-2.0 * seeds, np.ones((1, len(own))), own[None]]).T @ extended
    longest = lengths.max(initial=0.0)
    for j, seed in enumerate(seeds.T):
        near = np.flatnonzero(distances[j] <= _CANCELLED * (longest + own[j]))
        near = near[distances[j, near] <= _CANCELLED * (lengths[near] + own[j])]
        distances[j, near] = _square_lengths(rows[:, near] - seed[:, None])
    return distances


def _find_nearest(extended: Array, seeds: Array) -> NDArray[np.intp]:
    return np.asarray(_square_distances(extended, seeds).argmin(axis=0))


def _group_by_label(labels: NDArray[np.intp], k: int) -> Cells:
    """Give each row to the component of its label."""
    order = np.argsort(labels.astype(np.min_scalar_type(k)), kind="stable")  # small integers: numpy uses a radix sort
    ends = np.cumsum([0, *np.bincount(labels, minlength=k)]).tolist()
    return [(order[start:end], np.ones(end - start)) for start, end in pairwise(ends)]


def _assign_to_seeds(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    extended = _append_lengths(rows)
    return _group_by_label(_find_nearest(extended, _draw_seeds(extended, weight, k, rng)), k)


def _assign_by_lloyd(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    return _group_by_label(_run_k_means(rows, weight, k, rng)[1], k)


def _run_k_means(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.intp]]:
    """Greedy seeds and Lloyd steps: k centres (d, k), and the nearest of each row."""
    extended = _append_lengths(rows)
    seeds = _draw_seeds(extended, weight, k, rng)
    labels = _find_nearest(extended, seeds)
    for _ in range(_LLOYD_STEPS):
        sizes = np.bincount(labels, weight, k)
        sums = np.stack([np.bincount(labels, row * weight, k) for row in rows])
        moved = np.where(sizes > 0, sums / np.maximum(sizes, np.finfo(float).tiny), seeds)
        if np.array_equal(moved, seeds):
            break
        seeds, labels = moved, _find_nearest(extended, moved)
    return seeds, labels


def _assign_to_near_seeds(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    return _assign_to_seeds(_draw_near(rows), weight, k, rng)


def _assign_by_near_lloyd(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    return _assign_by_lloyd(_draw_near(rows), weight, k, rng)


def _assign_by_kurtosis(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    return _assign_in_directions(find_flattest, _draw_near(rows), weight, k, rng)


def _assign_by_skewness(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    return _assign_in_directions(find_skewest, _draw_near(rows), weight, k, rng)


def _assign_in_directions(
    find: Callable[[Array, Array, int], Array], rows: Array, weight: Array, k: int, rng: np.random.Generator
) -> Cells:
    """K-means in up to k - 1 directions, which tell k clusters apart; seeds alone if there are too many features."""
    if k > 1 and len(rows) <= _DIRECTION_FEATURES:
        drawn = np.flatnonzero(weight > 0)
        if len(drawn) > _DIRECTION_ROWS:
            drawn = np.sort(rng.choice(drawn, _DIRECTION_ROWS, replace=False))
        directions = find(rows[:, drawn], weight[drawn], min(k - 1, _DIRECTIONS))
        try:
            centres, _ = _run_k_means(directions @ rows[:, drawn], weight[drawn], k, rng)
        except DataError:  # rows of fewer than k distinct values there, as along a column of zeros and ones
            pass
        else:
            return _group_by_label(_find_nearest(_append_lengths(directions @ rows), centres), k)
    return _assign_to_seeds(rows, weight, k, rng)


def _pick_rows(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    """Pick k distinct rows, one for each component."""
    candidates = np.flatnonzero(weight > 0)
    shuffled = rng.choice(candidates, len(candidates), replace=False, p=weight[candidates] / weight[candidates].sum())
    picked: dict[bytes, int] = {}
    for i in shuffled:
        picked.setdefault((rows[:, i] + 0.0).tobytes(), i)  # + 0.0 turns -0.0 into 0.0
        if len(picked) == k:
            return [(np.array([one]), np.ones(1)) for one in picked.values()]
    raise DataError(f"k={k} but the rows that starts are drawn from have {len(picked)} distinct values; lower k")


def _assign_at_random(rows: Array, weight: Array, k: int, rng: np.random.Generator) -> Cells:
    drawn = rng.random((k, rows.shape[1]))
    drawn /= drawn.sum(axis=0)
    return [(np.arange(rows.shape[1]), shares) for shares in drawn]


# The mode that draws starts from a completed sample.
OVERSAMPLED = "k-means||"

Kind: TypeAlias = Callable[[Array, Array, int, np.random.Generator], Cells]
"""A way to draw one start: from rows (d, m) in units of the features, their weights, k and a generator."""

# K-means comes first: a single start is best one of these. Of ten starts on tables of every kind, this mix ended in the
# best optimum most often: where one kind fails, as all seeds do among codes for missing values, another does not.
_PORTFOLIO: tuple[Kind, ...] = (
    _assign_by_lloyd,
    _assign_to_seeds,
    _assign_by_kurtosis,
    _pick_rows,
    _assign_by_skewness,
    _assign_to_near_seeds,
    _assign_by_near_lloyd,
    _assign_at_random,
    _pick_rows,
    _assign_at_random,
)

# The completed sample has rare rows, which distances find: seeds come first.
_OVERSAMPLED_PORTFOLIO: tuple[Kind, ...] = (
    _assign_to_seeds,
    _assign_to_seeds,
    _assign_by_kurtosis,
    _assign_to_seeds,
    _assign_by_skewness,
)

START_MODES: dict[str, tuple[Kind, ...]] = {
    "k-means++": _PORTFOLIO,
    OVERSAMPLED: _OVERSAMPLED_PORTFOLIO,
    "kmeans": (_assign_by_lloyd,),
    "random_from_data": (_pick_rows,),
    "random": (_assign_at_random,),
}
"""The kinds of starts of each mode, which a fit's starts take in turn."""


_KINDS: dict[Kind, str] = {
    _assign_by_lloyd: "k-means",
    _assign_to_seeds: "far seeds",
    _assign_by_kurtosis: "k-means along least kurtosis",
    _pick_rows: "random rows",
    _assign_by_skewness: "k-means along most skewness",
    _assign_to_near_seeds: "far seeds, outliers drawn near",
    _assign_by_near_lloyd: "k-means, outliers drawn near",
    _assign_at_random: "random responsibilities",
}


def name_kind(mode: str, number: int) -> str:
    """Say how a fit's start of some number, from 0, is drawn.

    Examples
    --------
    >>> name_kind("k-means++", 10), name_kind("random", 3)
    ('k-means', 'random responsibilities')
    """
    kinds = START_MODES[mode]
    return _KINDS[kinds[number % len(kinds)]]


def _estimate_from_cells(
    rows: Array,
    weight: Array,
    cells: Cells,
    variance: Array,
    covariance_types: Sequence[str],
    doubt: Array | None = None,
) -> list[MixtureParameters]:
    """Take one M step of each structure from given responsibilities, with a floor so that one row can be a cluster."""
    k, d = len(cells), len(rows)
    present = [(own[weight[own] > 0], responsibilities[weight[own] > 0]) for own, responsibilities in cells]
    shares = [responsibilities * weight[own] for own, responsibilities in present]
    resp_sum = np.array([share.sum() for share in shares])
    crosses = not all(structure(kind).axis_aligned for kind in covariance_types)
    means, squares, crossed = np.zeros((k, d)), np.zeros((k, d)), np.zeros((k, d, d) if crosses else (0, 0, 0))
    for j, ((own, _), share) in enumerate(zip(present, shares, strict=True)):
        if resp_sum[j] > 0:
            centred = rows[:, own]
            means[j] = centred @ share / resp_sum[j]
            centred -= means[j][:, None]
            squares[j] = centred**2 @ share
            if crosses:
                crossed[j] = (centred * share) @ centred.T
            if doubt is not None:
                unknown = doubt[:, own] @ share
                squares[j] += unknown
                if crosses:
                    crossed[j] += np.diag(unknown)
    starts = []
    for kind in covariance_types:
        fallback = under_table_variance(means, variance, kind)
        statistics = SufficientStatistics(
            covariance_type=kind,
            reference=means,
            rows=float(rows.shape[1]),
            weight_sum=float(weight.sum()),
            log_likelihood=float("nan"),
            resp_sum=resp_sum,
            first=np.zeros((k, d)),
            second=fallback.structure.project(squares if fallback.structure.axis_aligned else crossed),
        )
        starts.append(maximize(statistics, fallback, _START_FLOOR * _positive(variance)))
    return starts


def under_table_variance(
    means: Array, variance: Array, covariance_type: str, weights: Array | None = None
) -> MixtureParameters:
    """Make a mixture of given means (k, d), weights or equal ones, and the table's variances in every component."""
    k = len(means)
    covariances = structure(covariance_type).initial_covariances(_positive(variance), k)
    weights = np.full(k, 1.0 / k) if weights is None else weights
    return MixtureParameters(weights, means, covariances, covariance_type)


def make_noise(profile: ColumnProfile, mean: Array, weight: float = INITIAL_WEIGHT) -> Noise:
    """Make the noise that a start has: over the table's box, in coordinates centred at the table's mean (d,).

    Raises
    ------
    DataError
        If a feature is constant.
    """
    if profile.extent is None:
        raise ValueError("the profile has no extent; ask the table for it")
    try:
        return enclose(profile.extent, profile.step, weight).shifted(-mean)
    except ParameterError as error:
        raise DataError(f"noise=True, but {error}") from error


def _positive(variance: Array) -> Array:
    return np.where(variance > 0, variance, 1.0)
