from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gmm_spark.core.kernels.distance_draw import DrawRequest, DrawResult
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.drawing import draw_starts
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.kmeans_parallel import complete_sample
from gmm_spark.core.search.single import choose_finalists, search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError
from tests.examples import COVARIANCE_TYPES, blobs, result_of


class DrawingTable(ArrayTable):
    """A table that records the draws requested of it."""

    draws: list[DrawRequest]

    def draw(self, draw: DrawRequest) -> DrawResult:
        self.draws = [*getattr(self, "draws", []), draw]
        return super().draw(draw)


RARE = 10
COMMON = 1_000_000 - RARE


@pytest.fixture(scope="module")
def needle() -> DrawingTable:
    """A million rows, ten of which are a component of their own, far from the others."""
    rng = np.random.default_rng(5)
    centres = np.repeat([[0.0, 6.0, 1000.0], [0.0, 0.0, 1000.0]], [600_000, COMMON - 600_000, RARE], axis=1)
    rows = centres + rng.standard_normal((2, COMMON + RARE))
    return DrawingTable(np.ascontiguousarray(rows[:, rng.permutation(COMMON + RARE)]))


def common_rows(table: ArrayTable, n: int = 2000) -> np.ndarray:
    """A sample without any rare row, like most samples of this size."""
    return np.ascontiguousarray(table.rows[:, np.flatnonzero(table.rows[0] < 100)[:n]])


def members(rows: np.ndarray) -> list[tuple[float, ...]]:
    return sorted(map(tuple, rows.T.tolist()))


@pytest.mark.parametrize("seed", [2, 3])
def test_a_component_that_a_sample_cannot_know_is_found(needle, seed):
    sample = common_rows(needle), None
    settings = Settings(k=3, init_mode="k-means||", sample_rows=2000, seed=seed, n_init=1)
    # Starts without a rare row find the component only by chance.
    plainly = replace(settings, init_mode="k-means++")
    (drawn,) = draw_starts(needle, sample, ColumnProfile.of(sample[0]), plainly, ["full"])
    (unaided,) = choose_finalists(needle, sample, ColumnProfile.of(sample[0]), plainly, drawn)
    assert unaided.shifted(needle.moments.mean).means.max() < 10
    result = search(needle, sample, settings)
    assert result.converged
    found = result.parameters.shifted(needle.moments.mean)
    rare = found.means[:, 0].argmax()
    assert found.weights[rare] == pytest.approx(1e-5, rel=1e-6)
    expected = needle.rows[:, needle.rows[0] > 100].mean(axis=1)
    np.testing.assert_allclose(found.means[rare], expected, atol=1e-6)
    np.testing.assert_allclose(np.sort(found.means[:, 0])[:2], [0, 6], atol=0.05)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("sample_rows", [500, 0])
def test_rare_components_are_found_by_every_structure_and_without_a_run_on_the_sample(covariance_type, sample_rows):
    rng = np.random.default_rng(1)
    n, rare = 50_000, 8
    rows = rng.standard_normal((3, n))
    rows[:, : n // 3] += 8.0
    rows[:, -rare:] += 900.0
    table = ArrayTable(rows)
    settings = Settings(k=3, covariance_type=covariance_type, init_mode="k-means||", sample_rows=sample_rows, n_init=2)
    found = search(table, (np.ascontiguousarray(rows[:, :40_000:80]), None), settings).parameters
    assert found.weights.min() == pytest.approx(rare / n, rel=1e-6)


def test_a_completed_sample_has_the_tables_weight_in_every_cell(needle):
    rows, weight = complete_sample(needle, (common_rows(needle), None), needle.moments.variance, 3, seed=1)
    assert weight.sum() == pytest.approx(COMMON + RARE, rel=1e-12)
    rare = rows[0] > 100
    assert members(rows[:, rare]) == members(needle.rows[:, needle.rows[0] > 100])
    np.testing.assert_allclose(weight[rare], 1.0, rtol=1e-12)
    assert rows.shape[1] < 3 * 2000
    # So its moments are the table's, including the rare rows; the sampling error of the others is 0.03.
    np.testing.assert_allclose(rows @ weight / weight.sum(), needle.moments.mean, atol=0.1)
    variance = (rows - needle.moments.mean[:, None]) ** 2 @ weight / weight.sum()
    np.testing.assert_allclose(variance, needle.moments.variance, rtol=0.05)


def test_a_sample_that_is_the_table_is_already_complete():
    table = DrawingTable(blobs())
    rows, weight = complete_sample(table, (table.rows, None), table.moments.variance, 3, seed=1)
    np.testing.assert_array_equal(rows, table.rows)
    np.testing.assert_array_equal(weight, np.ones(400))
    assert len(table.draws) == 6


def test_completing_a_sample_takes_seven_passes(needle):
    needle.draws = []
    complete_sample(needle, (common_rows(needle), None), needle.moments.variance, 3, seed=2)
    assert len(needle.draws) == 7
    assert len({draw.number for draw in needle.draws}) == 7  # no pass repeats the random numbers of another
    grown = [draw.sites.shape[1] for draw in needle.draws]
    assert grown[0] == 1
    assert all(0 < b - a < 80 for a, b in pairwise(grown[:6]))


def test_weights_are_kept_and_rows_without_weight_left_out(rng):
    rows = rng.standard_t(2.0, (2, 20_000))
    weight = rng.choice([0.0, 1.0, 5.0], 20_000)
    table = ArrayTable(rows, weight)
    found, found_weight = complete_sample(table, (rows[:, :1000], weight[:1000]), table.moments.variance, 4, seed=0)
    assert found_weight.sum() == pytest.approx(weight.sum(), rel=1e-12)
    held = dict(zip(rows[0], weight, strict=True))
    assert all(held[value] > 0 for value, w in zip(found[0], found_weight, strict=True) if w > 0)
    assert len(set(members(found))) == found.shape[1]  # no row comes both from the sample and from the table
    np.testing.assert_allclose(found @ found_weight / weight.sum(), table.moments.mean, atol=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_has_most_of_its_cells_weight_is_among_those_that_complete_the_cell(seed):
    rng = np.random.default_rng(seed)
    rows, weight = rng.standard_normal((1, 40_000)), np.ones(40_000)
    rows[0, 20_000:] = np.abs(rows[0, 20_000:]) + 50.0  # the sample has none of these
    weight[30_000] = 1e6
    table = ArrayTable(rows, weight)
    sample = rows[:, :1000], weight[:1000]
    found, found_weight = complete_sample(table, sample, table.moments.variance, 2, seed)
    heavy = found[0] == rows[0, 30_000]
    assert heavy.sum() == 1
    assert found_weight[heavy] == pytest.approx(1e6, rel=0.1)
    assert found_weight[found[0] > 25].sum() == pytest.approx(1e6 + 19_999, rel=1e-12)


def test_a_sample_without_weight_is_replaced_by_rows_of_the_table(rng):
    rows, weight = rng.standard_normal((2, 5000)), np.repeat([0.0, 1.0], [1000, 4000])
    found, found_weight = complete_sample(
        ArrayTable(rows, weight), (rows[:, :1000], weight[:1000]), ArrayTable(rows, weight).moments.variance, 2, seed=0
    )
    assert found_weight.sum() == pytest.approx(4000, rel=1e-12)
    assert set(members(found[:, found_weight > 0])) <= set(members(rows[:, 1000:]))


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_rows(needle):
    sample = common_rows(needle), None
    first, second, other = (complete_sample(needle, sample, needle.moments.variance, 3, seed) for seed in (4, 4, 5))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert members(first[0]) != members(other[0])


def test_sample_and_answer_are_in_the_tables_own_coordinates(rng):
    rows = rng.standard_normal((2, 5000)) * np.array([[1.0], [1e3]]) + np.array([[1e3], [-1e6]])
    rows[:, :3] += 5e4
    found, _ = complete_sample(ArrayTable(rows), (rows[:, 100:400], None), ArrayTable(rows).moments.variance, 2, seed=0)
    assert set(members(found)) <= set(members(rows))
    assert set(members(rows[:, :3])) <= set(members(found))


def test_samples_with_repeated_rows_and_constant_features_can_be_completed():
    values = np.array([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]])
    rows = np.repeat(values, [3000, 2, 1], axis=1)
    table = DrawingTable(rows)
    found, weight = complete_sample(
        table, (rows[:, :500], None), table.moments.variance, 3, seed=0
    )  # a sample of one value
    for draw in table.draws:
        assert len(np.unique(draw.sites, axis=1).T) == draw.sites.shape[1]
    for value, expected in zip(values[0], [3000, 2, 1], strict=True):
        assert weight[found[0] == value].sum() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [3, 4])
def test_more_components_than_distinct_rows_are_refused(k):
    table = ArrayTable(np.tile(np.array([[0.0, 1.0, 1.0], [0.0, 2.0, 3.0]]), 10))
    settings = Settings(k=k, covariance_type="diag", init_mode="k-means||", reg_covar=0.1)
    if k == 3:
        assert search(table, (table.rows, None), settings).parameters.n_components == 3
    else:
        with pytest.raises(DataError, match=r"k=4 .* 3 distinct values; lower k"):
            search(table, (table.rows, None), settings)


def test_members_of_a_sweep_share_the_passes_that_draw(needle):
    needle.draws = []
    asked = [(3, "k-means||"), (3, "k-means++"), (12, "k-means||")]
    members = [Settings(k=k, init_mode=mode, max_iter=3, accelerate=False) for k, mode in asked]
    sample = common_rows(needle), None
    three, unaided, twelve = (result_of(one) for one in sweep(needle, lambda n, seed: sample, members))
    assert len(needle.draws) == 7
    assert {draw.expected for draw in needle.draws[:5]} == {24.0}  # made for the largest k
    for one in (three, twelve):
        assert one.parameters.shifted(needle.moments.mean).means.max() == pytest.approx(1000, abs=2)
    assert unaided.parameters.shifted(needle.moments.mean).means.max() < 10
