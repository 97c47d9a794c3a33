"""The sweep's rival takes scikit-learn's steps if the floor does not bind, and finds the maximum if it does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from tests.bounded_em import climb, fewest_rows, m_step, mean_log_likelihood, scaled_task
from tests.examples import blobs


def test_a_floor_that_does_not_bind_leaves_scikit_learns_steps(covariance_type):
    rows = blobs().T
    spread = rows.std(axis=0)
    task = scaled_task(rows, None, 3, covariance_type, np.full(3, 1e-6))
    resp = np.random.default_rng(5).dirichlet(np.ones(3), len(rows)).T
    start = m_step(task, resp)
    theirs = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0.0, tol=0.0, max_iter=30)
    theirs._initialize(rows, resp.T)
    for _ in range(30):
        theirs._m_step(rows, theirs._e_step(rows)[1])
    ours = climb(task, start, 30, -np.inf)
    assert ours.lower_bound == pytest.approx(theirs.score(rows), rel=1e-9)
    centred = theirs.means_ - rows.mean(axis=0)
    np.testing.assert_allclose(ours.means * 1e-3 / spread, centred / spread, atol=1e-8)


def test_weights_count_as_repetitions(rng):
    rows, times = blobs(m=50).T, rng.integers(1, 4, 50)
    floor = np.full(3, 0.1)
    resp = rng.dirichlet(np.ones(2), 50).T
    once = scaled_task(rows, times.astype(float), 2, "full", floor)
    repeated = scaled_task(np.repeat(rows, times, axis=0), None, 2, "full", floor)
    first = climb(once, m_step(once, resp), 20, 0.0)
    second = climb(repeated, m_step(repeated, np.repeat(resp, times, axis=1)), 20, 0.0)
    assert first.lower_bound == pytest.approx(second.lower_bound, rel=1e-10)


def test_clipped_eigenvalues_are_the_maximum_under_the_bound(rng):
    rows = rng.normal(size=(40, 2)) @ np.array([[2.0, 0.4], [0.0, 0.3]])
    task = scaled_task(rows, None, 1, "full", np.ones(2))
    found = m_step(task, np.ones((1, 40)))
    assert np.linalg.eigvalsh(found.covariances[0])[0] == pytest.approx(1.0)

    def loss(free: np.ndarray) -> float:
        lower = np.array([[free[0], 0.0], [free[1], free[2]]])
        covariance = lower @ lower.T + np.eye(2)  # every matrix of eigenvalues of at least 1, and no other
        return -float(multivariate_normal(np.zeros(2), covariance).logpdf(task.rows).mean())

    best = min((minimize(loss, rng.normal(size=3), tol=1e-12) for _ in range(5)), key=lambda one: one.fun)
    assert mean_log_likelihood(task, found) == pytest.approx(-best.fun, abs=1e-6)


def test_the_rows_a_component_sits_on_are_counted_by_responsibility_and_by_weight():
    rows = np.concatenate([np.zeros(10), np.full(3, 100.0)])[:, None]
    heavy_row = np.array([*np.ones(12), 1e6])  # has almost all the weight that its component has
    for weight, fewest in ((None, 3.0), (heavy_row, 1.0)):
        task = scaled_task(rows, weight, 2, "full", np.ones(1))
        found = m_step(task, np.stack([rows[:, 0] < 50, rows[:, 0] > 50]).astype(float))
        assert fewest_rows(task, found) == pytest.approx(fewest, abs=1e-4)
