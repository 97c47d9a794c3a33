from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em import ascent
from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.lookahead import look_ahead
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.mixture.criteria import bic
from gmm_spark.core.mixture.parameters import count_parameters
from gmm_spark.core.search import grid as grid_module
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError, DegenerateComponentError
from tests.examples import COVARIANCE_TYPES, CountingTable, blobs, draw_rows, random_mixture


def run(table, members, callback=None, drawn=None, sample=None):
    def draw(n, seed):
        if drawn is not None:
            drawn.append(seed)
        return sample or (table.rows, table.sample_weight)

    return sweep(table, draw, [settings_of(member) for member in members], callback)


def settings_of(member) -> Settings:
    """Plain EM by default: extrapolation would magnify the rounding by which shared passes differ."""
    return Settings(**{"accelerate": False, "n_init": 1, **member})


def assert_same_fit(found: EMResult, expected: EMResult) -> None:
    """Equal but for the rounding of matrix products of other shapes."""
    assert len(found.history) == len(expected.history)
    assert found.converged == expected.converged
    assert found.lower_bound == pytest.approx(expected.lower_bound, rel=1e-11)
    for name in ("weights", "means", "covariances"):
        a, b = getattr(found.parameters, name), getattr(expected.parameters, name)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=name)


GRID = [{"k": k, "covariance_type": kind} for kind in COVARIANCE_TYPES for k in (1, 2, 3, 4)]


def test_bic_of_a_sweep_finds_the_k_and_the_structure_that_made_the_rows(covariance_type, rng):
    truth = random_mixture(covariance_type, 3, 3, rng, spread=6.0)
    table = ArrayTable(draw_rows(truth, 3000, rng)[0])
    found = run(table, [{**member, "n_init": 5, "tol": 1e-5} for member in GRID])
    evaluations = table.evaluate_all([result.parameters for result in found])
    scores = [
        bic(one.log_likelihood, result.parameters.n_parameters, one.weight_sum)
        for one, result in zip(evaluations, found, strict=True)
    ]
    assert GRID[int(np.argmin(scores))] == {"k": 3, "covariance_type": covariance_type}


def test_members_end_where_they_would_end_alone():
    table = ArrayTable(blobs(m=600))
    members = [{**member, "max_iter": 30} for member in GRID]
    for member, found in zip(members, run(table, members), strict=True):
        assert_same_fit(found, search(table, (table.rows, None), settings_of(member)))


def test_a_member_is_run_by_its_own_rules_and_from_its_own_seed():
    table = ArrayTable(blobs(m=600))
    members = [
        {"k": 3, "max_iter": 4, "tol": 0.0},
        {"k": 3, "max_iter": 200, "tol": 0.05},
        {"k": 3, "max_iter": 200, "tol": 1e-6, "reg_covar": 0.05},
        {"k": 3, "max_iter": 6, "tol": 0.0, "seed": 9, "init_mode": "random"},
    ]
    drawn: list[int] = []
    found = run(table, members, drawn=drawn)
    assert drawn == [0, 9]
    assert [len(one.history) for one in found][::3] == [4, 6]
    for member, one in zip(members, found, strict=True):
        assert_same_fit(one, search(table, (table.rows, None), settings_of(member)))


def test_all_members_share_the_tables_passes_and_leave_when_they_have_converged():
    table = CountingTable(blobs(m=600))
    heard: list[PassRecord] = []
    members = [{**member, "max_iter": 12, "n_init": 3} for member in GRID]
    few = np.ascontiguousarray(table.rows[:, :60]), None  # from the whole table they would all be near their ends
    found = run(table, members, callback=heard.append, sample=few)
    lengths = [len(one.history) for one in found]
    assert table.candidates == [sum(length >= i for length in lengths) for i in range(1, max(lengths) + 1)]
    assert table.candidates[0] == len(members)
    assert table.candidates[-1] < len(members)
    assert len(set(lengths)) > 2
    assert [record.iteration for record in heard] == list(range(1, max(lengths) + 1))


def test_a_member_that_cannot_be_drawn_or_collapses_does_not_end_the_sweep():
    distinct = ArrayTable(np.tile(np.array([[0.0, 1.0, 5.0], [0.0, 2.0, 7.0]]), 10))
    few, many = run(distinct, [{"k": 2}, {"k": 4}])
    assert isinstance(few, EMResult)
    assert isinstance(many, DataError)
    assert "k=4" in str(many)

    rows = blobs()
    rows[1] = 0.1  # a constant feature, which one variance for all features survives
    kinds = ("spherical", "diag")
    sound, collapsed = run(ArrayTable(rows), [{"k": 2, "reg_covar": 0.0, "covariance_type": kind} for kind in kinds])
    assert isinstance(sound, EMResult)
    assert isinstance(collapsed, DegenerateComponentError)
    assert "collapsed" in str(collapsed)


def test_if_no_member_can_be_drawn_the_table_is_not_read():
    table = CountingTable(np.full((2, 20), 3.5))
    outcomes = run(table, [{"k": 2}, {"k": 3, "covariance_type": "tied"}])
    assert all(isinstance(one, (DataError, DegenerateComponentError)) for one in outcomes)
    assert table.candidates == []


def test_a_member_may_be_accelerated_beside_one_that_is_not():
    table = CountingTable(blobs(m=600))
    plain, fast = run(table, [{"k": 3, "max_iter": 30, "tol": 0.0, "accelerate": on} for on in (False, True)])
    assert {record.step for record in plain.history} == {"plain"}
    assert "extrapolated" in {record.step for record in fast.history}
    assert table.candidates[:3] == [2, 2, 2]  # a proposal that looked ahead is evaluated alone


def test_members_look_ahead_on_a_part_of_the_sample_that_is_large_enough_for_them(monkeypatch):
    rows = blobs()
    samples = []

    def watched(sample, *arguments):
        samples.append(sample)
        return look_ahead(sample, *arguments)

    monkeypatch.setattr(ascent, "look_ahead", watched)
    monkeypatch.setattr(grid_module, "_LOOKAHEAD_ROWS", 50)
    monkeypatch.setattr(grid_module, "_LOOKAHEAD_ROWS_PER_PARAMETER", 3)
    members = [{"k": k, "covariance_type": "full", "accelerate": True, "tol": 1e-9} for k in (2, 3)]
    run(ArrayTable(rows), members, sample=(rows[:, 100:].copy(), None))
    assert {sample.rows.shape[1] for sample in samples} == {3 * count_parameters("full", 3, len(rows))}
    np.testing.assert_array_equal(samples[0].moments.mean, Moments.of(rows).mean)
    samples.clear()
    run(
        ArrayTable(rows),
        [{**member, "init_mode": "k-means||"} for member in members],
        sample=(rows[:, 100:].copy(), None),
    )
    assert min(sample.rows.shape[1] for sample in samples) >= 300  # all of it, and rows of the table's


def skewed_counts(seed: int) -> np.ndarray:
    """Counts, amounts and many zeros, as in records of arrests: (5, 1000)."""
    rng = np.random.default_rng(seed)
    groups, n = rng.choice(3, 1000, p=[0.7, 0.2, 0.1]), 1000
    arrests, sentence = rng.poisson(np.array([0.1, 1.0, 4.0])[groups]), rng.gamma(1.0, 10.0, n).round(1)
    income = rng.lognormal(np.array([3.0, 4.0, 2.0])[groups], 1.0)
    rare, quarters = rng.poisson(5.0, n), rng.poisson(np.array([1.0, 5.0, 9.0])[groups])
    sentence[rng.random(n) < 0.7], income[rng.random(n) < 0.25], rare[rng.random(n) < 0.9] = 0, 0, 0
    return np.stack([arrests, sentence, income, rare, quarters]).astype(float)


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_in_a_table_that_fits_the_sample_a_member_is_never_worse_than_a_fit_of_its_own(covariance_type):
    table = ArrayTable(skewed_counts(0))
    member = {"k": 4, "covariance_type": covariance_type, "accelerate": True, "n_init": 6}
    (found,) = run(table, [member])
    alone = search(table, (table.rows, None), settings_of(member))
    ends = [table.evaluate(result.parameters).log_likelihood for result in (found, alone)]
    assert ends[0] >= ends[1] - 1e-6 * abs(ends[1])
