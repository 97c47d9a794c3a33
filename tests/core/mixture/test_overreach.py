"""Overreach is what scipy's normal distributions and drawn rows say, and chance does not count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.overreach import find_overreach, tell_overreach
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk

MIXTURE = MixtureParameters(
    [0.25, 0.75], [[1.0, 0.0], [3.0, 5.0]], [[[1.0, 0.9], [0.9, 1.0]], [[4.0, -1.0], [-1.0, 2.0]]]
)
LOW, HIGH = np.array([0.0, -9.0]), np.array([99.0, 6.0])


def test_the_shares_are_those_of_the_normal_distributions_and_the_largest_is_first():
    found = find_overreach(MIXTURE, LOW, HIGH, np.zeros(2), None, 1e6)
    below = 0.25 * norm.cdf(-1.0) + 0.75 * norm.cdf(-1.5)
    above = 0.25 * norm.sf(6.0) + 0.75 * norm.sf(1 / np.sqrt(2))
    assert [(one.feature, one.is_below, one.bound) for one in found] == [(1, False, 6.0), (0, True, 0.0)]
    assert [one.share for one in found] == pytest.approx([above, below], rel=1e-12)


def test_drawn_rows_lie_beyond_the_range_as_often_as_told():
    n = 40_000
    rows = draw_chunk(MIXTURE, component_counts(MIXTURE, n, 3), 3, 0)[0]
    told = {one.feature: one.share for one in find_overreach(MIXTURE, LOW, HIGH, np.zeros(2), None, 1e6)}
    m = rows.shape[1]
    assert (rows[0] < 0.0).mean() == pytest.approx(told[0], abs=5 * np.sqrt(told[0] / m))
    assert (rows[1] > 6.0).mean() == pytest.approx(told[1], abs=5 * np.sqrt(told[1] / m))


def test_values_that_round_into_the_range_are_not_beyond_it():
    whole = MixtureParameters([1.0], [[0.0]], [0.01], "spherical")  # nearly all within half of 0
    assert find_overreach(whole, np.zeros(1), np.ones(1), np.ones(1), np.zeros(1), 1e6) != []
    assert find_overreach(whole, np.zeros(1), np.ones(1), np.ones(1), np.ones(1), 1e6) == []


def test_what_chance_explains_is_not_told():
    one = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    low, high = np.array([norm.ppf(0.05)]), np.array([9.0])
    assert len(find_overreach(one, low, high, np.zeros(1), None, 1000)) == 1
    assert find_overreach(one, low, high, np.zeros(1), None, 100) == []  # of 100 rows, 5 in expectation


def test_a_feature_without_values_and_noise_within_the_range_add_nothing():
    noisy = MIXTURE.with_noise(Noise(0.5, np.array([0.0, -9.0]), np.array([99.0, 6.0])))
    alone, beside = (find_overreach(one, LOW, HIGH, np.zeros(2), None, 1e6) for one in (MIXTURE, noisy))
    assert [one.share for one in beside] == pytest.approx([one.share / 2 for one in alone])
    assert find_overreach(MIXTURE, LOW + np.inf, HIGH - np.inf, np.zeros(2), None, 1e6) == []


def test_a_sentence_names_the_four_largest_and_counts_the_others():
    wide = MixtureParameters([1.0], [np.zeros(3)], [1.0], "spherical")
    found = find_overreach(wide, np.full(3, -0.5), np.full(3, 0.5), np.zeros(3), None, 1e6)
    told = tell_overreach(found, ["a", "b", "c"])
    assert told.count("31 % with") == 4
    assert told.endswith("; and likewise at 2 more ends of features")
