"""Sampled rows have the distribution of the model they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, chisquare, kstest, norm

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import CHUNK_ROWS, component_counts, draw_chunk
from tests.examples import random_mixture

K, D = 4, 3
# More than a chunk, so that the seam between two random streams is among the rows.
N = CHUNK_ROWS + 20_000
# A right sampler fails a test of this level once in 100,000; the seeds are fixed, so it fails always or never.
LEVEL = 1e-5


@pytest.fixture
def mixture(covariance_type, rng):
    return random_mixture(covariance_type, K, D, rng)


@pytest.fixture
def drawn(mixture):
    counts = component_counts(mixture, N, seed=11)
    chunks = [draw_chunk(mixture, counts, 11, c) for c in range(2)]
    return np.concatenate([c[0] for c in chunks], axis=1), np.concatenate([c[1] for c in chunks])


def whitened(mixture: MixtureParameters, rows: np.ndarray, j: int) -> np.ndarray:
    """Rows of component j as independent standard normal numbers, by the covariance's own Cholesky factor."""
    return np.linalg.solve(np.linalg.cholesky(mixture.dense_covariances[j]), rows - mixture.means[j][:, None])


def test_component_counts_are_multinomial_of_the_weights(mixture, drawn):
    counts = np.bincount(drawn[1], minlength=K)
    assert counts.sum() == N
    assert chisquare(counts, N * mixture.weights).pvalue > LEVEL


def test_component_counts_vary_as_a_multinomial_does(rng):
    mixture = random_mixture("diag", K, D, rng)
    n, repeats = 1000, 400
    counts = np.stack([component_counts(mixture, n, seed) for seed in range(repeats)])
    statistic = ((counts - n * mixture.weights) ** 2 / (n * mixture.weights)).sum()
    # A sum of independent Pearson statistics; too small is as wrong as too large (rounded shares would give 0).
    assert chi2(repeats * (K - 1)).cdf(statistic) == pytest.approx(0.5, abs=0.5 - LEVEL)


def test_means_are_the_models(mixture, drawn):
    rows, components = drawn
    for j in range(K):
        z = whitened(mixture, rows[:, components == j], j)
        # sqrt(n) times the mean of n standard normal numbers is one; D K of them are looked at.
        assert np.abs(z.mean(axis=1) * np.sqrt(z.shape[1])).max() < norm.isf(LEVEL / (2 * D * K))


def test_covariances_are_the_structures(mixture, drawn):
    rows, components = drawn
    for j in range(K):
        z = whitened(mixture, rows[:, components == j], j)
        n = z.shape[1]
        second = z @ z.T / n
        # Entries of the identity with variance 2 / n on the diagonal and 1 / n beside it (central limit).
        unit = np.sqrt((1 + np.eye(D)) / n)
        assert (np.abs(second - np.eye(D)) / unit).max() < norm.isf(LEVEL / (2 * D * D * K))


def test_rows_are_normal_and_not_just_of_the_right_moments(mixture, drawn):
    rows, components = drawn
    for j in range(K):
        z = whitened(mixture, rows[:, components == j], j)
        assert kstest(z.ravel(), "norm").pvalue > LEVEL / K
        assert kstest((z**2).sum(axis=0), chi2(D).cdf).pvalue > LEVEL / K


def test_neighbouring_rows_are_independent(mixture, drawn):
    rows, components = drawn
    for j in range(K):
        z = whitened(mixture, rows[:, components == j], j)
        lag = (z[:, 1:] * z[:, :-1]).mean(axis=1) * np.sqrt(z.shape[1] - 1)
        assert np.abs(lag).max() < norm.isf(LEVEL / (2 * D * K))


def test_the_two_chunks_are_independent(drawn, mixture):
    # Equal streams would give the second chunk the numbers of the first.
    rows, components = drawn
    z = np.concatenate([whitened(mixture, rows[:, components == j], j) for j in range(K)], axis=1)
    m = N - CHUNK_ROWS
    product = (z[:, :m] * z[:, CHUNK_ROWS:]).mean(axis=1) * np.sqrt(m)
    assert np.abs(product).max() < norm.isf(LEVEL / (2 * D))


def test_moments_of_all_rows_are_the_mixtures(mixture, drawn):
    rows, _ = drawn
    mean, variance = mixture.moments()
    errors = (rows.mean(axis=1) - mean) / np.sqrt(variance / N)
    assert np.abs(errors).max() < norm.isf(LEVEL / (2 * D))
