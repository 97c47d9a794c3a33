"""Densities and evaluations of rows with missing values, against scipy's marginals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.missing import evaluation
from gmm_spark.core.missing.density import log_density, responsibilities, weighted_log_prob
from gmm_spark.core.missing.evaluation import IncompleteEvaluationSums
from gmm_spark.core.missing.patterns import find_runs, order_by_pattern
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.parameters import MixtureParameters
from tests.core.missing import textbook
from tests.examples import draw_rows, random_mixture


def by_scipy(parameters: MixtureParameters, rows: np.ndarray) -> np.ndarray:
    """Log of weight times marginal density, (k, m)."""
    found = np.empty((parameters.n_components, rows.shape[1]))
    for i, row in enumerate(rows.T):
        o = np.flatnonzero(~np.isnan(row))
        for j, covariance in enumerate(parameters.dense_covariances):
            marginal = multivariate_normal(parameters.means[j, o], covariance[np.ix_(o, o)])
            found[j, i] = np.log(parameters.weights[j]) + marginal.logpdf(row[o])
    return found


def test_densities_are_those_of_the_marginals(covariance_type):
    rng = np.random.default_rng(1)
    parameters = random_mixture(covariance_type, 3, 4, rng)
    rows = textbook.with_holes(draw_rows(parameters, 100, rng)[0], 0.4, rng)
    expected = by_scipy(parameters, rows)
    np.testing.assert_allclose(weighted_log_prob(parameters, rows), expected, rtol=1e-10)
    np.testing.assert_allclose(log_density(parameters, rows), logsumexp(expected, axis=0), rtol=1e-10)
    shares = np.exp(expected - logsumexp(expected, axis=0))
    np.testing.assert_allclose(responsibilities(parameters, rows), shares, atol=1e-10)


def test_complete_rows_have_the_same_bits_as_ever(covariance_type):
    rng = np.random.default_rng(2)
    parameters = random_mixture(covariance_type, 3, 4, rng)
    rows, _ = draw_rows(parameters, 50, rng)
    assert np.array_equal(log_density(parameters, rows), density.log_density(parameters, rows))
    assert np.array_equal(responsibilities(parameters, rows), density.responsibilities(parameters, rows))


def test_a_row_of_which_nothing_was_observed_has_the_weights_as_responsibilities():
    parameters = random_mixture("full", 3, 2, np.random.default_rng(3))
    rows = np.array([[np.nan, 0.0], [np.nan, 0.0]])
    np.testing.assert_allclose(responsibilities(parameters, rows)[:, 0], parameters.weights)
    assert log_density(parameters, rows)[0] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
def test_an_evaluation_adds_up_what_was_observed(covariance_type, weighted, monkeypatch):
    monkeypatch.setattr(evaluation, "HISTOGRAM_ROWS", 10)
    rng = np.random.default_rng(4)
    parameters = random_mixture(covariance_type, 3, 4, rng, spread=1.5)
    rows = textbook.with_holes(draw_rows(parameters, 300, rng)[0], 0.3, rng, patterns=5)
    rows[:, :40] = draw_rows(parameters, 40, rng)[0]
    weight = rng.uniform(0.5, 2.0, 300) if weighted else np.ones(300)
    rows, weight = order_by_pattern(rows, weight)
    runs = list(find_runs(rows))
    counts = {run.pattern: run.rows.stop - run.rows.start for run in runs}
    sums = IncompleteEvaluationSums.of(plan_pass([parameters], np.zeros(4), np.ones(4)), [parameters], counts, True)
    accumulator = sums.accumulator()
    accumulator.add(rows, weight if weighted else None)
    (found,) = sums.read(accumulator.vector())

    terms = by_scipy(parameters, rows)
    densities = logsumexp(terms, axis=0)
    shares = np.exp(terms - densities)
    assert found.log_likelihood == pytest.approx(densities @ weight)
    assert found.entropy == pytest.approx(-np.sum(np.where(shares > 0, shares * np.log(shares), 0.0) @ weight))
    assert found.cluster_sizes.tolist() == np.bincount(terms.argmax(axis=0), minlength=3).tolist()
    assert found.rows == 300
    assert found.weight_sum == pytest.approx(weight.sum())
    # Each pattern's densities are in a histogram of their own.
    assert found.log_densities is found.log_densities_by_pattern[runs[0].pattern]
    for run in runs:
        if counts[run.pattern] >= 10:
            histogram = found.log_densities_by_pattern[run.pattern]
            assert histogram.weights.sum() == pytest.approx(weight[run.rows].sum())
            order = np.argsort(densities[run.rows])
            below = np.cumsum(weight[run.rows][order])
            median = densities[run.rows][order][np.searchsorted(below, 0.5 * below[-1])]
            assert histogram.quantile(0.5) == pytest.approx(median, abs=0.3)


def test_without_complete_rows_an_evaluation_has_no_histogram_of_them():
    parameters = random_mixture("full", 2, 2, np.random.default_rng(5))
    rows = np.array([[0.0, 1.0, 2.0], [np.nan, np.nan, np.nan]])
    sums = IncompleteEvaluationSums.of(
        plan_pass([parameters], np.zeros(2), np.ones(2)), [parameters], {b"\x40": 3}, True
    )
    accumulator = sums.accumulator()
    accumulator.add(rows, None)
    (found,) = sums.read(accumulator.vector())
    assert found.log_densities is None
    assert found.log_densities_by_pattern == {}
