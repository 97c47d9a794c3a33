from __future__ import annotations

import functools
import itertools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.core.kernels.extent import find_extent
from gmm_spark.core.kernels.moments import Moments, same_rows
from tests.examples import laws
from tests.oracles import needs_longdouble

D, M = 3, 40


def assert_same_moments(found: Moments, expected: Moments, rtol: float) -> None:
    deviation = np.sqrt(expected.variance)
    assert found.rows == expected.rows
    assert found.weight_sum == pytest.approx(expected.weight_sum, rel=rtol)
    np.testing.assert_array_less(np.abs(found.mean - expected.mean), rtol * deviation + 1e-300)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=rtol)
    np.testing.assert_array_equal(found.constant, expected.constant)


@pytest.fixture
def rows(rng):
    return rng.standard_normal((D, M)) * np.array([[1e-8], [1.0], [1e8]])


@pytest.fixture
def weight(rng):
    return rng.uniform(0.5, 2.0, M)


def test_mean_and_variance_are_numpys(rows):
    moments = Moments.of(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, rows.var(axis=1), rtol=1e-12)
    np.testing.assert_array_equal([moments.low, moments.high], [rows.min(axis=1), rows.max(axis=1)])
    assert (moments.rows, moments.weight_sum) == (M, M)


def test_the_scale_is_the_power_of_two_next_to_the_deviation(rows):
    scale, deviation = Moments.of(rows).scale, rows.std(axis=1)
    np.testing.assert_array_equal(np.frexp(scale)[0], 0.5)
    assert np.all((scale / deviation <= np.sqrt(2)) & (deviation / scale <= np.sqrt(2)))


def test_weighted_mean_and_variance_are_numpys(rows, weight):
    moments = Moments.of(rows, weight)
    np.testing.assert_allclose(moments.mean, np.average(rows, axis=1, weights=weight), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, np.diag(np.cov(rows, aweights=weight, ddof=0)), rtol=1e-12)
    assert moments.weight_sum == pytest.approx(weight.sum(), rel=1e-15)


@needs_longdouble
def test_an_offset_of_1e8_deviations_costs_no_digit(rng):
    rows = 1e8 + rng.standard_normal((D, M))
    exact = rows.astype(np.longdouble)
    moments = Moments.of(rows)
    # A mean of 1e8 is stored to 1.5e-8; the variance is about the exact mean, not the stored one.
    np.testing.assert_allclose(moments.mean, exact.mean(axis=1).astype(float), rtol=np.finfo(float).eps)
    np.testing.assert_allclose(moments.variance, exact.var(axis=1).astype(float), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@laws
@given(cuts=st.lists(st.integers(0, M), max_size=6))
def test_parts_merge_to_the_whole_however_rows_are_split(weighted, cuts):
    rng = np.random.default_rng(0)
    rows = 1e6 + rng.standard_normal((D, M))
    weight = rng.uniform(0.5, 2.0, M) if weighted else None
    edges = [0, *sorted(cuts), M]
    parts = [Moments.of(rows[:, a:b], None if weight is None else weight[a:b]) for a, b in itertools.pairwise(edges)]
    # Each part's mean, each merged mean and the whole's are stored to eps of their offset of 1e6, 1e6 deviations.
    rtol = 1e6 * np.finfo(float).eps * 2 * (len(parts) + 1)
    assert_same_moments(functools.reduce(operator.add, parts), Moments.of(rows, weight), rtol)


def test_zero_is_the_identity(rows, weight):
    moments = Moments.of(rows, weight)
    for merged in (Moments.zero(D) + moments, moments + Moments.zero(D)):
        np.testing.assert_array_equal(merged.vector(), moments.vector())


def test_the_moments_of_no_rows_are_zero():
    np.testing.assert_array_equal(Moments.of(np.empty((D, 0))).vector(), Moments.zero(D).vector())


def test_no_rows_and_no_weight_have_variances_without_nan():
    for nothing in (Moments.zero(D), Moments.of(np.ones((D, 2)), np.zeros(2))):
        np.testing.assert_array_equal(nothing.variance, np.zeros(D))
        np.testing.assert_array_equal(nothing.scale, np.ones(D))


def test_a_constant_feature_has_variance_zero_and_scale_one_exactly():
    rows = np.vstack([np.full(M, 0.1), np.arange(M)])  # 0.1 is not a binary fraction: a mean of it rounds
    parts = Moments.of(rows[:, :7]) + Moments.of(rows[:, 7:])
    for moments in (Moments.of(rows), parts):
        np.testing.assert_array_equal(moments.constant, [True, False])
        assert moments.variance[0] == 0.0
        assert moments.scale[0] == 1.0
        assert moments.variance[1] > 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_missing_value_is_missing_whatever_the_bits_of_its_nan(dtype):
    """R writes its NA as a signalling NaN, which numpy's fmin and fmax do not pass over."""
    rows = np.array([[1.0, 2.0, np.nan, 4.0], [7.0, 5.0, 6.0, 8.0]], dtype)
    signalling = rows.copy()
    bits = signalling.view(f"u{rows.itemsize}")
    bits[0, 2] = {8: 0x7FF00000000007A2, 4: 0x7F8007A2}[rows.itemsize]
    found = Moments.of(signalling)
    np.testing.assert_array_equal(found.vector(), Moments.of(rows).vector())
    np.testing.assert_allclose(found.mean, [7 / 3, 6.5])
    np.testing.assert_array_equal(find_extent(signalling), [[1.0, 5.0], [4.0, 8.0]])


@pytest.mark.parametrize("at", [0, 1, M])
@pytest.mark.parametrize("outlier", [-3.0, 1e8, 1e16])
def test_rows_of_weight_zero_move_neither_mean_nor_variance(at, outlier, rng):
    rows = rng.standard_normal((D, M))
    with_outlier = np.insert(rows, at, outlier, axis=1)
    weight = np.insert(np.ones(M), at, 0.0)
    found, expected = Moments.of(with_outlier, weight), Moments.of(rows)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-12)


def test_weight_two_is_the_row_twice(rows):
    weight = np.where(np.arange(M) % 3 == 0, 2.0, 1.0)
    found, expected = Moments.of(rows, weight), Moments.of(np.repeat(rows, weight.astype(int), axis=1))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-12)


def test_single_precision_rows_are_summed_in_double(rng):
    rows = (1e4 + rng.standard_normal((D, M))).astype(np.float32)
    moments = Moments.of(rows)
    assert moments.mean.dtype == moments.variance.dtype == np.float64
    np.testing.assert_allclose(moments.variance, rows.astype(float).var(axis=1), rtol=1e-12)


def test_a_round_trip_through_a_vector_keeps_every_bit(rows, weight):
    moments = Moments.of(rows, weight)
    vector = moments.vector()
    np.testing.assert_array_equal(Moments.from_vector(vector).vector(), vector)


def test_a_feature_is_constant_only_if_its_last_row_equals_the_first():
    rows = np.full((2, 10_000), 0.1)
    rows[1, -1] = np.nextafter(0.1, 1.0)
    np.testing.assert_array_equal(Moments.of(rows).constant, [True, False])
    assert Moments.of(rows).mean[0] == 0.1
    assert Moments.of(rows).scatter[0] == 0.0
    parts = Moments.of(rows[:, :5000]) + Moments.of(rows[:, 5000:])
    np.testing.assert_array_equal(parts.constant, [True, False])


def moments_of(rows, weight, ends):
    """Merged from as many parts as there are ends."""
    parts = zip(np.split(rows, ends), np.split(weight, ends), strict=True)
    return sum((Moments.of(np.ascontiguousarray(r.T), w) for r, w in parts), Moments.zero(rows.shape[1]))


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e7, 1e12])
@pytest.mark.parametrize("arranged", ["drawn", "sorted"])
def test_the_same_rows_have_the_same_moments_however_they_are_added_up(offset, arranged):
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(20_000, 4)) * [1.0, 1e-3, 1e3, 0.0] + offset
    rows = np.sort(rows, axis=0) if arranged == "sorted" else rows
    weight = rng.gamma(0.1, size=len(rows))
    first = moments_of(rows, weight, np.arange(100, len(rows), 100))
    order = rng.permutation(len(rows))
    again = moments_of(rows[order], weight[order], np.sort(rng.choice(len(rows), 999)))
    assert same_rows(first, again)
    rounded_anew = moments_of(rows * (1 + 2.0**-52), weight, [])
    assert same_rows(first, rounded_anew) or offset == 0  # there a constant is no longer exactly 0 away from itself


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("changed", ["drawn anew", "moved", "spread", "heavier", "one of no weight less"])
def test_other_rows_have_other_moments(offset, changed):
    rng = np.random.default_rng(9)
    rows, weight = rng.normal(size=(20_000, 2)), rng.gamma(1.0, size=20_000)
    weight[0] = 0.0
    others = {"drawn anew": rng.normal(size=rows.shape), "moved": rows + 1e-2, "spread": rows * 1.01}.get(changed, rows)
    weights = 2 * weight if changed == "heavier" else weight
    kept = slice(1 if changed == "one of no weight less" else 0, None)
    first = moments_of(rows + offset, weight, [9])
    assert not same_rows(first, moments_of(others[kept] + offset, weights[kept], [9]))
