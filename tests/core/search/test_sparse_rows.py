"""Rows where a table is dense: what starts of fits with noise are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.search.sparse_rows import find_dense


@pytest.mark.parametrize("d", [1, 2, 8])
def test_clusters_are_dense_and_most_outliers_are_not(rng, d):
    cluster, outliers = rng.normal(size=(d, 3000)), rng.uniform(-60.0, 60.0, (d, 300))
    rows = np.concatenate([cluster, outliers], axis=1)
    noise = Noise(0.1, np.full(d, -60.0), np.full(d, 60.0))
    dense = find_dense(rows, np.ones(d), noise, np.ones(rows.shape[1], dtype=bool), rng)
    assert dense[:3000].mean() > 0.99
    assert dense[3000:].mean() < 0.1


def test_units_do_not_matter(rng):
    rows = np.concatenate([rng.normal(size=(2, 500)), rng.uniform(-50.0, 50.0, (2, 50))], axis=1)
    units, present = np.array([1e-6, 1e9]), np.ones(550, dtype=bool)
    low, high = np.full(2, -50.0), np.full(2, 50.0)
    one = find_dense(rows, np.ones(2), Noise(0.1, low, high), present, np.random.default_rng(1))
    scaled = Noise(0.1, low * units, high * units)
    other = find_dense(rows * units[:, None], units, scaled, present, np.random.default_rng(1))
    np.testing.assert_array_equal(one, other)


def test_rows_that_repeat_are_dense(rng):
    """A row in many copies is at distance 0 from its neighbours."""
    rows = np.repeat(rng.uniform(-50.0, 50.0, (2, 3)), 400, axis=1)
    noise = Noise(0.1, np.full(2, -50.0), np.full(2, 50.0))
    assert find_dense(rows, np.ones(2), noise, np.ones(1200, dtype=bool), rng).all()


def test_of_few_rows_all_are_dense(rng):
    rows = np.array([[0.0, 1.0, 100.0]])
    assert find_dense(rows, np.ones(1), Noise(0.1, [0.0], [100.0]), np.ones(3, dtype=bool), rng).all()
