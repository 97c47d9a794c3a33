from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from gmm_spark.core.mixture.criteria import aic, bic, icl
from gmm_spark.core.table import ArrayTable
from tests.examples import draw_rows, random_mixture
from tests.oracles import sklearn_mixture


@pytest.fixture
def mixture(covariance_type, rng):
    return random_mixture(covariance_type, 3, 2, rng, spread=1.0)


@pytest.fixture
def rows(mixture, rng):
    return draw_rows(mixture, 200, rng)[0]


@pytest.fixture
def evaluation(mixture, rows):
    table = ArrayTable(rows)
    return table.evaluate(mixture.shifted(-table.moments.mean))


def test_aic_and_bic_are_scikit_learns(mixture, rows, evaluation):
    oracle = sklearn_mixture(mixture)
    ours = evaluation.log_likelihood, mixture.n_parameters
    assert aic(*ours) == pytest.approx(oracle.aic(rows.T), rel=1e-10)
    assert bic(*ours, evaluation.weight_sum) == pytest.approx(oracle.bic(rows.T), rel=1e-10)


def test_icl_is_bic_plus_twice_the_entropy_of_scikit_learns_responsibilities(mixture, rows, evaluation):
    oracle = sklearn_mixture(mixture)
    expected = oracle.bic(rows.T) + 2 * entropy(oracle.predict_proba(rows.T), axis=1).sum()
    found = icl(evaluation.log_likelihood, mixture.n_parameters, evaluation.weight_sum, evaluation.entropy)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("log_likelihood", "n_parameters", "n", "published"),
    # mclust's own figures: faithful k=2 full, iris k=2 and k=3 full.
    [(-1130.2640, 11, 272, 2322.1917), (-214.3547, 29, 150, 574.0178), (-180.1855, 44, 150, 580.8389)],
)
def test_bic_of_published_fits(log_likelihood, n_parameters, n, published):
    assert bic(log_likelihood, n_parameters, n) == pytest.approx(published, abs=2e-4)  # LL is given to 5e-5


def test_without_overlap_icl_is_bic():
    assert icl(-10.0, 3, 20.0, 0.0) == bic(-10.0, 3, 20.0) == 20.0 + 3 * np.log(20.0)
