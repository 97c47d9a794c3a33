from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels.weight_kinds import find_doubts
from gmm_spark.core.kernels.weight_sums import WeightSums


def doubts(weight, kind, k=2, d=2):
    return [doubt.code for doubt in find_doubts(WeightSums.of(np.asarray(weight, float)), kind, k, d)]


COUNTS = np.random.default_rng(0).geometric(0.3, 500)


@pytest.mark.parametrize(
    ("weight", "code"),
    [
        (np.full(500, 1 / 500), "weights-sum-below-rows"),
        (COUNTS / COUNTS.sum(), "weights-sum-below-rows"),
        (np.full(500, 0.49), "weights-sum-below-rows"),
        (COUNTS * 7.3, "weights-not-whole"),
        (np.where(np.arange(50_000) < 10, 1e6, 0.5), "weights-not-whole"),
        (np.full(500, 1000), "weights-all-equal"),
    ],
)
def test_frequencies_that_cannot_be_counts_are_doubted(weight, code):
    assert doubts(weight, "frequency") == [code]
    assert doubts(7.0 * np.asarray(weight), "importance") == doubts(weight, "importance")


@pytest.mark.parametrize(
    "weight",
    [
        np.ones(500),
        COUNTS,
        COUNTS * (1 + 1e-12),  # counts that were divided and multiplied
        1000 * COUNTS,
        np.full(500, 0.9),  # about as many rows as weight
        np.random.default_rng(0).uniform(0.5, 1.5, 500),
        np.array([3.0, 3.0, 3.0]),
        np.zeros(3),
    ],
)
def test_frequencies_that_may_be_counts_are_not(weight):
    assert doubts(weight, "frequency") == []


@pytest.mark.parametrize("scale", [1e-300, 1 / 7, 1.0, 1e300])
def test_importances_of_few_effective_rows_are_doubted_whatever_their_scale(scale):
    few = scale * np.where(np.arange(50_000) < 10, 1e6, 1.0)
    assert doubts(few, "importance") == ["few-effective-rows"]
    (doubt,) = find_doubts(WeightSums.of(few), "importance", 2, 2)
    assert doubt.figures["effective_rows"] == pytest.approx(10.1, rel=0.01)
    assert doubts(scale * COUNTS, "importance") == []


def test_a_table_of_few_rows_is_no_fault_of_its_weights():
    assert doubts(np.ones(15), "importance") == []
