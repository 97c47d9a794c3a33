"""The crew of a fit: what Spark's tasks do of a search, and what the driver does instead."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.spark import crew as crew_module
from gmm_spark.spark.crew import SparkCrew
from gmm_spark.spark.packing.table import PackedTable
from tests.examples import blobs


def name_columns(sample) -> bytes:
    rows, _ = sample
    return str(rows.shape).encode()


def fail(sample) -> bytes:
    raise ValueError("no such luck")


SAMPLE = np.ones((2, 30)), None


@pytest.fixture
def eager(monkeypatch) -> None:
    """Every job is worth it."""
    monkeypatch.setattr(crew_module, "WORTH_A_JOB", 0.0)


def fit(table, **settings):
    model = GaussianMixture(inputCols=["a", "b", "c"], k=3, nInit=5, seed=4, **settings).fit(table)
    found = model.parameters
    starts = [(one.kind, one.lower_bound, one.iterations, one.alike, one.won) for one in model.summary.startRecords]
    return [*(array.tobytes() for array in (found.weights, found.means, found.covariances)), repr(starts)]


def test_a_fit_ends_in_the_same_bits_whether_tasks_search_the_sample_or_the_driver(spark, monkeypatch, eager):
    table = spark.createDataFrame(blobs().T.tolist(), ["a", "b", "c"])
    crews = [SparkCrew(spark, 2), SparkCrew(spark, 1)]
    found = []
    for crew in crews:
        monkeypatch.setattr(PackedTable, "crew", crew)
        found.append(fit(table))
    assert found[0] == found[1]
    assert [crew.jobs >= 2 for crew in crews] == [True, False]
    assert not crews[0].failed


def test_a_fit_gives_its_search_the_cores_that_passes_use(spark, monkeypatch):
    given = []
    monkeypatch.setattr(SparkCrew, "run", lambda self, *rest: given.append(self.cores))
    fit(spark.createDataFrame(blobs().T.tolist(), ["a", "b", "c"]))
    assert given
    assert set(given) == {spark.sparkContext.defaultParallelism}


def test_answers_come_in_the_order_of_the_tasks(spark):
    crew = SparkCrew(spark, 2)
    assert crew.run(SAMPLE, [name_columns, name_columns], 10.0, 100) == [b"(2, 30)"] * 2
    assert crew.jobs == 1


@pytest.mark.parametrize(("saves", "n_bytes"), [(0.01, 100), (10.0, 1 << 40)])
def test_the_driver_works_if_a_job_saves_little_or_sends_much(spark, saves, n_bytes):
    crew = SparkCrew(spark, 2)
    assert crew.run(SAMPLE, [fail, fail], saves, n_bytes) is None
    assert not crew.failed


def test_the_driver_works_after_a_job_has_failed_and_says_why(spark, caplog):
    crew = SparkCrew(spark, 2)
    with caplog.at_level(logging.INFO, logger="gmm_spark"):
        assert crew.run(SAMPLE, [name_columns, fail], 10.0, 100) is None
    assert "the driver searches the sample alone, since tasks that did so failed" in caplog.text
    assert "no such luck" in caplog.text
    assert crew.run(SAMPLE, [name_columns], 10.0, 100) is None
    assert crew.jobs == 0


def test_a_cancelled_job_ends_the_search(spark, monkeypatch):
    def cancelled(*given):
        raise RuntimeError("[SPARK_JOB_CANCELLED] Job 7 cancelled part of cancelled job group x SQLSTATE: XXKDA")

    monkeypatch.setattr(crew_module, "run_on_sample", cancelled)
    with pytest.raises(RuntimeError, match="Job 7 cancelled"):
        SparkCrew(spark, 2).run(SAMPLE, [name_columns], 10.0, 100)
