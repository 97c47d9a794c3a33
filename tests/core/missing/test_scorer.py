"""Scores of rows with missing values, against scipy's density of the observed features, row by row."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram
from gmm_spark.core.kernels.scorer import Scorer, plan_scoring
from gmm_spark.core.missing import marginals as marginals_module
from gmm_spark.core.missing.imputation import impute
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.measures import IncompleteMeasures
from gmm_spark.core.missing.scorer import IncompleteScorer, find_observed_reasons
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.conditioning import marginal, regress
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.reasons import find_reasons
from gmm_spark.errors import ParameterError
from tests.examples import draw_rows, random_mixture


def with_holes(rows: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Rows with values missing at random; each keeps one at least."""
    rng = np.random.default_rng(seed)
    missing = rng.random(rows.shape) < share
    missing[rng.integers(len(rows), size=rows.shape[1]), np.arange(rows.shape[1])] = False
    return np.where(missing, np.nan, rows)


def terms_by_scipy(parameters: MixtureParameters, rows: np.ndarray) -> np.ndarray:
    """Log of weight times density of the observed features, (k, m)."""
    found = np.empty((parameters.n_components, rows.shape[1]))
    for i, row in enumerate(rows.T):
        o = np.flatnonzero(~np.isnan(row))
        for j, covariance in enumerate(parameters.dense_covariances):
            gaussian = multivariate_normal(parameters.means[j, o], covariance[np.ix_(o, o)])
            found[j, i] = np.log(parameters.weights[j]) + gaussian.logpdf(row[o])
    return found


@pytest.fixture(params=[0, 1000], ids=["by pattern", "together"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each pattern by itself, or all of them together as if each had few rows."""
    monkeypatch.setattr(marginals_module, "FEW", request.param)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_scores_are_those_of_the_observed_features(covariance_type: str, precision: str) -> None:
    rng = np.random.default_rng(1)
    parameters = random_mixture(covariance_type, 4, 5, rng)
    rows = with_holes(draw_rows(parameters, 300, rng)[0], 0.4)
    rows[1:, 0] = np.nan  # one value
    terms = terms_by_scipy(parameters, rows)
    found = IncompleteScorer(Marginals(parameters, precision)).score(rows, probability=True)
    exact = precision == "float64"
    expected = logsumexp(terms, axis=0)
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-11 if exact else 1e-4)
    shares = np.exp(terms - expected).T
    np.testing.assert_allclose(found.probability, shares, atol=1e-11 if exact else 1e-3)
    clear = np.sort(shares, axis=1)[:, -1] > 0.51
    np.testing.assert_array_equal(found.prediction[clear], shares.argmax(axis=1)[clear])


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_complete_rows_have_the_same_bits_as_without_missing_values(covariance_type: str, precision: str) -> None:
    rng = np.random.default_rng(2)
    parameters = random_mixture(covariance_type, 4, 5, rng)
    rows, _ = draw_rows(parameters, 3000, rng)
    expected = Scorer(plan_scoring(parameters, precision)).score(rows, probability=True)
    scorer = IncompleteScorer(Marginals(parameters, precision))
    scorer.score(with_holes(rows, 0.3), probability=True)  # whose buffers it shares
    for one, other in zip(scorer.score(rows, probability=True), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    # A few of them among others have those of a few.
    alone = Scorer(plan_scoring(parameters, precision)).score(rows[:, :5], probability=True)
    mixed = scorer.score(np.concatenate([rows[:, :5], with_holes(rows[:, 5:50], 0.9)], axis=1), probability=True)
    for name in mixed._fields:
        np.testing.assert_array_equal(getattr(mixed, name)[:5], getattr(alone, name))


@pytest.mark.usefixtures("few")
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # which tasks do not stop at
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_rows_too_far_off_for_a_density_belong_to_the_nearest_component_by_what_is_observed(
    covariance_type: str, precision: str
) -> None:
    parameters = random_mixture(covariance_type, 3, 4, np.random.default_rng(3))
    near = draw_rows(parameters, 40, np.random.default_rng(4))[0]
    rows = with_holes(np.concatenate([near, 1e200 * near], axis=1), 0.5)
    found = IncompleteScorer(Marginals(parameters, precision)).score(rows, probability=True)
    assert np.isfinite(found.log_density[:40]).all()
    assert np.isneginf(found.log_density[40:]).all()
    assert found.probability is not None
    np.testing.assert_array_equal(found.probability[40:].max(axis=1), 1.0)
    if covariance_type == "spherical":  # the widest component is nearest, whatever is observed
        assert (found.prediction[40:] == parameters.covariances.argmax()).all()


def test_marginals_are_kept_up_to_a_limit_and_scores_do_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    parameters = random_mixture("full", 3, 6, rng)
    rows = with_holes(draw_rows(parameters, 400, rng)[0], 0.5)
    monkeypatch.setattr(marginals_module, "FEW", 0)
    expected = IncompleteScorer(Marginals(parameters)).score(rows, probability=True)
    monkeypatch.setattr(marginals_module, "_KEPT_BYTES", 0)
    few = Marginals(parameters)
    found = IncompleteScorer(few).score(rows, probability=True)
    assert len(few._kept) == marginals_module._KEPT
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_was_made_for_patterns_is_not_pickled() -> None:
    parameters = random_mixture("full", 3, 6, np.random.default_rng(5))
    marginals = Marginals(parameters, "float32")
    empty = len(pickle.dumps(marginals))
    IncompleteScorer(marginals).score(with_holes(np.ones((6, 50)), 0.5))
    copied = pickle.loads(pickle.dumps(marginals))
    assert len(pickle.dumps(marginals)) <= empty + 200
    assert copied.precision == "float32"
    assert not copied._kept


@pytest.mark.usefixtures("few")
def test_a_covariance_that_is_nearly_singular_can_be_looked_at_through_any_features() -> None:
    rng = np.random.default_rng(13)
    found = 0
    for _ in range(120):
        mixing = rng.normal(size=(4, 4))
        mixing[3] = rng.normal() * mixing[0] + mixing[1] + 10 ** rng.uniform(-8.5, -7.5) * rng.normal(size=4)
        scale = 10 ** rng.uniform(-3, 3, (4, 1))
        covariance = (scale * mixing) @ (scale * mixing).T
        try:
            parameters = MixtureParameters([1.0], np.zeros((1, 4)), covariance[None])
        except ParameterError:
            continue
        found += 1
        scorer = IncompleteScorer(Marginals(parameters))
        rows = with_holes(scale * np.ones(50), 0.5)
        assert np.isfinite(scorer.score(rows).log_density).all()
        assert np.isfinite(impute(scorer, rows)).all()
    assert found > 10


def test_reasons_name_observed_features_alone(covariance_type: str) -> None:
    rng = np.random.default_rng(6)
    parameters = random_mixture(covariance_type, 3, 5, rng)
    rows = with_holes(3 * draw_rows(parameters, 60, rng)[0], 0.6)
    marginals = Marginals(parameters)
    components = IncompleteScorer(marginals).score(rows).prediction
    found = find_observed_reasons(marginals, rows, components)
    for i, row in enumerate(rows.T):
        o = np.flatnonzero(~np.isnan(row))
        covariance = parameters.dense_covariances[components[i]][np.ix_(o, o)]
        precision = np.linalg.inv(covariance)
        z = precision @ (row[o] - parameters.means[components[i], o]) / np.sqrt(np.diagonal(precision))
        order = np.argsort(-np.abs(z), kind="stable")[:3]
        assert found.features[:, i].tolist() == [*o[order], *[-1] * (3 - len(order))]
        np.testing.assert_allclose(found.z[: len(order), i], z[order], rtol=1e-9)
        assert np.isnan(found.z[len(order) :, i]).all()


def test_reasons_of_training_rows_are_the_same_as_ever() -> None:
    parameters = random_mixture("full", 3, 5, np.random.default_rng(7))
    rows, components = draw_rows(parameters, 20, np.random.default_rng(8))
    for one, other in zip(
        find_observed_reasons(Marginals(parameters), rows, components),
        find_reasons(parameters, rows, components),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("few")
def test_missing_values_are_filled_by_the_conditional_mean(covariance_type: str) -> None:
    rng = np.random.default_rng(9)
    parameters = random_mixture(covariance_type, 3, 4, rng)
    rows = with_holes(draw_rows(parameters, 80, rng)[0], 0.5)
    terms = terms_by_scipy(parameters, rows)
    shares = np.exp(terms - logsumexp(terms, axis=0))
    filled = impute(IncompleteScorer(Marginals(parameters)), rows)
    observed = ~np.isnan(rows)
    np.testing.assert_array_equal(filled[observed], rows[observed])
    for i, row in enumerate(rows.T):
        o, m = np.flatnonzero(observed[:, i]), np.flatnonzero(~observed[:, i])
        expected = np.zeros(len(m))
        for share, mean, covariance in zip(shares[:, i], parameters.means, parameters.dense_covariances, strict=True):
            slopes = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
            expected += share * (mean[m] + slopes @ (row[o] - mean[o]))
        np.testing.assert_allclose(filled[m, i], expected, rtol=1e-9, atol=1e-11)


def test_imputed_values_are_nearer_to_the_truth_than_column_means() -> None:
    rng = np.random.default_rng(10)
    parameters = random_mixture("full", 4, 6, rng)
    truth, _ = draw_rows(parameters, 4000, rng)
    rows = with_holes(truth, 0.3)
    missing = np.isnan(rows)
    filled = impute(IncompleteScorer(Marginals(parameters)), rows)
    by_means = np.where(missing, np.nanmean(rows, axis=1)[:, None], rows)
    unit = truth.std(axis=1)[:, None]
    errors = [np.sqrt(np.mean((((one - truth) / unit)[missing]) ** 2)) for one in (filled, by_means)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.usefixtures("few")
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # which tasks do not stop at
def test_noise_is_a_component_of_the_box_of_what_is_observed(covariance_type: str) -> None:
    rng = np.random.default_rng(12)
    noise = Noise(0.2, np.full(4, -30.0), np.full(4, 50.0))
    parameters = random_mixture(covariance_type, 3, 4, rng).with_noise(noise)
    rows = with_holes(np.concatenate([rng.uniform(-30, 50, (4, 60)), np.full((4, 3), 1e200)], axis=1), 0.5)
    scorer = IncompleteScorer(Marginals(parameters))
    found, filled = scorer.score(rows, probability=True), impute(scorer, rows)
    assert found.probability is not None
    for i, row in enumerate(rows.T):
        o = np.flatnonzero(~np.isnan(row))
        some = marginal(parameters, o.tolist())
        assert found.log_density[i] == pytest.approx(density.log_density(some, row[o, None])[0], rel=1e-11)
        np.testing.assert_allclose(found.probability[i], density.responsibilities(some, row[o, None])[:, 0], atol=1e-11)
        if i < 60 and len(o) < 4:
            # Gaussians alone: the middle of the box is no expectation that anybody could use.
            expected, _ = regress(parameters.without_noise(), o.tolist(), row[o, None])
            np.testing.assert_allclose(np.delete(filled[:, i], o), expected[:, 0], rtol=1e-9)
        assert np.isfinite(filled[:, i]).all()
    with pytest.raises(ParameterError, match="noise"):
        Thresholds.of_training(Marginals(parameters), 0.01, LogDensityHistogram(0.0, np.ones(N_BINS)))


@pytest.mark.parametrize("weighted", [False, True])
def test_measures_add_up_what_is_observed(covariance_type: str, weighted: bool) -> None:
    rng = np.random.default_rng(11)
    parameters = random_mixture(covariance_type, 3, 4, rng)
    rows = with_holes(draw_rows(parameters, 200, rng)[0], 0.4)
    weight = rng.uniform(0.5, 2.0, 200) if weighted else np.ones(200)
    sums = IncompleteMeasures(plan_scoring(parameters), Marginals(parameters))
    fold = sums.accumulator()
    fold.add(rows[:, :90], weight[:90] if weighted else None)
    fold.add(rows[:, 90:], weight[90:] if weighted else None)
    (found,) = sums.read(fold.vector())
    terms = terms_by_scipy(parameters, rows)
    logs = logsumexp(terms, axis=0)
    shares = np.exp(terms - logs)
    assert found.rows == 200
    assert found.weight_sum == pytest.approx(weight.sum())
    assert found.weight_squares == pytest.approx(weight @ weight)
    assert found.log_likelihood == pytest.approx(weight @ logs, rel=1e-11)
    assert found.entropy == pytest.approx(-weight @ (shares * np.log(shares)).sum(axis=0), rel=1e-8)
    assert found.cluster_sizes.tolist() == np.bincount(shares.argmax(axis=0), minlength=3).tolist()
