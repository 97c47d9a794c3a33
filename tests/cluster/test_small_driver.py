"""Executors add up the sums if one vector for each partition would not fit the driver's heap."""

from __future__ import annotations

import pytest

from tests.cluster.programs import outcome_of

pytestmark = pytest.mark.slow


def test_a_driver_of_1_gb_takes_100_components_in_100_dimensions_over_200_partitions() -> None:
    outcome = outcome_of("fit_with_large_sums.py")
    assert outcome["partitions"] == 200
    assert outcome["vector_bytes"] * 200 > 800e6  # what the driver would otherwise be sent
    assert outcome["rows"] == 20_000
    assert outcome["resp_sum"] == pytest.approx(20_000)
    assert outcome["difference"] < 1e-9  # from the same pass over the rows in memory


def test_fits_work_if_a_job_may_bring_16_mb_and_a_worker_may_have_2_gb() -> None:
    outcome = outcome_of("fit_under_limits.py")
    assert sorted(outcome) == ["alone", "grid", "oversampled"]
    for weights in outcome.values():  # a sample alone is 26 MB
        assert weights == pytest.approx([0.2, 0.3, 0.5], abs=0.01)
