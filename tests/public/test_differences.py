"""What is deliberately different from pyspark.ml and scikit-learn: a test for each line of docs/differences.md."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.core.settings import DEFAULTS
from gmm_spark.errors import DataError, DegenerateComponentError, ParameterError
from tests.examples import blobs
from tests.public.adapter import Mixture
from tests.tables import array_table

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
ROWS = blobs().T


def test_the_page_lists_these_tests_and_no_others():
    listed = re.findall(r"`(test_\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    ours = [name for name in globals() if name.startswith("test_")][1:]
    assert sorted(listed) == sorted(ours)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return array_table(spark, ROWS)


@pytest.fixture(scope="module")
def fitted(table: DataFrame) -> GaussianMixtureModel:
    start = MixtureParameters(np.full(3, 1 / 3), ROWS[:3], np.ones(3), "spherical")
    return GaussianMixture(maxIter=2, tol=0.0, seed=4).setInitialModel(start).fit(table)


# From pyspark.ml


def test_k_may_be_one(covariance_type):
    found = Mixture(1, covariance_type).fit(ROWS)
    np.testing.assert_allclose(found.means_[0], ROWS.mean(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(found.weights_, [1.0])


def test_tol_means_the_same_for_any_number_of_rows():
    assert DEFAULTS.tol == 1e-4
    start: dict[str, Any] = {"means_init": ROWS[:3], "n_components": 3, "accelerate": False}
    once, often = (Mixture(**start).fit(np.tile(ROWS, (times, 1))) for times in (1, 30))
    assert once.n_iter_ == often.n_iter_ > 5
    assert abs(once.lower_bounds_[-1] - once.lower_bounds_[-2]) < 1e-4


def test_ten_starts_and_a_fixed_seed_are_the_defaults():
    assert (DEFAULTS.n_init, DEFAULTS.seed) == (10, 0)
    assert (GaussianMixture().getNInit(), GaussianMixture().getSeed()) == (10, 0)


@pytest.mark.parametrize("d", [20, 60])
def test_far_clusters_stay_apart_in_many_dimensions(covariance_type, d):
    rng = np.random.default_rng(d)
    rows = rng.normal(size=(400, d)) + np.where(np.arange(400) % 2, 5.0, -5.0)[:, None]
    found = Mixture(2, covariance_type).fit(rows)
    assert len(set(found.predict(rows[::2]))) == len(set(found.predict(rows[1::2]))) == 1
    np.testing.assert_allclose(found.weights_, 0.5, atol=1e-9)


def test_rows_on_a_line_are_fitted(covariance_type):
    rows = np.random.default_rng(0).normal(size=(200, 1)) @ np.ones((1, 4))
    found = Mixture(2, covariance_type).fit(rows)
    assert np.isfinite(found.score(rows))
    assert np.linalg.eigvalsh(found.parameters.dense_covariances).min() >= 0.999e-6 * rows.var()


def test_an_initial_model_sets_k_and_the_structure():
    initial = MixtureParameters([0.5, 0.2, 0.3], [[1.0], [2.0], [3.0]], [1.0, 1.0, 1.0], "spherical")
    estimator = GaussianMixture(k=9).setInitialModel(initial)
    assert (estimator.getK(), estimator.getCovarianceType()) == (3, "spherical")


def test_the_log_likelihood_is_that_of_the_model_returned(fitted):
    density = sum(
        weight * multivariate_normal(mean, covariance * np.eye(3)).pdf(ROWS)
        for weight, mean, covariance in zip(fitted.weights, fitted.means, fitted.covariances, strict=True)
    )
    assert fitted.summary.logLikelihood == pytest.approx(np.log(density).sum(), rel=1e-10)
    last = fitted.summary.history[-1].lower_bound  # of the parameters before the last step
    assert fitted.summary.lowerBound > last + 1e-6


def test_weights_are_an_array(fitted):
    assert isinstance(fitted.weights, np.ndarray)
    assert np.array_equal(fitted.weights, fitted.parameters.weights)


def test_the_aggregation_depth_changes_nothing(table):
    flat, deep = (GaussianMixture(maxIter=1, nInit=1, aggregationDepth=depth).fit(table) for depth in (2, 5))
    np.testing.assert_array_equal(flat.means, deep.means)


def test_a_nan_is_refused_or_left_out(spark):
    table = array_table(spark, np.vstack([ROWS, [[np.nan, 0.0, 0.0]]]))
    with pytest.raises(DataError, match="NaN"):
        GaussianMixture(k=3, maxIter=1, nInit=1).fit(table)
    model = GaussianMixture(k=3, maxIter=1, nInit=1, handleInvalid="skip").fit(table)
    assert np.isfinite(model.means).all()
    assert model.summary.numRows == len(ROWS)


# From scikit-learn


def test_an_estimator_has_no_methods_of_a_model():
    for method in ("predict", "predictProbability", "transform", "sample", "bic", "logLikelihood"):
        assert not hasattr(GaussianMixture(), method)
        assert hasattr(GaussianMixtureModel, method)


def test_a_fit_that_has_not_converged_says_so_and_does_not_warn(covariance_type):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Mixture(3, covariance_type, means_init=ROWS[:3], max_iter=1).fit(ROWS)
    assert not found.converged_


def test_the_floor_changes_nothing_where_it_does_not_bind(covariance_type):
    start = {"n_components": 3, "covariance_type": covariance_type, "means_init": ROWS[:3], "max_iter": 20, "tol": 0.0}
    bounded, free = (Mixture(**start, reg_covar=share).fit(ROWS) for share in (1e-3, 0.0))
    np.testing.assert_array_equal(bounded.covariances_, free.covariances_)


def test_a_change_of_units_changes_nothing():
    # Values of two clusters, one of them a single value: a component is at the floor.
    rows = np.concatenate([ROWS, np.zeros((100, 3))])
    unit = np.array([1e-6, 1.0, 1e6])
    for kind in ("full", "tied", "diag"):
        here, there = (Mixture(3, kind, max_iter=30, n_init=3).fit(rows * scale) for scale in (1.0, unit))
        np.testing.assert_allclose(there.weights_, here.weights_, rtol=1e-5)
        np.testing.assert_allclose(there.means_ / unit, here.means_, rtol=1e-5, atol=1e-6)


def test_rounded_values_do_not_buy_components(covariance_type):
    rows = np.round(np.random.default_rng(0).normal(scale=3.0, size=(1500, 1)))
    found = [Mixture(k, covariance_type).fit(rows).bic(rows) for k in (1, 2, 6, 10)]
    assert int(np.argmin(found)) == 0


def test_more_components_than_distinct_rows_are_refused(covariance_type):
    rows = np.repeat([[0.0, 1.0], [1.0, 0.0]], 5, axis=0)
    with pytest.raises(DataError, match="k=10 but the rows that starts are drawn from have 2 distinct values"):
        Mixture(10, covariance_type).fit(rows)


def test_no_pass_at_all_is_refused():
    with pytest.raises(ParameterError, match="maxIter=0"):
        Mixture(max_iter=0, means_init=ROWS[:2]).fit(ROWS)


def test_a_component_that_collapses_is_put_elsewhere(covariance_type):
    rows = np.concatenate([ROWS, np.full((1, 3), 50.0)])
    start = {"n_components": 3, "covariance_type": covariance_type, "means_init": [ROWS[0], ROWS[1], rows[-1]]}
    found = Mixture(**start, reg_covar=0.0).fit(rows)
    assert np.isfinite(found.score(rows))
    line = np.random.default_rng(0).normal(size=(50, 1)) @ np.ones((1, 3))
    if covariance_type in ("full", "tied"):
        with pytest.raises(DegenerateComponentError, match="not positive definite"):
            Mixture(2, covariance_type, reg_covar=0.0).fit(line)


@pytest.mark.parametrize(("covariance_type", "n"), [("full", 40), ("diag", 50), ("spherical", 50)])
def test_the_likeliest_start_is_not_taken_for_a_handful_of_rows(covariance_type, n):
    rows = np.random.default_rng(0).normal(size=(n, 5))
    single = [Mixture(2, covariance_type, n_init=1, random_state=seed).fit(rows) for seed in range(10)]
    on_few = [one.score(rows) for one in single if one.weights_.min() * n < 6]
    taken = Mixture(2, covariance_type).fit(rows)
    assert taken.weights_.min() * n >= 6
    assert max(on_few) > taken.score(rows)


def test_initial_weights_and_precisions_need_means():
    with pytest.raises(ParameterError, match="weights or precisions without means"):
        GaussianMixture().setInitialMeans(None, [0.5, 0.5])
    with pytest.raises(ParameterError, match="weights or precisions without means"):
        GaussianMixture().setInitialMeans(None, None, np.ones((2, 1, 1)))


def test_initial_means_start_under_the_variances_of_the_table(covariance_type):
    found = Mixture(3, covariance_type, means_init=ROWS[:3], max_iter=1).fit(ROWS)
    variance = ROWS.var(axis=0)
    if covariance_type == "spherical":
        variance = np.full(3, variance.mean())
    density = sum(multivariate_normal(mean, np.diag(variance)).pdf(ROWS) / 3 for mean in ROWS[:3])
    assert found.lower_bounds_[0] == pytest.approx(np.log(density).mean(), rel=1e-9)


def test_starts_are_drawn_by_k_means_plus_plus():
    assert GaussianMixture().getInitMode() == DEFAULTS.init_mode == "k-means++"


def test_parameters_are_float64_whatever_the_rows(covariance_type):
    single = Mixture(3, covariance_type, precision="float32").fit(ROWS.astype(np.float32))
    for array in (single.weights_, single.means_, single.covariances_, single.precisions_cholesky_):
        assert array.dtype == np.float64
    assert single.score(ROWS) == pytest.approx(Mixture(3, covariance_type).fit(ROWS).score(ROWS), abs=1e-3)


def test_rows_may_have_weights(covariance_type):
    heavy = np.where(np.arange(len(ROWS)) < 100, 3.0, 1.0)
    start = {"n_components": 3, "covariance_type": covariance_type, "means_init": ROWS[:3], "max_iter": 5, "tol": 0.0}
    weighted = Mixture(**start, accelerate=False).fit(ROWS, heavy)
    repeated = Mixture(**start, accelerate=False).fit(np.concatenate([ROWS, ROWS[:100], ROWS[:100]]))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-8)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-8)


def test_a_fit_goes_on_from_a_model(fitted, table):
    going_on = GaussianMixture(maxIter=1, accelerate=False).setInitialModel(fitted).fit(table)
    assert going_on.summary.history[0].lower_bound == pytest.approx(fitted.summary.lowerBound, rel=1e-10)


def test_the_callback_sees_every_pass(table, capsys):
    seen: list[Any] = []
    model = GaussianMixture(k=3, maxIter=3, tol=0.0, nInit=1).setCallback(seen.append).fit(table)
    assert [record.iteration for record in seen] == [1, 2, 3]
    assert [record.lower_bound for record in seen] == [record.lower_bound for record in model.summary.history]
    assert capsys.readouterr().out == ""
