from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from gmm_spark.core.mixture.floor import features_at_floor, find_floor, robust_variance
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile

N = 4000


def table(seed: int = 0) -> tuple[ColumnProfile, np.ndarray]:
    """Columns: continuous, with codes, whole numbers of deviation 30, whole numbers of deviation 1, two values."""
    rng = np.random.default_rng(seed)
    coded = rng.normal(0, 2, N)
    coded[:40] = -999
    columns = [
        rng.normal(5, 2, N),
        coded,
        rng.normal(0, 30, N).round(),
        rng.normal(0, 1, N).round(),
        rng.random(N) < 0.01,
    ]
    rows = np.array(columns, dtype=np.float64)
    return ColumnProfile.of(rows), rows.var(axis=1)


def test_the_floor_is_a_share_of_the_variance_or_what_the_rounding_asks_for():
    profile, variance = table()
    floor = find_floor(profile, variance, N, 1e-6)
    assert floor[0] == pytest.approx(1e-6 * variance[0])
    assert floor[1] <= 1e-6 * 9 * 1.1 * 4 < 1e-6 * variance[1]  # three robust deviations, and not the codes' 99
    assert floor[2] == pytest.approx(np.log(N) / (2 * np.pi**2))
    assert floor[3] == pytest.approx(variance[3] / 4, rel=0.2)  # a scale of few steps
    assert floor[4] == pytest.approx(1 / 6)  # a flag of one row in a hundred
    np.testing.assert_allclose(find_floor(profile, variance, N, 0.5)[[0, 2, 3]], 0.5 * variance[[0, 2, 3]])


def test_codes_do_not_make_a_scale_of_few_steps_a_long_one():
    rng = np.random.default_rng(0)
    flag, coded = (rng.random((2, N)) < 0.5).astype(float)
    coded[:40] = -999
    rows = np.array([flag, coded])
    floor = find_floor(ColumnProfile.of(rows), rows.var(axis=1), N, 1e-6)
    np.testing.assert_allclose(floor, 1 / 6)  # not ln(n) / 2 pi^2 = 0.42, which the variance of the codes allows


def test_no_share_is_no_floor_and_a_given_floor_is_taken():
    profile, variance = table()
    assert not find_floor(profile, variance, N, 0.0).any()
    given = (1e-3, 2.0, 3.0, 1e-4, 5.0)
    np.testing.assert_array_equal(find_floor(profile, variance, N, 0.0, given), given)


def test_a_floor_is_never_lost_in_the_rounding_of_the_variance():
    profile, _ = table()
    variance = np.full(5, 1e24)
    assert (find_floor(profile, variance, N, 1e-6, (1e-9,) * 5) >= np.finfo(float).eps * variance).all()


@pytest.mark.parametrize("n", [150, 5000, 10**6, 10**9])
def test_components_on_every_value_of_a_rounded_gaussian_gain_less_than_a_criterion_asks_for(n):
    profile = ColumnProfile.of(np.random.default_rng(0).normal(0, 5, (1, N)).round())
    (floor,) = find_floor(profile, np.array([25.0]), n, 1e-6)
    values = np.arange(-40, 41)
    lattice = norm.pdf(values[:, None], values, np.sqrt(floor)).sum(axis=1)[40]  # equal weights, far from the ends
    assert n * np.log(lattice) <= max(3.0, 0.5 * np.log(n))
    assert norm.pdf(0, 0, np.sqrt(1 / 12)) > 1.3  # which is why the variance of the rounding is not enough


def test_the_robust_variance_is_the_tables_own_unless_far_values_have_inflated_it():
    profile, variance = table()
    robust = robust_variance(profile, variance)
    np.testing.assert_array_equal(robust[[0, 2, 4]], variance[[0, 2, 4]])
    assert robust[1] < 0.01 * variance[1]


def test_components_at_the_floor_are_found_with_their_features(covariance_type):
    floor = np.array([0.01, 0.04, 0.25])
    wide = np.array([1.0, 2.0, 3.0])
    least = np.array([1.0, 0.04, 3.0])
    means = np.zeros((2, 3))
    expected = [[False, False, False], [False, True, False]]
    if covariance_type == "full":
        covariances = np.stack([np.diag(wide), np.diag(least)])
    elif covariance_type == "diag":
        covariances = np.stack([wide, least])
    elif covariance_type == "tied":
        covariances, expected = np.diag(least), [[False, True, False]] * 2
    else:
        covariances, expected = np.array([1.0, 0.25]), [[False, False, False], [False, False, True]]
    parameters = MixtureParameters([0.5, 0.5], means, covariances, covariance_type)
    np.testing.assert_array_equal(features_at_floor(parameters, floor), expected)
    assert not features_at_floor(parameters, np.zeros(3)).any()


def test_a_direction_at_the_floor_is_told_by_the_features_that_it_joins():
    floor = np.array([1.0, 1.0, 1.0])
    axes = np.linalg.qr(np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]).T)[0]
    covariance = axes @ np.diag([50.0, 1.0, 9.0]) @ axes.T  # the difference of the first two features is at the floor
    parameters = MixtureParameters([1.0], np.zeros((1, 3)), covariance[None])
    found = features_at_floor(parameters, floor)
    assert found[0].tolist() == [True, True, False]
