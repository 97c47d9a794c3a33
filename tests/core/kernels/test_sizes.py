"""Sizes that are known before the first pass, against what is really held."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.sizes import count_sums, least_driver_bytes, least_task_bytes
from gmm_spark.core.mixture.parameters import MixtureParameters
from tests.tables import mixture


@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 5), (2, 70)])
def test_the_sums_of_a_pass_are_counted_before_there_is_a_candidate(covariance_type: str, k: int, d: int) -> None:
    plan = plan_pass([mixture(covariance_type, k, d)], np.zeros(d), np.ones(d))
    assert count_sums(covariance_type, k, d) == StatisticsSums(plan).length


def test_no_more_is_counted_than_a_pass_and_its_m_step_hold(covariance_type: str) -> None:
    k, d = 3, 40
    point = mixture(covariance_type, k, d)
    plan = plan_pass([point], np.zeros(d), np.ones(d))
    sums = StatisticsSums(plan)
    (statistics,) = sums.read(np.zeros(sums.length))
    (segment,) = plan.segments
    image = MixtureParameters(point.weights, point.means, point.covariances.copy(), covariance_type)
    held = [point.covariances, point.precisions_cholesky, segment.factors, segment.coefficients, statistics.second]
    on_driver = sum(array.nbytes for array in held) + 8 * sums.length + image.covariances.nbytes
    assert least_driver_bytes(covariance_type, k, d) <= on_driver
    assert least_task_bytes(covariance_type, k, d) <= segment.factors.nbytes + 8 * sums.length


@pytest.mark.parametrize(("kind", "least"), [("full", 8 * 2 * 20_000**2), ("tied", 8 * 20_000**2)])
def test_general_covariances_of_many_features_take_at_least_four_times_their_own_size(kind: str, least: int) -> None:
    assert least_driver_bytes(kind, 2, 20_000) > 4 * least


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_diagonal_covariances_of_many_features_take_little(kind: str) -> None:
    assert least_driver_bytes(kind, 10, 50_000, starts=10) < 100e6
