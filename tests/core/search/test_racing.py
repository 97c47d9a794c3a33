"""A race in stages: which runs continue, from where, and which results are returned."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.racing import Stage, Standings, cut_after, race
from gmm_spark.core.search.starts import draw_start
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError
from tests.examples import CountingTable, blobs, run_em

PLAIN = Rule(1, 0.0)


@pytest.fixture
def table() -> CountingTable:
    return CountingTable(blobs())


@pytest.fixture
def starts(table) -> list[MixtureParameters]:
    """Three starts, of which the second leads."""
    centred, variance = table.rows - table.moments.mean[:, None], table.moments.variance
    rng = np.random.default_rng(0)
    return [
        draw_start(centred, None, np.zeros(len(centred)), variance, k, ["diag"], "k-means++", rng)[0] for k in (1, 3, 2)
    ]


def stage(table: ArrayTable, iterations: int, keep: int, **more) -> Stage:
    return Stage(table, iterations, keep, sample=table, **more)


def test_after_a_stage_only_the_best_run_continues(table, starts):
    (winner,) = race(starts, cut_after(4, stage(table, 10, 1)), PLAIN)
    assert table.candidates == [3] * 4 + [1] * 6
    alone = run_em(table, starts[1], 10)
    assert len(winner.history) == 10
    np.testing.assert_allclose(winner.parameters.means, alone.parameters.means, rtol=1e-9, atol=1e-12)


def test_standings_say_how_each_start_stood_and_which_came_through(table, starts):
    standings = Standings()
    (winner,) = race(starts, cut_after(4, stage(table, 10, 1)), PLAIN, standings=standings)
    assert (standings.leader, standings.origins) == (1, [1])
    outcomes = [one for one in standings.outcomes if isinstance(one, EMResult)]
    bounds = [one.lower_bound for one in outcomes]
    assert bounds == pytest.approx([run_em(table, start, 4).lower_bound for start in starts], rel=1e-12)
    assert [len(one.history) for one in outcomes] == [4, 4, 4]
    assert winner.lower_bound > max(bounds)


def test_a_run_that_has_converged_wins_if_it_leads(table, starts):
    good = run_em(table, starts[1], 200, 1e-10).parameters
    table.candidates.clear()
    (winner,) = race([starts[0], good], cut_after(4, stage(table, 20, 1)), Rule(1, 1e-9))
    assert winner.converged
    assert max(table.candidates) == 2
    assert len(table.candidates) <= 4


def test_a_race_of_fewer_iterations_than_the_cut_compares_at_the_end(table, starts):
    (winner,) = race(starts, cut_after(4, stage(table, 2, 1)), PLAIN)
    assert table.candidates == [3, 3]
    assert winner.lower_bound == run_em(table, starts[1], 2).lower_bound


@pytest.mark.parametrize("restart", [False, True])
def test_on_the_next_table_runs_begin_where_they_ended_or_where_they_began(table, starts, restart):
    part = CountingTable(np.ascontiguousarray(table.rows[:, :100]), moments=table.moments)
    found = race(starts, [stage(part, 5, 2, restart=restart), stage(table, 3, 2)], PLAIN)
    assert (part.candidates, table.candidates) == ([3] * 5, [2] * 3)
    ended = sorted((run_em(part, start, 5) for start in starts), key=lambda result: -result.lower_bound)[:2]
    begun = starts[1:] if restart else [result.parameters for result in ended]
    expected = sorted((run_em(table, start, 3).lower_bound for start in begun), reverse=True)
    np.testing.assert_allclose([result.lower_bound for result in found], expected, rtol=1e-12)


def test_results_come_best_first_and_no_more_than_the_last_stage_keeps(table, starts):
    bounds = [result.lower_bound for result in race(starts, [stage(table, 4, 2)], PLAIN)]
    expected = sorted((run_em(table, start, 4).lower_bound for start in starts), reverse=True)[:2]
    np.testing.assert_allclose(bounds, expected, rtol=1e-12)


def test_runs_that_degenerate_leave_the_race_and_if_all_do_it_is_an_error(starts):
    rows = blobs()
    rows[1] = 0.1  # no diagonal covariance survives a constant feature, one variance for all features does
    table = ArrayTable(rows)
    sound = MixtureParameters([1.0], [[0.0] * 3], [1.0], "spherical")
    assert len(race([starts[0], sound, starts[1]], [stage(table, 4, 3)], PLAIN)) == 1
    with pytest.raises(DegenerateComponentError, match="collapsed"):
        race(starts, [stage(table, 4, 3)], PLAIN)
