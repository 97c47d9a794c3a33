from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from gmm_spark.core.mixture.criteria import aic, bic, icl
from gmm_spark.core.table import ArrayTable
from tests.examples import draw_rows, laws, random_mixture
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


CRITERIA = {
    "aic": lambda found, p: aic(found.log_likelihood, p),
    "bic": lambda found, p: bic(found.log_likelihood, p, found.weight_sum),
    "icl": lambda found, p: icl(found.log_likelihood, p, found.weight_sum, found.entropy),
}


def judge(mixture, rows, weight, kind):
    table = ArrayTable(rows, weight)
    found = table.evaluate(mixture.shifted(-table.moments.mean)).counted(kind)
    return {name: of(found, mixture.n_parameters) for name, of in CRITERIA.items()} | {"LL": found.log_likelihood}


@laws
@given(counts=st.lists(st.integers(0, 5), min_size=200, max_size=200).filter(lambda counts: sum(counts) > 1))
def test_a_frequency_is_the_row_so_many_times_in_all_criteria(counts):
    rng = np.random.default_rng(1)
    mixture = random_mixture("full", 3, 2, rng, spread=1.0)
    rows = draw_rows(mixture, 200, rng)[0]
    found = judge(mixture, rows, np.array(counts, float), "frequency")
    assert found == pytest.approx(judge(mixture, np.repeat(rows, counts, axis=1), None, "frequency"), rel=1e-10)


@laws
@given(scale=st.floats(1e-120, 1e120))
def test_a_factor_of_importance_weights_changes_no_criterion(scale):
    rng = np.random.default_rng(1)
    mixture = random_mixture("full", 3, 2, rng, spread=1.0)
    rows, weight = draw_rows(mixture, 200, rng)[0], rng.gamma(0.5, size=200)
    expected = judge(mixture, rows, weight, "importance")
    assert judge(mixture, rows, scale * weight, "importance") == pytest.approx(expected, rel=1e-10)
    # Of equal importances each is a row.
    equal = judge(mixture, rows, np.full(200, scale), "importance")
    assert equal == pytest.approx(judge(mixture, rows, None, "importance"), rel=1e-10)


def test_importance_weights_make_up_kishs_rows(mixture, rows, rng):
    weight = rng.gamma(0.5, size=200)
    n = weight.sum() ** 2 / (weight**2).sum()
    oracle = sklearn_mixture(mixture)
    mean = np.average(oracle.score_samples(rows.T), weights=weight)
    uncertain = np.average(entropy(oracle.predict_proba(rows.T), axis=1), weights=weight)
    p = mixture.n_parameters
    expected = {"LL": n * mean, "aic": -2 * n * mean + 2 * p, "bic": -2 * n * mean + p * np.log(n)}
    expected["icl"] = expected["bic"] + 2 * n * uncertain
    assert judge(mixture, rows, weight, "importance") == pytest.approx(expected, rel=1e-10)


def test_without_overlap_icl_is_bic():
    assert icl(-10.0, 3, 20.0, 0.0) == bic(-10.0, 3, 20.0) == 20.0 + 3 * np.log(20.0)
