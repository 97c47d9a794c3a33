"""Expected counts are scipy's integrals, and judgements follow from them: rows of the mixture pass, others do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, multivariate_normal, norm

from gmm_spark.core.description.densities import compare_densities
from gmm_spark.core.description.expected import expect_by_component, expect_histograms, expect_pairs
from gmm_spark.core.description.fit import FAIR, GOOD, POOR, judge_features
from gmm_spark.core.description.regions import find_regions
from gmm_spark.core.drift.reference import QUANTILES
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from tests.examples import draw_rows, random_mixture
from tests.oracles import dense_covariances


def test_expected_histograms_are_integrals_of_scipys_normal(covariance_type, rng):
    mixture = random_mixture(covariance_type, 3, 2, rng)
    frame = Frame.of(mixture)
    spreads = np.sqrt(np.diagonal(dense_covariances(mixture), axis1=1, axis2=2))
    for i in range(2):
        edges = np.concatenate([[-np.inf], frame.edges[i], [np.inf]])
        parts = [np.diff(norm(mixture.means[k, i], spreads[k, i]).cdf(edges)) for k in range(3)]
        np.testing.assert_allclose(expect_histograms(mixture, frame)[i], mixture.weights @ parts, atol=1e-12)
        np.testing.assert_allclose(expect_by_component(mixture, frame)[:, i], parts, atol=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.98])
def test_expected_pairs_are_integrals_of_scipys_bivariate_normal(correlation, rng):
    covariance = np.array([[1.0, 2.0 * correlation], [2.0 * correlation, 4.0]])
    mixture = MixtureParameters([0.3, 0.7], [[0.0, 0.0], [3.0, -2.0]], [covariance, np.diag([2.0, 0.5])])
    frame = Frame.of(mixture)
    found = expect_pairs(mixture, frame)[0]
    assert found.sum() == pytest.approx(1.0)
    first, second = frame.pair_edges
    normals = [multivariate_normal(m, c) for m, c in zip(mixture.means, mixture.covariances, strict=True)]
    for a, b in ((4, 20), (16, 16), (17, 10), (25, 8)):
        low, high = np.array([first[a - 1], second[b - 1]]), np.array([first[a], second[b]])
        expected = sum(w * n.cdf(high, lower_limit=low) for w, n in zip(mixture.weights, normals, strict=True))
        assert found[a, b] == pytest.approx(expected, abs=2e-6)
    alone = expect_histograms(mixture, frame)[:, 1:-1].reshape(2, -1, 2).sum(axis=2)
    np.testing.assert_allclose(found.sum(axis=1)[1:-1], alone[0])
    np.testing.assert_allclose(found.sum(axis=0)[1:-1], alone[1], atol=1e-6)


def test_rows_of_the_mixture_are_described_well(covariance_type, rng):
    mixture = random_mixture(covariance_type, 3, 3, rng)
    rows, _ = draw_rows(mixture, 5000, rng)
    portrait = Portrait.of(mixture, rows)
    for one in judge_features(mixture, portrait):
        assert one.verdict == GOOD
        assert one.misplaced == pytest.approx(one.by_chance, rel=0.5)
        assert one.gap < 1.63 / np.sqrt(5000)  # scipy's kstwobign.isf(0.01)
    assert find_regions(mixture, portrait) == ()


def test_a_feature_of_another_distribution_is_found_and_where(rng):
    mixture = MixtureParameters([1.0], [[0.5, 0.0]], [[1 / 12, 1.0]], "diag")
    rows = np.stack([rng.exponential(0.5, 20_000), rng.standard_normal(20_000)])
    portrait = Portrait.of(mixture, rows, feature_names=["wait", "other"])
    wait, other = judge_features(mixture, portrait)
    assert (wait.verdict, other.verdict) == (POOR, GOOD)
    edges = np.concatenate([[-np.inf], portrait.frame.edges[0], [np.inf]])
    observed = np.histogram(rows[0], edges)[0] / 20_000
    np.testing.assert_allclose(wait.observed, observed)
    expected = np.diff(norm(0.5, np.sqrt(1 / 12)).cdf(edges))
    assert wait.misplaced == pytest.approx(np.abs(observed - expected).sum() / 2)
    assert "It is worst between" in wait.sentence


def test_a_slight_fault_is_fair(rng):
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    rows = np.concatenate([rng.standard_normal(9300), np.full(700, 0.3)])[None]
    (found,) = judge_features(mixture, Portrait.of(mixture, rows))
    assert found.verdict == FAIR


@pytest.mark.parametrize(
    ("draw", "advice"),
    [
        (lambda rng: 0.5 * rng.integers(-5, 6, 20_000) + 0.01 * rng.standard_normal(20_000), "in narrow peaks of x"),
        (lambda rng: rng.exponential(1.0, 20_000) - 1.0, "a long tail to the right"),
        (lambda rng: 1.0 - rng.exponential(1.0, 20_000), "logarithm of its distance from the largest x"),
        (lambda rng: rng.choice([-1.0, 1.0], 20_000) + 0.3 * rng.standard_normal(20_000), "Try more components"),
    ],
)
def test_advice_depends_on_how_the_rows_differ(draw, advice, rng):
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    (found,) = judge_features(mixture, Portrait.of(mixture, draw(rng)[None], feature_names=["x"]))
    assert found.verdict == POOR
    assert advice in found.remedy


def test_a_good_fit_needs_no_advice(rng):
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    (found,) = judge_features(mixture, Portrait.of(mixture, rng.standard_normal((1, 20_000))))
    assert (found.verdict, found.remedy) == (GOOD, "")


def test_few_rows_are_not_blamed_for_chance(rng):
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    rows = rng.standard_normal((1, 60))
    (found,) = judge_features(mixture, Portrait.of(mixture, rows))
    assert found.misplaced > 0.1
    assert found.verdict in (GOOD, FAIR)


def test_a_portrait_of_other_features_is_refused(rng):
    mixture = random_mixture("diag", 2, 2, rng)
    portrait = Portrait.of(mixture, draw_rows(mixture, 10, rng)[0])
    with pytest.raises(ParameterError, match="2 feature"):
        judge_features(random_mixture("diag", 2, 3, rng), portrait)


def test_rows_that_the_mixture_does_not_know_of_are_the_worst_region(rng):
    mixture = MixtureParameters([1.0], np.zeros((1, 3)), np.ones((1, 3)), "diag")
    rows = rng.standard_normal((3, 20_000))
    rows[:2, :800] = 0.1 * rng.standard_normal((2, 800)) + [[1.5], [-1.5]]
    portrait = Portrait.of(mixture, rows, feature_names=["a", "b", "c"])
    worst = find_regions(mixture, portrait)[0]
    assert worst.names == ("a", "b")
    assert worst.low[0] < 1.5 < worst.high[0]
    assert worst.low[1] < -1.5 < worst.high[1]
    inside = np.ones(20_000, bool)
    for i in (0, 1):
        inside &= (rows[i] >= worst.low[i]) & (rows[i] < worst.high[i])
    assert worst.observed == pytest.approx(inside.mean())
    shares = [np.diff(norm.cdf([worst.low[i], worst.high[i]]))[0] for i in (0, 1)]
    assert worst.expected == pytest.approx(np.prod(shares), rel=1e-3)
    assert worst.sentence.startswith("More rows than the mixture says with a between ")


def test_a_mixture_of_one_feature_has_regions_of_it(rng):
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    rows = np.concatenate([rng.standard_normal(9500), np.full(500, 1.01)])[None]
    found = find_regions(mixture, Portrait.of(mixture, rows))
    assert found[0].low[0] <= 1.01 < found[0].high[0]
    assert 1 <= len(found) <= 5


@pytest.mark.parametrize("like", [True, False])
def test_log_densities_of_rows_are_compared_with_those_of_drawn_rows(like, rng):
    mixture = random_mixture("full", 3, 4, rng)
    rows, _ = draw_rows(mixture, 20_000, rng)
    if not like:
        rows[:, ::2] *= 1.6
    found = compare_densities(mixture, Portrait.of(mixture, rows).log_densities)
    own, drawn = log_density(mixture, rows), log_density(mixture, draw_rows(mixture, 20_000, rng)[0])
    assert found.gap == pytest.approx(ks_2samp(own, drawn).statistic, abs=0.02)
    np.testing.assert_allclose(found.quantiles[:, 1], np.quantile(own, QUANTILES), rtol=0.01)
    np.testing.assert_allclose(found.quantiles[:, 2], np.quantile(drawn, QUANTILES), atol=0.7)
    assert found.below == pytest.approx((own < np.quantile(drawn, 0.01)).mean(), abs=0.01)
    assert found.verdict == (GOOD if like else POOR)
