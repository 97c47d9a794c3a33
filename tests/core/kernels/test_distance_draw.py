from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gmm_spark.core.kernels.distance_draw import DrawAccumulator, DrawRequest, DrawResult, merge_draws
from gmm_spark.core.table import ArrayTable

SEEDS = 2000


def draw_of(rows, sites, seed=0, **settings) -> DrawRequest:
    """Sites given in the rows' own coordinates."""
    mean, deviation = rows.mean(axis=1, dtype=float), rows.std(axis=1, dtype=float)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return DrawRequest(mean, deviation, (sites - mean[:, None]) / deviation[:, None], seed, 0, **settings)


def draw_from(draw: DrawRequest, *parts, block=7) -> DrawResult:
    """Draw from partitions of rows and weights that come in blocks."""
    folds = []
    for partition, (rows, weight) in enumerate(parts):
        fold = DrawAccumulator(draw, partition)
        for at in range(0, rows.shape[1], block):
            fold.add(rows[:, at : at + block], None if weight is None else weight[at : at + block])
        folds.append(fold.result())
    return merge_draws(draw, folds)


def frequencies(rows, drawn_by_seed) -> np.ndarray:
    """Count how often each row was drawn; the first feature identifies a row."""
    return np.mean([np.isin(rows[0], drawn.rows[0]) for drawn in drawn_by_seed], axis=0)


def assert_frequencies(found, expected, n=SEEDS) -> None:
    """Check counts within five deviations of a binomial, and exactly if the probability is 0 or 1."""
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)).all()


@pytest.fixture
def rows(rng):
    return rng.standard_normal((3, 40)) * np.array([1.0, 100.0, 0.01])[:, None] + 7.0


@pytest.fixture
def weight(rng):
    return rng.choice([0.0, 0.5, 1.0, 3.0], 40)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cells_and_cost_are_those_of_all_distances(rows, weight, dtype):
    rows = rows.astype(dtype)
    draw = draw_of(rows, rows[:, :6].astype(float))
    scaled = (rows - draw.mean[:, None]) / draw.deviation[:, None]
    distance = cdist(scaled.T, draw.sites.T, "sqeuclidean")
    nearest = distance.argmin(axis=1)
    found = draw_from(draw, (rows[:, :11], weight[:11]), (rows[:, 11:], weight[11:]))
    np.testing.assert_array_equal(found.cells[0], np.bincount(nearest, weight > 0, 6))
    np.testing.assert_allclose(found.cells[1], np.bincount(nearest, weight, 6), rtol=1e-12)
    assert found.cost == pytest.approx(distance.min(axis=1) @ weight, rel=1e-9)
    assert found.rows.shape == (3, 0)  # nothing was asked for


def test_rows_are_drawn_by_their_weighted_squared_distance(rows, weight):
    sites = rows[:, :1]
    probe = draw_of(rows, sites)
    scaled = (rows - probe.mean[:, None]) / probe.deviation[:, None]
    potential = weight * cdist(scaled.T, probe.sites.T, "sqeuclidean").min(axis=1)
    chances = np.minimum(1.0, 20.0 * potential / potential.sum())
    assert (chances == 1.0).any()
    parts = (rows[:, :25], weight[:25]), (rows[:, 25:25], weight[25:25]), (rows[:, 25:], weight[25:])
    drawn = [draw_from(draw_of(rows, sites, seed, expected=20.0), *parts) for seed in range(SEEDS)]
    assert_frequencies(frequencies(rows, drawn), chances)
    # Independent: the number drawn has the variance of a sum of independent draws, and pairs are no more frequent.
    counts = np.array([one.rows.shape[1] for one in drawn])
    assert counts.var() == pytest.approx((chances * (1 - chances)).sum(), rel=0.2)


def test_rows_of_a_cell_are_drawn_by_its_share(rows, weight):
    sites, shares = rows[:, [0, 1, 2]], np.array([1.0, 0.0, 0.3])
    drawn = [draw_from(draw_of(rows, sites, seed, shares=shares), (rows, weight)) for seed in range(SEEDS)]
    scaled = rows / rows.std(axis=1, keepdims=True)
    nearest = cdist(scaled.T, scaled.T[:3], "sqeuclidean").argmin(axis=1)
    assert_frequencies(frequencies(rows, drawn), shares[nearest] * (weight > 0))
    held = dict(zip(rows[0], weight, strict=True))
    assert drawn[0].weight.tolist() == [held[value] for value in drawn[0].rows[0]]


def test_each_partition_has_its_own_random_numbers():
    rows = np.arange(200.0)[None]
    found = draw_from(draw_of(rows, rows[:, :1], shares=np.array([0.5])), (rows[:, :100], None), (rows[:, 100:], None))
    drawn = np.isin(rows[0], found.rows[0])
    assert abs(np.corrcoef(drawn[:100], drawn[100:])[0, 1]) < 0.5  # of independent draws 0, give or take 0.1


def test_what_is_drawn_does_not_depend_on_the_blocks(rows, weight):
    draw = draw_of(rows, rows[:, :2], expected=10.0)
    first, second = (draw_from(draw, (rows, weight), block=block) for block in (3, 40))
    np.testing.assert_array_equal(first.rows, second.rows)
    assert 0 < first.rows.shape[1] < 40
    in_memory = ArrayTable(rows, weight).draw(draw)
    np.testing.assert_array_equal(first.rows, in_memory.rows)


def test_a_change_of_units_draws_the_same_rows(rows):
    scale = np.array([2.0**-27, 1.0, 2.0**40])[:, None]
    found, expected = (draw_from(draw_of(r, r[:, :2], seed=3, expected=8.0), (r, None)) for r in (rows * scale, rows))
    np.testing.assert_array_equal(found.rows / scale, expected.rows)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_rows_that_are_sites_are_never_drawn_again(offset, rng):
    rows = np.tile(rng.standard_normal((4, 3)) * 1e3 + offset, 50)
    found = draw_from(draw_of(rows, rows[:, :3], expected=50.0), (rows, None))
    assert found.cost == 0.0
    assert found.rows.shape == (4, 0)


def test_an_accumulator_holds_few_rows_however_many_it_is_given(rng):
    block = rng.standard_normal((400, 20))
    draw = draw_of(block, np.zeros((400, 1)), expected=5.0)

    def peak(blocks: int) -> int:
        fold = DrawAccumulator(draw, 0)
        tracemalloc.start()
        for i in range(blocks):
            # As distances grow, most of what was kept so far is to be dropped, over and over.
            fold.add(block * 1.5**i, None)
        kept = fold.result().rows.shape[1]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert kept < 25
        return found

    peak(2)
    assert peak(400) < 1.1 * peak(100)
