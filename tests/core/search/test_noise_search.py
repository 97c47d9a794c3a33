"""Fits with noise: they find what the clean rows alone show, and noise fades where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.criteria import bic
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import polish, search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError
from tests.examples import matched, result_of

MEANS = np.array([[0.0, 0.0], [6.0, 2.0]])


def clean_and_noisy(seed: int, m: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Two clusters, (2, m), and the same with one more row in ten, uniform over a box far wider than they are."""
    rng = np.random.default_rng(seed)
    shapes = np.array([[1.0, 0.6], [0.6, 1.0]]), np.array([[0.5, -0.2], [-0.2, 0.8]])
    first = rng.random(m) < 0.35
    clean = np.where(
        first[:, None], rng.multivariate_normal(MEANS[0], shapes[0], m), rng.multivariate_normal(MEANS[1], shapes[1], m)
    )
    outliers = rng.uniform([-25.0, -20.0], [30.0, 25.0], (m // 9, 2))
    return clean.T, np.concatenate([clean, outliers]).T


def fit(rows, seed=0, **settings):
    table = ArrayTable(rows)
    result = search(table, (rows, None), Settings(**{"k": 2, "seed": seed, "n_init": 4} | settings))
    return result, result.parameters.shifted(table.moments.mean)


@pytest.mark.parametrize("seed", range(4))
def test_a_fit_with_outliers_is_that_of_the_clean_rows(covariance_type, seed):
    clean, noisy = clean_and_noisy(seed)
    _, expected = fit(clean, seed, covariance_type=covariance_type)
    result, found = fit(noisy, seed, covariance_type=covariance_type, noise=True)
    assert result.converged
    order = matched(found, expected.means)
    assert found.noise is not None
    assert found.noise.weight == pytest.approx(0.1, abs=0.015)
    np.testing.assert_allclose(found.weights[order] / found.weights.sum(), expected.weights, atol=0.01)
    np.testing.assert_allclose(found.means[order], expected.means, atol=0.05)
    np.testing.assert_allclose(found.deviations[order], expected.deviations, atol=0.05)
    # Without noise the outliers stretch a component, or have one of their own.
    _, without = fit(noisy, seed, covariance_type=covariance_type)
    wide = without.deviations[matched(without, expected.means)].max()
    assert wide > 2 * expected.deviations.max()


def test_noise_fades_on_clean_rows(covariance_type):
    rng = np.random.default_rng(5)
    clean = rng.normal(size=(2, 3000)) + MEANS[(rng.random(3000) < 0.6).astype(int)].T  # every structure describes it
    _, expected = fit(clean, covariance_type=covariance_type)
    _, found = fit(clean, covariance_type=covariance_type, noise=True, tol=1e-7)
    assert found.noise is not None
    assert found.noise.weight < 0.005
    order = matched(found, expected.means)
    np.testing.assert_allclose(found.means[order], expected.means, atol=0.03)


def test_the_box_is_that_of_the_whole_table_and_not_of_the_sample():
    _, noisy = clean_and_noisy(1)
    table, sample = ArrayTable(noisy), np.ascontiguousarray(noisy[:, ::5])
    result = search(table, (sample, None), Settings(k=2, noise=True, n_init=2))
    noise = result.parameters.shifted(table.moments.mean).noise
    assert noise is not None
    np.testing.assert_allclose(noise.low, noisy.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(noise.high, noisy.max(axis=1), rtol=1e-12)


def test_rows_without_weight_do_not_widen_the_box():
    _, noisy = clean_and_noisy(1)
    rows = np.concatenate([noisy, np.full((2, 1), 1e6)], axis=1)
    weight = np.append(np.ones(noisy.shape[1]), 0.0)
    table = ArrayTable(rows, weight)
    found = search(table, (rows, weight), Settings(k=2, noise=True, n_init=2)).parameters.noise
    assert found is not None
    np.testing.assert_allclose((found.high - found.low), np.ptp(noisy, axis=1))


@pytest.mark.parametrize("noisy", [True, False])
def test_bic_chooses_noise_for_outliers_and_none_for_clean_rows(noisy):
    rows = clean_and_noisy(7)[noisy]
    table = ArrayTable(rows)
    members = [Settings(k=k, n_init=4, noise=noise) for k in (1, 2, 3) for noise in (False, True)]
    outcomes = [result_of(one) for one in sweep(table, lambda n, seed: (rows, None), members)]
    evaluations = table.evaluate_all([one.parameters for one in outcomes])
    scores = [
        bic(evaluation.log_likelihood, one.parameters.n_parameters, evaluation.weight_sum)
        for one, evaluation in zip(outcomes, evaluations, strict=True)
    ]
    best = members[int(np.argmin(scores))]
    assert (best.k, best.noise) == (2, noisy)


def test_members_of_a_grid_are_the_fits_alone():
    _, noisy = clean_and_noisy(3)
    table = ArrayTable(noisy)
    members = [Settings(k=2, n_init=4, noise=noise, tol=1e-8) for noise in (False, True)]
    together = sweep(table, lambda n, seed: (noisy, None), members)
    for member, outcome in zip(members, together, strict=True):
        alone = search(table, (noisy, None), member)
        assert result_of(outcome).lower_bound == pytest.approx(alone.lower_bound, abs=1e-6)


def test_a_given_start_gets_the_box_of_the_table_and_keeps_its_weight_of_noise():
    _, noisy = clean_and_noisy(2)
    table = ArrayTable(noisy)
    start = fit(noisy[:, :2000], noise=True)[0].parameters
    again = polish(table, (noisy, None), start, Settings(k=2, noise=True, max_iter=50))
    found = again.parameters.shifted(table.moments.mean).noise
    assert found is not None
    np.testing.assert_allclose(found.high, noisy.max(axis=1))
    assert found.weight == pytest.approx(0.1, abs=0.02)
    assert polish(table, (noisy, None), start.without_noise(), Settings(k=2, noise=True)).parameters.noise is not None


def test_a_constant_feature_is_refused():
    rows = np.stack([np.random.default_rng(0).normal(size=100), np.full(100, 3.0)])
    with pytest.raises(DataError, match=r"noise=True, but noise needs features that vary, and 1 of 2 have one value"):
        search(ArrayTable(rows), (rows, None), Settings(k=1, noise=True, covariance_type="spherical"))


def test_codes_are_noise_and_not_a_component(covariance_type):
    """Three rows in a hundred are far off in one column: without noise a component sits there, and clusters merge."""
    clean, _ = clean_and_noisy(4)
    rows = np.concatenate([clean, clean[:, ::33]], axis=1)
    rows[0, clean.shape[1] :] = np.random.default_rng(0).uniform(-1000.0, -900.0, rows.shape[1] - clean.shape[1])
    _, expected = fit(clean, covariance_type=covariance_type)
    _, found = fit(rows, covariance_type=covariance_type, noise=True)
    order = matched(found, expected.means)
    np.testing.assert_allclose(found.means[order], expected.means, atol=0.05)
