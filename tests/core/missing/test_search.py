"""The search with missing values: moments, seeds, reseeding and acceleration see what was observed."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.reseeding import reseed
from gmm_spark.core.kernels.distance_draw import DrawRequest, Nearest
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.missing.filling import fill
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.single import search
from gmm_spark.core.search.starts import START_MODES
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.core.missing import textbook
from tests.examples import draw_rows, matched, random_mixture, run_em


@pytest.fixture(scope="module")
def truth() -> MixtureParameters:
    return random_mixture("full", 3, 4, np.random.default_rng(11), spread=3.0)


@pytest.fixture(scope="module")
def rows(truth: MixtureParameters) -> np.ndarray:
    rng = np.random.default_rng(12)
    return textbook.with_holes(draw_rows(truth, 3000, rng)[0], 0.2, rng)


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_of_the_observed_values_however_rows_are_split(rows, weighted):
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.5, 2.0, rows.shape[1]) if weighted else None
    parts = [
        Moments.of(rows[:, at], None if weight is None else weight[at]) for at in np.array_split(np.arange(3000), 7)
    ]
    found = sum(parts[1:], parts[0])
    masked = np.ma.masked_invalid(rows)
    mean = np.ma.average(masked, axis=1, weights=weight)
    variance = np.ma.average((masked - mean[:, None]) ** 2, axis=1, weights=weight)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-12)
    total = (np.ones(3000) if weight is None else weight).sum()
    share = found.observed / found.weights.total
    np.testing.assert_allclose(share, (~np.isnan(rows) @ (np.ones(3000) if weight is None else weight)) / total)


def test_moments_of_a_part_without_a_value_of_a_feature_change_nothing_of_it():
    rows = np.array([[1.0, 2.0, 3.0], [np.nan, np.nan, 5.0]])
    found = Moments.of(rows[:, :2]) + Moments.of(rows[:, 2:])
    assert found.mean.tolist() == [2.0, 5.0]
    assert found.constant.tolist() == [False, True]
    again = Moments.from_vector(found.vector())
    assert again.observed.tolist() == [3.0, 1.0]


def test_a_profile_is_of_the_observed_values(rows):
    holed = np.where(np.isnan(rows), np.nan, np.round(rows))
    found = ColumnProfile.of(holed)
    for i, column in enumerate(holed):
        alone = ColumnProfile.of(column[~np.isnan(column)][None])
        assert found.step[i] == alone.step[0] == 1.0
        np.testing.assert_array_equal(found.quartiles[:, i], alone.quartiles[:, 0])


@pytest.mark.parametrize("mode", START_MODES)
def test_every_kind_of_start_leads_to_the_known_parameters(truth, rows, mode):
    table = ArrayTable(rows)
    result = search(table, (rows, None), Settings(3, "full", n_init=5, init_mode=mode, tol=1e-9))
    found = result.parameters.shifted(table.moments.mean)
    order = matched(found, truth.means)
    np.testing.assert_allclose(found.means[order], truth.means, atol=0.2)
    np.testing.assert_allclose(found.weights[order], truth.weights, atol=0.03)


def test_the_likelihood_never_falls_and_is_the_textbooks(rows, covariance_type):
    few = rows[:, :300]
    table = ArrayTable(few)
    start = MixtureParameters(np.full(3, 1 / 3), np.zeros((3, 4)), np.broadcast_to(np.eye(4), (3, 4, 4)))
    kind = (
        start.structure
        if covariance_type == "full"
        else random_mixture(covariance_type, 3, 4, np.random.default_rng(2)).structure
    )
    means = np.array([[-2.0, 0.0, 1.0, 0.0], [2.0, 1.0, 0.0, 1.0], [0.0, -2.0, 0.0, -1.0]])
    start = MixtureParameters(
        start.weights, means, kind.initial_covariances(table.moments.variance, 3), covariance_type
    )
    result = run_em(table, start, 6)
    assert np.diff([record.lower_bound for record in result.history]).min() > 0
    by_hand = start.shifted(table.moments.mean)
    for _ in range(5):
        by_hand = textbook.maximize(textbook.expect(by_hand, few), covariance_type)
    expected = textbook.expect(by_hand, few)
    assert result.history[-1].lower_bound == pytest.approx(expected.log_likelihood / 300, rel=1e-9)


def test_accelerated_runs_reach_the_end_of_plain_ones_in_fewer_passes(truth, rows):
    table = ArrayTable(rows)
    start = MixtureParameters(
        np.full(3, 1 / 3), 0.3 * truth.means - table.moments.mean, np.broadcast_to(4 * np.eye(4), (3, 4, 4))
    )
    plain = run_em(table, start, 500, 1e-10)
    part = table.part(1500, np.random.default_rng(3))
    fast = run_em(table, start, 500, 1e-10, accelerate=True, sample=part, lookahead=part)
    assert len(fast.history) < len(plain.history)
    assert fast.lower_bound == pytest.approx(plain.lower_bound, abs=1e-7)
    assert np.diff([r.lower_bound for r in fast.history if r.step != "lost"]).min() > -1e-12


def test_a_component_without_weight_is_put_at_a_place_without_gaps(truth, rows):
    table = ArrayTable(rows)
    lost = MixtureParameters([0.5, 0.5, 0.0], truth.means - table.moments.mean, truth.covariances)
    found = reseed(lost, [2], table, np.random.default_rng(4))
    assert found is not None
    assert np.isfinite(found.means).all()
    assert np.linalg.norm(found.means[2] + table.moments.mean - truth.means[2]) < 3.0


def test_a_row_is_nearest_to_the_site_whose_observed_features_are():
    sites = np.array([[0.0, 5.0], [0.0, 0.0], [0.0, 5.0]])  # two sites, of three features
    rows = np.array([[np.nan, 4.0, 0.0], [1.0, np.nan, 3.0], [5.0, np.nan, np.nan]])
    nearest, distance = Nearest(DrawRequest(np.zeros(3), np.ones(3), sites, 0, 0, 1.0))(rows)
    assert nearest.tolist() == [1, 1, 0]
    np.testing.assert_allclose(distance, [1.0 * 3 / 2, 1.0 * 3, 9.0 * 3 / 2])


def test_values_are_filled_in_by_conditional_means(truth, rows):
    filled, variance = fill(truth, rows[:, :200])
    expected = textbook.expect(truth, rows[:, :200])
    np.testing.assert_allclose(filled.sum(axis=1), expected.first.sum(axis=0), rtol=1e-9)
    assert np.array_equal(variance == 0, ~np.isnan(rows[:, :200]))
    second = np.diagonal(expected.second, axis1=1, axis2=2).sum(axis=0)
    np.testing.assert_allclose((filled**2 + variance).sum(axis=1), second, rtol=1e-9)
