"""Steps on a sample in place of passes over the table: the same fixed points, in a fraction of the passes."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.anderson import to_free
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.lookahead import look_ahead
from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from tests.examples import CountingTable, draw_rows, random_mixture, run_em

K, D = 4, 3


def table_sample_start(
    covariance_type: str, rng: np.random.Generator, rows: int = 20_000, share: int = 8
) -> tuple[ArrayTable, ArrayTable, MixtureParameters]:
    """A table of overlapping components, a sample of it, and a start that has converged on the sample."""
    table = ArrayTable(draw_rows(random_mixture(covariance_type, K, D, rng, spread=1.5), rows, rng)[0])
    sample = ArrayTable(np.ascontiguousarray(table.rows[:, ::share]), moments=table.moments)
    drawn = random_mixture(covariance_type, K, D, rng, spread=1.5).shifted(-table.moments.mean)
    return table, sample, run_em(sample, drawn, 200, 1e-6).parameters


def passes_to(result: EMResult, bound: float) -> int:
    return next(record.iteration for record in result.history if record.lower_bound >= bound)


def test_looking_ahead_leaves_a_fixed_point_of_the_table_where_it_is_whatever_the_sample(covariance_type, rng):
    table, sample, start = table_sample_start(covariance_type, rng)
    fixed = run_em(table, start, 40, accelerate=True, lookahead=sample).parameters
    floor = np.zeros(D)
    image = maximize(table.expect([fixed])[0], fixed, floor)
    ahead = look_ahead(sample, fixed, image, floor)
    np.testing.assert_allclose(to_free(ahead), to_free(fixed), atol=1e-5)
    elsewhere = maximize(sample.expect([fixed])[0], fixed, floor)
    assert np.abs(to_free(elsewhere) - to_free(fixed)).max() > 1e-3  # the sample alone would have moved it


def test_looking_ahead_on_the_table_itself_is_em(covariance_type, rng):
    table, _, start = table_sample_start(covariance_type, rng, rows=2000)
    floor = np.zeros(D)
    image = maximize(table.expect([start])[0], start, floor)
    ahead = look_ahead(table, start, image, floor)
    bounds = [record.lower_bound for record in run_em(table, start, 12).history]
    found = table.expect([ahead])[0].lower_bound
    # At least one step more than the image, at most ten.
    assert bounds[1] - 1e-12 <= found <= bounds[-1] + 1e-12
    assert any(found == pytest.approx(bound, abs=1e-12) for bound in bounds[2:])


def test_far_fewer_passes_to_the_fixed_point_of_plain_em(covariance_type, rng):
    table, sample, start = table_sample_start(covariance_type, rng)
    plain = run_em(table, start, 5000, 1e-13)
    fast = run_em(table, start, 5000, 1e-13, accelerate=True, lookahead=sample)
    assert fast.lower_bound == pytest.approx(plain.lower_bound, abs=1e-8)
    needed = passes_to(plain, plain.lower_bound - 1e-6)
    assert passes_to(fast, fast.lower_bound - 1e-6) <= max(4, needed / 3)


def test_no_pass_lowers_the_likelihood(covariance_type, rng):
    table, sample, _ = table_sample_start(covariance_type, rng, rows=4000, share=20)  # 200 rows are a poor sample
    start = random_mixture(covariance_type, K, D, rng, spread=0.5).shifted(-table.moments.mean)
    result = run_em(table, start, 60, accelerate=True, lookahead=sample)
    assert np.diff([record.lower_bound for record in result.history]).min() > -1e-12


def test_a_component_without_rows_in_the_sample_is_left_to_the_table(covariance_type, rng):
    clear = MixtureParameters([0.5, 0.5], [[-9.0] * D, [9.0] * D], np.ones(2), "spherical")
    table = ArrayTable(draw_rows(clear, 2000, rng)[0])
    sample = ArrayTable(np.ascontiguousarray(table.rows[:, table.rows[0] < 0]), moments=table.moments)
    start = random_mixture(covariance_type, 2, D, rng, spread=0.1)
    start = MixtureParameters(start.weights, clear.means, start.covariances, covariance_type)
    start = start.shifted(-table.moments.mean)
    result = run_em(table, start, 30, 1e-9, accelerate=True, lookahead=sample)
    np.testing.assert_allclose(result.parameters.weights, [0.5, 0.5], atol=0.05)
    np.testing.assert_allclose(result.parameters.shifted(table.moments.mean).means, clear.means, atol=0.2)


def test_looking_ahead_leads_to_the_mean_and_covariance_of_the_table(covariance_type, rng):
    """As every EM step does: the correction of the sample's moments is exact."""
    table, sample, start = table_sample_start(covariance_type, rng)
    floor = np.zeros(D)
    ahead = look_ahead(sample, start, maximize(table.expect([start])[0], start, floor), floor)
    np.testing.assert_allclose(ahead.weights @ ahead.means, 0.0, atol=1e-12)  # of centred rows
    within = ahead.dense_covariances + ahead.means[:, :, None] * ahead.means[:, None, :]
    found, expected = np.tensordot(ahead.weights, within, 1), np.cov(table.rows, bias=True)
    if covariance_type == "spherical":
        assert np.trace(found) == pytest.approx(np.trace(expected), rel=1e-10)
    elif covariance_type == "diag":
        np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=1e-10)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_each_lost_or_refused_proposal_halves_the_steps_looked_ahead(monkeypatch, rng):
    table, sample, start = table_sample_start("full", rng)
    far = random_mixture("full", K, D, rng, spread=9.0)
    asked: list[int] = []

    def misled(sample, point, image, floor, steps):
        asked.append(steps)
        return far

    monkeypatch.setattr("gmm_spark.core.em.ascent.look_ahead", misled)
    monkeypatch.setattr("gmm_spark.core.em.ascent.Anderson.propose", lambda *_: None)
    result = run_em(table, start, 8, accelerate=True, lookahead=sample)
    assert [record.step for record in result.history] == ["plain", "lost", "plain", *["refused"] * 3, *["plain"] * 2]
    assert asked == [10, 5, 2, 1]


def test_each_accepted_proposal_doubles_the_steps_looked_ahead(monkeypatch, rng):
    table, sample, start = table_sample_start("full", rng)
    far = random_mixture("full", K, D, rng, spread=9.0)
    asked: list[int] = []

    def misled_once(sample, point, image, floor, steps):
        asked.append(steps)
        return far if len(asked) == 1 else look_ahead(sample, point, image, floor, steps)

    monkeypatch.setattr("gmm_spark.core.em.ascent.look_ahead", misled_once)
    result = run_em(table, start, 6, accelerate=True, lookahead=sample)
    assert [record.step for record in result.history] == ["plain", "lost", "plain", *["extrapolated"] * 3]
    assert asked == [10, 5, 10, 10, 10]


def test_a_starved_component_stops_looking_ahead(rng):
    table, sample, start = table_sample_start("diag", rng, rows=2000)
    starved = MixtureParameters([0.5, 0.3, 0.2, 0.0], start.means, start.covariances, "diag")
    image = maximize(table.expect([starved])[0], starved, np.zeros(D))
    assert look_ahead(sample, starved, image, np.zeros(D)) is image


def test_a_proposal_is_evaluated_alone_until_one_is_lost_and_then_beside_the_plain_step(monkeypatch, rng):
    table, sample, start = table_sample_start("full", rng)
    far = random_mixture("full", K, D, rng, spread=9.0)
    monkeypatch.setattr("gmm_spark.core.em.ascent.look_ahead", lambda *_: far)
    monkeypatch.setattr("gmm_spark.core.em.ascent.Anderson.propose", lambda *_: None)
    counted = CountingTable(table.rows)
    plain = run_em(table, start, 4)
    result = run_em(counted, start, 5, accelerate=True, lookahead=sample)
    assert [record.step for record in result.history] == ["plain", "lost", "plain", "refused", "refused"]
    assert counted.candidates == [1, 1, 1, 2, 2]
    np.testing.assert_allclose(result.parameters.means, plain.parameters.means, rtol=1e-12)
