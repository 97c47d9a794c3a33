from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.covariance import structure
from tests.examples import laws

K, D = 2, 3
# Large beside the sums' rounding, small enough that no sum of three overflows.
NUMBERS = st.floats(-1e6, 1e6)


@st.composite
def statistics_of(draw: st.DrawFn, covariance_type: str) -> SufficientStatistics:
    """Any values at all: the laws of + ask nothing of them."""
    return SufficientStatistics(
        covariance_type,
        np.zeros((K, D)),
        rows=float(draw(st.integers(0, 10**9))),
        weight_sum=draw(NUMBERS),
        log_likelihood=draw(NUMBERS),
        resp_sum=draw(arrays(float, K, elements=NUMBERS)),
        first=draw(arrays(float, (K, D), elements=NUMBERS)),
        second=draw(arrays(float, structure(covariance_type).shape(K, D), elements=NUMBERS)),
    )


def sums(statistics: SufficientStatistics) -> np.ndarray:
    return np.concatenate([np.ravel(getattr(statistics, f.name)) for f in fields(statistics)[2:]])


@laws
@given(data=st.data())
def test_the_sum_does_not_depend_on_the_order(covariance_type, data):
    a, b = (data.draw(statistics_of(covariance_type)) for _ in range(2))
    np.testing.assert_array_equal(sums(a + b), sums(b + a))


@laws
@given(data=st.data())
def test_the_sum_does_not_depend_on_the_grouping_but_for_rounding(covariance_type, data):
    a, b, c = (data.draw(statistics_of(covariance_type)) for _ in range(3))
    # Two additions each way, each rounded by half a unit in the last place of at most |a| + |b| + |c|.
    bound = 2 * np.finfo(float).eps * (np.abs(sums(a)) + np.abs(sums(b)) + np.abs(sums(c)))
    assert np.all(np.abs(sums((a + b) + c) - sums(a + (b + c))) <= bound)


@laws
@given(data=st.data())
def test_zero_is_the_identity(covariance_type, data):
    a = data.draw(statistics_of(covariance_type))
    zero = SufficientStatistics.zero(covariance_type, a.reference)
    np.testing.assert_array_equal(sums(zero + a), sums(a))
    np.testing.assert_array_equal(sums(a + zero), sums(a))
    assert (a + zero).second.shape == a.second.shape


def test_statistics_of_different_structures_refuse_to_add():
    with pytest.raises(ValueError, match="different candidates"):
        SufficientStatistics.zero("full", np.zeros((1, 1))) + SufficientStatistics.zero("diag", np.zeros((1, 1)))


@pytest.mark.parametrize("other", [np.full((K, D), 1e-300), np.zeros((K + 1, D)), np.zeros((K, D + 1))])
def test_statistics_about_different_points_refuse_to_add(covariance_type, other):
    here = SufficientStatistics.zero(covariance_type, np.zeros((K, D)))
    with pytest.raises(ValueError, match="reference points"):
        here + SufficientStatistics.zero(covariance_type, other)


def test_the_lower_bound_is_the_mean_log_likelihood_and_nan_without_weight():
    zero = SufficientStatistics.zero("diag", np.zeros((K, D)))
    assert np.isnan(zero.lower_bound)
    some = SufficientStatistics("diag", zero.reference, 5.0, 4.0, -10.0, zero.resp_sum, zero.first, zero.second)
    assert some.lower_bound == -2.5
