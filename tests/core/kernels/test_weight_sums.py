from __future__ import annotations

import functools
import itertools
import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.weight_sums import WeightSums, find_unit
from tests.examples import laws

ORDINARY, ANY = st.floats(0.0, 10.0), st.floats(0.0, 1e308, allow_subnormal=True)
EXTREMES = st.one_of(st.lists(ORDINARY, max_size=30), st.lists(ANY, max_size=30)).map(np.array)


def exact_effective_rows(weight: np.ndarray) -> float:
    exact = [Fraction(one) for one in weight.tolist()]
    return float(sum(exact) ** 2 / sum(one**2 for one in exact))


@laws
@given(weight=EXTREMES.filter(lambda weight: (weight > 0).any()))
def test_the_effective_rows_are_those_of_exact_arithmetic_at_any_magnitude(weight):
    found = WeightSums.of(weight)
    assert found.effective_rows == pytest.approx(exact_effective_rows(weight), rel=1e-12)
    assert found.positive == (weight > 0).sum()
    assert (found.least, found.largest) == (weight[weight > 0].min(), weight.max())


@laws
@given(weight=EXTREMES, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_parts_merge_to_the_whole_however_rows_are_split(weight, cuts):
    edges = [0, *sorted(cuts), 30]
    parts = [WeightSums.of(weight[a:b]) for a, b in itertools.pairwise(edges)]
    merged, whole = functools.reduce(operator.add, parts), WeightSums.of(weight)
    for name in ("positive", "unit", "least", "largest", "fractional"):
        assert getattr(merged, name) == getattr(whole, name)
    assert merged.total == pytest.approx(whole.total, rel=1e-13)
    assert merged.squares == pytest.approx(whole.squares, rel=1e-13)


def test_squares_of_parts_in_other_units_add_up():
    found = WeightSums.of(np.array([1.0, 1.5])) + WeightSums.of(np.array([5.0, 8.0]))
    assert (found.weight_sum, found.squares * found.unit**2) == (15.5, 1 + 2.25 + 25 + 64)


@pytest.mark.parametrize("power", [-900, -3, 2, 900])
def test_a_power_of_two_changes_no_bit_but_the_unit_and_the_range(power, rng):
    weight = rng.lognormal(sigma=8, size=1000)
    found, expected = WeightSums.of(np.ldexp(weight, power)), WeightSums.of(weight)
    assert (found.total, found.squares) == (expected.total, expected.squares)
    assert (found.unit, found.least) == (np.ldexp(expected.unit, power), np.ldexp(expected.least, power))


def test_equal_weights_are_as_many_effective_rows_as_rows():
    assert WeightSums.of(np.full(70, 0.7)).effective_rows == pytest.approx(70, rel=1e-14)
    assert WeightSums.of(np.ones(70)) == WeightSums.of_equal(70.0)


def test_no_weight_makes_no_effective_row():
    for nothing in (WeightSums(), WeightSums.of(np.zeros(3)), WeightSums.of(np.empty(0)), WeightSums.of_equal(0.0)):
        assert (nothing.effective_rows, nothing.weight_sum, nothing.positive) == (0.0, 0.0, 0.0)


def test_weights_that_are_no_whole_numbers_are_counted():
    weight = np.array([0.0, 1.0, 3 * (1 + 1e-15), 1e15 + 1, 2.5, 1e-300, 0.999999])
    assert WeightSums.of(weight).fractional == 3


@pytest.mark.parametrize("weight", [5e-324, 1e-310, 0.99, 1.0, 1.01, 1.7e308])
def test_a_weight_is_between_one_and_two_units(weight):
    unit = find_unit(weight)
    assert np.frexp(unit)[0] == 0.5
    assert 1.0 <= weight / unit < 2.0


@pytest.mark.parametrize("scale", [1e-300, 1e300])
@pytest.mark.parametrize("spread", [1e-100, 1e100])
def test_moments_neither_overflow_nor_vanish_under_extreme_weights(scale, spread, rng):
    rows, weight = 1e3 + spread * rng.standard_normal((2, 400)), rng.uniform(0.5, 2.0, 400)
    expected = Moments.of(rows, weight)
    found = Moments.of(rows[:, :100], scale * weight[:100]) + Moments.of(rows[:, 100:], scale * weight[100:])
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9)
    assert found.weight_sum == pytest.approx(scale * weight.sum())


def test_a_part_of_far_heavier_rows_decides_the_moments(rng):
    light, heavy = rng.standard_normal((2, 100)), rng.standard_normal((2, 100))
    for parts in itertools.permutations([(light, np.full(100, 1e-200)), (heavy, np.full(100, 1e200))]):
        found = Moments.of(*parts[0]) + Moments.of(*parts[1])
        np.testing.assert_allclose(found.mean, heavy.mean(axis=1), rtol=1e-13)
        np.testing.assert_allclose(found.variance, heavy.var(axis=1), rtol=1e-13)
        assert found.weights.effective_rows == pytest.approx(100)
