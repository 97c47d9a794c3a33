"""A table, a fit of it and its comparison, that tests of packing share. Driver side only: tasks cannot import it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.core.em.ascent import PassRecord
from tests.tables import rough_start, three_blobs

Files = Callable[[], list[Path]]

ROWS = three_blobs(600)
START = rough_start(ROWS)
WEIGHT = 1.0 + np.arange(len(ROWS), dtype=float) % 3
PASSES = 6


def fit(table: DataFrame, callback: Callable[[PassRecord], None]) -> GaussianMixtureModel:
    """Fit by passes through Spark: the driver would hold a table of no more rows than the sample."""
    estimator = GaussianMixture(maxIter=PASSES, tol=0.0, accelerate=False, weightCol="w", sampleRows=len(ROWS) - 1)
    estimator.setInitialModel(START)
    return estimator.setCallback(callback).fit(table)


def assert_same_bits(left: GaussianMixtureModel, right: GaussianMixtureModel) -> None:
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert left.summary.logLikelihood == right.summary.logLikelihood
    assert [r.lower_bound for r in left.summary.history] == [r.lower_bound for r in right.summary.history]


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that numpy and Python held at most during a call."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
