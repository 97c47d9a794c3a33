"""Directions in which rows are least Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kurtosis, skew

from gmm_spark.core.search.directions import find_flattest, find_skewest


@pytest.fixture
def hidden(rng):
    """Independent sources (6, 4000): one flat, one skewed, one with heavy tails, three Gaussian."""
    sources = rng.normal(size=(6, 4000))
    sources[0] = rng.uniform(size=4000)
    sources[1] = rng.exponential(size=4000)
    sources[2] = rng.laplace(size=4000)
    return (sources - sources.mean(axis=1, keepdims=True)) / sources.std(axis=1, keepdims=True)


@pytest.mark.parametrize(("find", "source"), [(find_flattest, 0), (find_skewest, 1)])
def test_the_source_with_the_extreme_moment_is_found_in_a_mixing_of_all(find, source, hidden, rng):
    mixing = rng.normal(size=(6, 6))
    along = find(mixing @ hidden, np.ones(4000), 1) @ (mixing @ hidden)
    assert abs(np.corrcoef(along, hidden[source])[0, 1]) > 0.99


def test_products_are_uncorrelated_with_variance_one_and_the_most_extreme_are_first(hidden, rng):
    rows = rng.normal(size=(6, 6)) @ hidden
    for find, extreme in ((find_flattest, lambda y: kurtosis(y)), (find_skewest, lambda y: -float(abs(skew(y))))):
        along = find(rows, np.ones(4000), 4) @ rows
        np.testing.assert_allclose(np.cov(along, bias=True), np.eye(4), atol=1e-9)
        moments = [extreme(one) for one in along]
        assert moments == sorted(moments)


def test_the_flattest_direction_is_no_less_flat_than_a_search_over_all_angles(rng):
    # In two dimensions every direction can be tried.
    rows = np.array([[2.0, 1.0], [0.0, 1.0]]) @ np.concatenate([rng.normal(m, 1.0, (500, 2)) for m in (-2, 2)]).T
    along = find_flattest(rows, np.ones(1000), 1) @ rows
    tried = [kurtosis(np.cos(a) * rows[0] + np.sin(a) * rows[1]) for a in np.linspace(0, np.pi, 2000)]
    assert kurtosis(along[0]) == pytest.approx(min(tried), abs=1e-3)


@pytest.mark.parametrize("find", [find_flattest, find_skewest])
def test_columns_that_are_collinear_or_constant_add_no_direction(find, hidden):
    rows = np.vstack([hidden[:2], hidden[0] + hidden[1], np.zeros(4000)])
    assert find(rows, np.ones(4000), 4).shape == (2, 4)
    assert find(rows[3:], np.ones(4000), 4).shape == (0, 1)


@pytest.mark.parametrize("find", [find_flattest, find_skewest])
def test_a_row_of_weight_two_counts_as_the_row_twice(find, hidden, rng):
    weight = rng.integers(0, 3, 4000)
    found = find(hidden, weight.astype(float), 1)
    expected = find(np.repeat(hidden, weight, axis=1), np.ones(weight.sum()), 1)
    signs = np.sign((found * expected).sum(axis=1))  # a direction may point either way
    np.testing.assert_allclose(found * signs[:, None], expected, atol=1e-3)
