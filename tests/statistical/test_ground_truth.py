"""Published and independently computed fits, each from our own search with regularisation off."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.criteria import bic
from gmm_spark.core.mixture.density import responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.examples import draw_rows, faithful, iris, matched, repeated_value, spark_bivariate, spark_univariate

# Enough starts that each of the four maxima below is found by several of them.
STARTS = 40


def fitted(rows: np.ndarray, **settings) -> tuple[MixtureParameters, float]:
    """Best fit in the table's own coordinates, and the total log-likelihood of these very parameters."""
    table = ArrayTable(rows)
    # A mean change of 1e-13 a row is below 1e-10 in the total.
    asked = Settings(**{"n_init": STARTS, "reg_covar": 0.0, "tol": 1e-13, "max_iter": 5000, **settings})
    result = search(table, (rows, None), asked)
    assert result.converged
    log_likelihood = table.evaluate(result.parameters).log_likelihood
    return result.parameters.shifted(table.moments.mean), log_likelihood


@pytest.mark.parametrize(
    ("table", "covariance_type", "k", "log_likelihood"),
    [
        (faithful, "full", 2, -1130.2640),
        (faithful, "tied", 3, -1126.3159),
        (iris, "full", 2, -214.3547),
        (iris, "full", 3, -180.1855),
        (iris, "tied", 3, -256.3540),
        (iris, "diag", 3, -306.8605),
        (spark_univariate, "full", 2, -30.375478),
        (spark_bivariate, "full", 2, -46.894993),
    ],
)
def test_the_search_finds_the_published_maximum(table, covariance_type, k, log_likelihood):
    _, found = fitted(table(), covariance_type=covariance_type, k=k)
    assert found == pytest.approx(log_likelihood, abs=1e-3)


def test_faithful_has_mclusts_weights_and_bic():
    parameters, log_likelihood = fitted(faithful(), k=2)
    assert parameters.n_parameters == 11
    assert bic(log_likelihood, parameters.n_parameters, 272) == pytest.approx(2322.1917, abs=1e-3)
    # Eruptions last about 2 or about 4.3 minutes.
    order = matched(parameters, np.array([[2.0, 54.5], [4.3, 80.0]]))
    np.testing.assert_allclose(parameters.weights[order], [0.3559, 0.6441], atol=5e-5)


@pytest.mark.parametrize(("k", "published"), [(2, 574.0178), (3, 580.8389)])
def test_iris_has_mclusts_bic(k, published):
    parameters, log_likelihood = fitted(iris(), k=k)
    assert bic(log_likelihood, parameters.n_parameters, 150) == pytest.approx(published, abs=1e-3)


def test_sparks_univariate_example_has_sparks_parameters():
    parameters, _ = fitted(spark_univariate(), k=2)
    expected = np.array([[5.1604], [-4.3673]])
    order = matched(parameters, expected)
    np.testing.assert_allclose(parameters.means[order], expected, atol=5e-5)
    np.testing.assert_allclose(parameters.covariances[order, 0, 0], [0.86644, 1.1098], atol=5e-5)
    np.testing.assert_allclose(parameters.weights[order], [2 / 3, 1 / 3], atol=1e-7)


def test_sparks_bivariate_example_has_the_parameters_of_rs_mixtools():
    parameters, _ = fitted(spark_bivariate(), k=2)
    means = np.array([[0.11731091, -0.06192351], [10.363673, 9.897081]])
    covariances = [
        [[0.62049934, 0.06880802], [0.06880802, 1.27431874]],
        [[0.2961543, 0.160783], [0.160783, 1.008878]],
    ]
    order = matched(parameters, means)
    np.testing.assert_allclose(parameters.weights[order], [7 / 15, 8 / 15], atol=1e-7)
    np.testing.assert_allclose(parameters.means[order], means, atol=1e-6)  # printed to seven digits
    np.testing.assert_allclose(parameters.covariances[order], covariances, atol=1e-6)


@pytest.mark.parametrize("d", [5, 20, 40, 100])
def test_two_clusters_ten_deviations_apart_on_every_axis_are_found_at_any_dimension(covariance_type, d):
    # pyspark.ml gives two identical components from d = 20 on.
    m = 1500
    rng = np.random.default_rng(d)
    truth = MixtureParameters([0.5, 0.5], [np.full(d, -5.0), np.full(d, 5.0)], [1.0, 1.0], "spherical")
    rows, components = draw_rows(truth, m, rng)
    parameters, _ = fitted(rows, k=2, covariance_type=covariance_type, n_init=3, tol=1e-9)
    order = matched(parameters, truth.means)
    predicted = np.argsort(order)[responsibilities(parameters, rows).argmax(axis=0)]
    np.testing.assert_array_equal(predicted, components)
    # Means of 750 rows: a difference has a standard error of 0.052 an axis; six of them for the largest of 165 axes.
    apart = parameters.means[order[1]] - parameters.means[order[0]]
    np.testing.assert_allclose(apart, 10.0, atol=6 * np.sqrt(2 / (m / 2)))


def test_a_repeated_value_is_never_nan_and_is_finite_under_regularisation(covariance_type):
    rows = repeated_value()
    reg_covar = 1e-6
    parameters, log_likelihood = fitted(
        rows, k=3, covariance_type=covariance_type, reg_covar=reg_covar, n_init=10, tol=1e-10
    )
    assert np.isfinite(log_likelihood)
    assert parameters.covariances.min() >= (1 - 1e-9) * reg_covar * rows.var()
    if covariance_type != "tied":
        # The best maximum has a component on the repeated value, as narrow as regularisation allows.
        narrow = parameters.covariances.argmin()
        assert parameters.means[narrow, 0] == pytest.approx(4.2, abs=1e-3)
        assert parameters.covariances.min() < 2 * reg_covar * rows.var()
