"""Noise beside missing values: of a row with some values missing, its density is that over the box of the others."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.missing.density import log_density, responsibilities
from gmm_spark.core.missing.expectation import IncompleteStatisticsSums
from gmm_spark.core.missing.patterns import find_runs, order_by_pattern
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.conditioning import marginal
from gmm_spark.core.mixture.noise import Noise
from tests.core.missing import textbook
from tests.examples import draw_rows, random_mixture

K, D = 3, 4


@pytest.fixture
def mixture(covariance_type, rng):
    return random_mixture(covariance_type, K, D, rng, spread=1.5).with_noise(
        Noise(0.3, np.full(D, -5.0), np.full(D, 6))
    )


@pytest.fixture
def rows(mixture, rng):
    drawn = draw_rows(mixture.without_noise(), 150, rng)[0]
    return textbook.with_holes(np.concatenate([drawn, rng.uniform(-5.0, 6.0, (D, 50))], axis=1), 0.4, rng)


def test_a_row_with_missing_values_has_the_density_of_its_marginal(mixture, rows):
    logs, shares = log_density(mixture, rows), responsibilities(mixture, rows)
    for i in range(rows.shape[1]):
        seen = np.flatnonzero(~np.isnan(rows[:, i]))
        some = marginal(mixture, seen.tolist())
        assert logs[i] == pytest.approx(density.log_density(some, rows[seen, i : i + 1])[0], rel=1e-12)
        np.testing.assert_allclose(shares[:, i], density.responsibilities(some, rows[seen, i : i + 1])[:, 0], rtol=1e-9)


def test_the_e_step_is_the_textbooks_of_what_noise_leaves(mixture, rows, gate):
    counts = {run.pattern: run.rows.stop - run.rows.start for run in find_runs(order_by_pattern(rows)[0])}
    plan = plan_pass([mixture], np.zeros(D), np.ones(D))
    sums = IncompleteStatisticsSums.of(plan, [mixture], counts)
    fold = sums.accumulator()
    fold.add(*order_by_pattern(rows, None))
    (found,) = sums.read(fold.vector())

    of_noise = responsibilities(mixture, rows)[K]
    expected = textbook.expect(mixture.without_noise(), rows, 1.0 - of_noise)
    assert found.noise_sum == pytest.approx(of_noise.sum(), rel=1e-10)
    assert found.log_likelihood == pytest.approx(log_density(mixture, rows).sum(), rel=1e-10)
    np.testing.assert_allclose(found.resp_sum, expected.resp_sum, rtol=1e-10)
    after = maximize(found, mixture, np.zeros(D))
    by_hand = textbook.maximize(expected, mixture.covariance_type)
    np.testing.assert_allclose(after.means, by_hand.means, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(after.covariances, by_hand.covariances, rtol=1e-9, atol=1e-10)
    assert after.noise is not None
    assert after.noise.weight == pytest.approx(of_noise.mean(), rel=1e-10)
