"""Noise in a pass: EM with a component of constant density, against a textbook loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.kernels import plan as plans
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.evaluation import EvaluationSums
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.scorer import Scorer, plan_scoring
from gmm_spark.core.kernels.single_row import SingleRowKernel
from gmm_spark.core.mixture.density import log_density, responsibilities
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable
from tests.examples import COVARIANCE_TYPES, random_mixture

K, D, M = 3, 4, 400


def textbook_em(
    rows: Array, weight: Array, start: MixtureParameters, steps: int
) -> tuple[Array, Array, Array, float, list[float]]:
    """EM by its formulas, a row of responsibilities for each Gaussian and a last one for noise (Bishop 2006, ch. 9)."""
    assert start.noise is not None
    kind, x = start.covariance_type, rows.T
    weights, means, covariances = start.class_weights, start.means.copy(), np.array(start.dense_covariances)
    uniform = -np.log(start.noise.high - start.noise.low).sum()
    bounds = []
    for _ in range(steps):
        logs = [multivariate_normal(means[j], covariances[j]).logpdf(x) for j in range(K)]
        terms = np.log(weights)[:, None] + np.array([*logs, np.full(len(x), uniform)])
        total = logsumexp(terms, axis=0)
        bounds.append(float(total @ weight / weight.sum()))
        shares = np.exp(terms - total) * weight
        sums = shares.sum(axis=1)
        weights = sums / sums.sum()
        means = shares[:K] @ x / sums[:K, None]
        scatters = [(shares[j] * (x - means[j]).T) @ (x - means[j]) for j in range(K)]
        if kind == "tied":
            covariances = np.array([sum(scatters) / sums[:K].sum()] * K)
        else:
            covariances = np.array(
                [scatter / total_share for scatter, total_share in zip(scatters, sums, strict=False)]
            )
        if kind in ("diag", "spherical"):
            covariances = np.array([np.diag(np.diag(one)) for one in covariances])
        if kind == "spherical":
            covariances = np.array([np.eye(D) * np.trace(one) / D for one in covariances])
    return weights[:K], means, covariances, float(weights[K]), bounds


@pytest.fixture
def mixture(covariance_type, rng):
    low, high = np.full(D, -9.0), np.full(D, 11.0)
    return random_mixture(covariance_type, K, D, rng, spread=1.5).with_noise(Noise(0.2, low, high))


@pytest.fixture
def rows(mixture, rng):
    gaussian = rng.normal(size=(D, M)) + mixture.means[rng.integers(K, size=M)].T
    return np.concatenate([gaussian, rng.uniform(-9.0, 11.0, (D, M // 4))], axis=1)


@pytest.mark.parametrize("weighted", [False, True])
def test_em_with_noise_is_that_of_a_textbook_loop(mixture, rows, gate, weighted, rng):
    weight = rng.integers(1, 4, rows.shape[1]).astype(float) if weighted else np.ones(rows.shape[1])
    table = ArrayTable(rows, weight if weighted else None)
    start = mixture.shifted(-table.moments.mean)

    found = best(fit(table, [Run(start, Rule(12, 0.0))]))
    weights, means, covariances, noise, bounds = textbook_em(rows, weight, mixture, 12)

    reached = found.parameters.shifted(table.moments.mean)
    np.testing.assert_allclose(reached.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(reached.means, means, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(reached.dense_covariances, covariances, rtol=1e-10, atol=1e-10)
    assert reached.noise is not None
    assert reached.noise.weight == pytest.approx(noise, rel=1e-10)
    np.testing.assert_allclose([one.lower_bound for one in found.history], bounds, rtol=1e-10)


@pytest.mark.parametrize("accelerate", [False, True])
def test_the_bound_never_falls(mixture, rows, accelerate):
    table = ArrayTable(rows)
    start = mixture.shifted(-table.moments.mean)
    found = best(
        fit(table, [Run(start, Rule(60, 0.0, accelerate=accelerate))], lookahead=table if accelerate else None)
    )
    reached = [one.lower_bound for one in found.history]  # of a lost step, what the fit returned to
    assert np.diff(reached).min() >= -1e-12


def test_candidates_with_and_without_noise_share_a_pass(mixture, rows):
    table = ArrayTable(rows)
    noisy = mixture.shifted(-table.moments.mean)
    plain = noisy.without_noise()
    together = table.expect([plain, noisy, plain])
    for candidate, found in zip([plain, noisy, plain], together, strict=True):
        (alone,) = table.expect([candidate])
        assert found.log_likelihood == alone.log_likelihood
        assert found.noise_sum == alone.noise_sum
        for name in ("resp_sum", "first", "second"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    assert together[0].noise_sum == 0.0 < together[1].noise_sum


def test_an_evaluation_counts_rows_of_noise_last(mixture, rows):
    table = ArrayTable(rows)
    evaluation = table.evaluate(mixture.shifted(-table.moments.mean))
    logs = log_density(mixture, rows)
    leaders = responsibilities(mixture, rows).argmax(axis=0)
    assert evaluation.cluster_sizes.tolist() == np.bincount(leaders, minlength=K + 1).tolist()
    assert evaluation.cluster_sizes[K] > 0
    assert evaluation.log_likelihood == pytest.approx(logs.sum(), rel=1e-12)


def test_in_float32_noise_is_the_same_up_to_rounding(mixture, rows):
    table = ArrayTable(rows.astype(np.float32), precision="float32")
    exact = ArrayTable(rows.astype(np.float32).astype(np.float64))
    candidate = mixture.shifted(-exact.moments.mean)
    (found,), (expected,) = table.expect([candidate]), exact.expect([candidate])
    assert found.noise_sum == pytest.approx(expected.noise_sum, rel=1e-4)
    assert found.lower_bound == pytest.approx(expected.lower_bound, abs=1e-4)


@pytest.mark.parametrize("precision", plans.PRECISIONS)
def test_scores_have_noise_as_the_last_component(mixture, rows, precision, gate):
    scores = Scorer(plan_scoring(mixture, precision)).score(rows, probability=True)
    expected = responsibilities(mixture, rows).T
    tolerance = 1e-9 if precision == "float64" else 1e-3
    np.testing.assert_allclose(scores.probability, expected, atol=tolerance)
    np.testing.assert_allclose(scores.log_density, log_density(mixture, rows), atol=tolerance)
    assert K in scores.prediction


def test_one_row_is_scored_as_a_block_is(mixture, rows, gate):
    plan = plan_scoring(mixture)
    block = Scorer(plan).score(rows[:, :5], probability=True)
    for i in range(5):
        one = Scorer(plan, SingleRowKernel(plan)).score(rows[:, i : i + 1], probability=True)
        np.testing.assert_allclose(one.probability[0], block.probability[i], atol=1e-12)


@pytest.mark.parametrize("far", [1e3, 1e9, 1e200, 1e300])
@pytest.mark.parametrize("precision", plans.PRECISIONS)
def test_a_row_far_beyond_the_box_is_noise(mixture, far, precision):
    rows = np.full((D, 2), far)
    assert mixture.noise is not None
    with np.errstate(over="ignore", invalid="ignore"):
        scores = Scorer(plan_scoring(mixture, precision)).score(rows, probability=True)
    for prediction, shares, density in zip(scores.prediction, scores.probability, scores.log_density, strict=True):
        assert prediction == K
        assert shares.tolist() == [0.0] * K + [1.0]
        assert density == pytest.approx(mixture.noise.log_height, rel=1e-6)
    np.testing.assert_allclose(log_density(mixture, rows), mixture.noise.log_height)
    assert responsibilities(mixture, rows)[K].tolist() == [1.0, 1.0]


def test_rows_far_beyond_the_box_are_evaluated_as_noise(mixture):
    plan = plan_scoring(mixture)
    sums = EvaluationSums(plan, log_densities=True)
    fold = sums.accumulator()
    with np.errstate(over="ignore", invalid="ignore"):
        fold.add(np.full((D, 3), 1e200), None)
    (found,) = sums.read(fold.vector())
    assert found.cluster_sizes.tolist() == [0] * K + [3]
    assert mixture.noise is not None
    assert found.log_likelihood == pytest.approx(3 * mixture.noise.log_height)
    assert found.entropy == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_pass_without_noise_has_the_sums_it_had(kind, rng):
    """The vector has no number more, so that answers kept from earlier fits can be recalled."""
    mixture = random_mixture(kind, K, D, rng)
    plain = StatisticsSums(plan_pass([mixture], np.zeros(D), np.ones(D)))
    noisy = StatisticsSums(
        plan_pass([mixture.with_noise(Noise(0.1, np.zeros(D), np.ones(D)))], np.zeros(D), np.ones(D))
    )
    assert noisy.length == plain.length + 1
