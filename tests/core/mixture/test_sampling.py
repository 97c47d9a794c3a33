"""Seeds, order and chunks; tests/statistical asks whether the rows have the right distribution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_hypergeom

from gmm_spark.core.mixture import sampling
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.core.randomness import Purpose, draw_quotas, random_stream
from tests.examples import random_mixture

K, D, N = 4, 3, 1000
CHUNK = 64


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK_ROWS", CHUNK)


def draw(parameters, n, seed, order=None):
    counts = component_counts(parameters, n, seed)
    chunks = range(-(-n // sampling.CHUNK_ROWS))
    drawn = {c: draw_chunk(parameters, counts, seed, c) for c in (order or chunks)}
    rows = np.concatenate([drawn[c][0] for c in chunks], axis=1)
    return rows, np.concatenate([drawn[c][1] for c in chunks])


@pytest.mark.parametrize("seed", [0, 7, -1, -(2**63), 2**63 - 1])
def test_the_same_seed_gives_the_same_rows_whatever_sign_it_has(covariance_type, seed, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    first, second = draw(parameters, N, seed), draw(parameters, N, seed)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_another_seed_gives_other_rows(covariance_type, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    assert not np.isin(draw(parameters, N, 0)[0], draw(parameters, N, 1)[0]).any()


def test_chunks_may_be_drawn_in_any_order(covariance_type, small_chunks, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    n_chunks = -(-N // CHUNK)
    shuffled = rng.permutation(n_chunks).tolist()
    np.testing.assert_array_equal(draw(parameters, N, 5)[0], draw(parameters, N, 5, shuffled)[0])


def test_no_two_chunks_share_numbers(small_chunks, rng):
    parameters = random_mixture("spherical", 1, 1, rng)
    rows, _ = draw(parameters, N, 5)
    assert len(np.unique(rows)) == N


@pytest.mark.parametrize("n", [1, CHUNK - 1, CHUNK, CHUNK + 1, N])
def test_the_number_of_rows_is_as_requested_and_components_ascend(covariance_type, small_chunks, n, rng):
    parameters = random_mixture(covariance_type, K, D, rng)
    rows, components = draw(parameters, n, 3)
    assert rows.shape == (D, n)
    assert np.all(np.diff(components) >= 0)
    np.testing.assert_array_equal(np.bincount(components, minlength=K), component_counts(parameters, n, 3))


def test_a_chunk_beyond_the_last_row_is_empty(small_chunks, rng):
    parameters = random_mixture("diag", K, D, rng)
    rows, components = draw_chunk(parameters, component_counts(parameters, CHUNK, 3), 3, chunk=1)
    assert rows.shape == (D, 0)
    assert components.shape == (0,)


def test_components_without_rows_are_skipped(small_chunks, rng):
    parameters = random_mixture("diag", K, D, rng)
    counts = np.array([0, 3, 0, 2])
    _, components = draw_chunk(parameters, counts, 3, chunk=0)
    assert components.tolist() == [1, 1, 1, 3, 3]


def test_rows_are_the_streams_normals_shaped_by_each_covariance(covariance_type, rng):
    # U' (x - mu) gives the standard normal numbers back: the rows are exactly what the covariance makes of them.
    parameters = random_mixture(covariance_type, K, D, rng)
    rows, components = draw(parameters, N, 3)
    normals = random_stream(3, Purpose.ROWS, 0).standard_normal((D, N))
    for j, covariance in enumerate(parameters.dense_covariances):
        mine = components == j
        centred = rows[:, mine] - parameters.means[j][:, None]
        squares = np.einsum("im,im->m", centred, np.linalg.solve(covariance, centred))
        np.testing.assert_allclose(squares, (normals[:, mine] ** 2).sum(axis=0), rtol=1e-9)


def test_streams_differ_by_seed_purpose_and_index():
    keys = itertools.product((0, 1, -1), Purpose, (0, 1))
    numbers = [random_stream(*key).random() for key in keys]
    assert len(set(numbers)) == 3 * len(Purpose) * 2


def test_quotas_of_a_sample_are_hypergeometric():
    sizes = [5, 0, 20, 75]
    drawn = np.array([draw_quotas(sizes, 10, np.random.default_rng(seed)) for seed in range(4000)])
    assert (drawn.sum(axis=1) == 10).all()
    assert (drawn <= sizes).all()
    expected = multivariate_hypergeom(m=sizes, n=10)
    np.testing.assert_allclose(drawn.mean(axis=0), expected.mean(), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T, ddof=0), expected.cov(), atol=0.15)


def test_quotas_can_be_drawn_for_tables_of_any_size():
    quotas = draw_quotas([6 * 10**9, 3 * 10**9], 100_000, np.random.default_rng(0))
    assert quotas.sum() == 100_000
    assert quotas[0] == pytest.approx(2 / 3 * 100_000, rel=0.02)
