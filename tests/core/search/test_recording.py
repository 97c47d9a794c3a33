"""The record of each start of a fit: how it compared, and how far it came."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gmm_spark.core.em.ascent import RELOCATED
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.drawing import draw_starts
from gmm_spark.core.search.racing import Standings
from gmm_spark.core.search.recording import list_starts
from gmm_spark.core.search.single import choose_finalists, search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.examples import CountingTable, run_em


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Two groups of three clusters: starts at random rows often give a group too few components."""
    rng = np.random.default_rng(1)
    centres = 10.0 * np.array([[0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [6, 5]])
    return np.concatenate([rng.normal(size=(200, 2)) + centre for centre in centres]).T.copy()


def test_each_start_is_recorded_with_its_own_bound(rows: np.ndarray) -> None:
    settings = Settings(k=6, init_mode="random_from_data", seed=1)
    result = search(ArrayTable(rows), (rows, None), settings)
    records = [one for one in result.start_records if one.kind != RELOCATED]
    (starts,) = draw_starts(ArrayTable(rows), (rows, None), ColumnProfile.of(rows), settings, ["full"])
    ends = [run_em(ArrayTable(rows), start, 100, 1e-4, sample=ArrayTable(rows)).lower_bound for start in starts]
    assert [one.kind for one in records] == ["random rows"] * 10
    # The bounds are those of the same starts, in the same order; other optima are 0.29 nats and more below.
    np.testing.assert_allclose([one.lower_bound for one in records], ends, atol=0.05)
    assert [one.alike for one in records] == [end > max(ends) - 0.1 for end in ends]
    assert all(0 < one.iterations <= 100 for one in records)


@pytest.mark.parametrize("sample_rows", [1000, 0])
def test_the_start_that_won_has_the_fits_history_and_the_others_what_they_shared(
    rows: np.ndarray, sample_rows: int
) -> None:
    table = CountingTable(rows)
    settings = Settings(k=6, n_init=4, sample_rows=sample_rows, seed=3, tol=0.0, max_iter=5, accelerate=False)
    result = search(table, (rows, None), settings)
    assert len(result.history) == 5
    (winner,) = [one for one in result.start_records if one.won]
    assert winner.table_bounds == tuple(one.lower_bound for one in result.history)
    finalists = [one for one in result.start_records if one.table_bounds]
    assert len(finalists) == (4 if sample_rows == 0 else 3)
    assert {len(one.table_bounds) for one in finalists if not one.won} == {5 if sample_rows == 0 else 2}


def test_a_start_that_was_relocated_is_recorded_after_the_others(rows: np.ndarray) -> None:
    settings = Settings(k=6, n_init=2, init_mode="random_from_data", seed=4)
    table, sample = ArrayTable(rows), (rows, None)
    # All of the starts have both groups' components in one.
    (starts,) = draw_starts(table, sample, ColumnProfile.of(rows), settings, ["full"])
    standings = Standings()
    found = choose_finalists(table, sample, ColumnProfile.of(rows), settings, starts, standings=standings)
    assert len(standings.origins) == len(found)
    assert set(standings.origins) <= {-1, 0, 1}
    result = search(table, sample, settings)
    assert result.starts == 2
    relocated = [one for one in result.start_records if one.kind == RELOCATED]
    assert len(relocated) == (-1 in standings.origins) == 1
    assert result.start_records[-1].table_bounds
    assert math.isnan(result.start_records[-1].lower_bound)


def test_starts_that_all_degenerate_on_the_sample_are_compared_on_the_table(rows: np.ndarray) -> None:
    settings = Settings(k=2, n_init=5)
    (starts,) = draw_starts(ArrayTable(rows), (rows, None), ColumnProfile.of(rows), settings, ["full"])
    ends = [run_em(ArrayTable(rows), start, 3) for start in starts[:3]]
    on_sample, on_table = Standings(origins=[0, 1, 2]), Standings(list(ends), leader=1, origins=[1])
    records = list_starts(settings, on_sample, on_table, ends[1], noise=1e-9)
    assert [one.lower_bound for one in records[:3]] == [end.lower_bound for end in ends]
    assert [math.isnan(one.lower_bound) for one in records] == [False] * 3 + [True] * 2
    assert [one.won for one in records] == [False, True, False, False, False]
