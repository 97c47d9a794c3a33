"""Tasks on a sample, each run as a Spark task."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyspark.errors import PythonException
from threadpoolctl import threadpool_info

from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.start_task import StartTask, read_starts
from gmm_spark.core.settings import Settings
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.sample_tasks import run_on_sample
from tests.examples import COVARIANCE_TYPES, blobs
from tests.oracles import assert_same_mixture


class Report:
    """Task that returns its name, what it received and the BLAS threads it could use."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, sample) -> bytes:
        rows, weight = sample
        blas = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
        sums = rows.sum(axis=1).tolist(), None if weight is None else weight.tolist()
        return json.dumps([self.name, rows.shape, *sums, max(blas, default=1)]).encode()


@pytest.mark.parametrize("weighted", [False, True])
def test_each_task_receives_the_sample_and_answers_come_in_the_tasks_order(spark, weighted):
    rng = np.random.default_rng(0)
    rows, weight = rng.normal(size=(3, 40)), rng.uniform(size=40) if weighted else None
    answers = run_on_sample(spark, (rows, weight), [Report(f"work {i}") for i in range(5)])
    weights = None if weight is None else weight.tolist()
    expected = [[f"work {i}", [3, 40], np.ascontiguousarray(rows).sum(axis=1).tolist(), weights, 1] for i in range(5)]
    assert [json.loads(answer) for answer in answers] == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_starts_found_by_tasks_are_those_found_on_the_driver(spark, weighted):
    rows = blobs()
    table = spark.createDataFrame(rows.T.tolist(), ["a", "b", "c"])
    features = resolve_features(table, "", ["a", "b", "c"], None, None)
    weight = np.random.default_rng(0).choice([0.5, 1.0, 3.0], rows.shape[1]) if weighted else None
    tasks = [
        StartTask(
            Moments.of(rows, weight),
            ColumnProfile.of(rows),
            tuple(Settings(k=k, covariance_type=kind, n_init=5) for kind in COVARIANCE_TYPES),
        )
        for k in (1, 2, 3, 500)
    ]

    def read(answers):
        return [read_starts(answer, len(COVARIANCE_TYPES)) for answer in answers]

    with PackedTable(table, features, strict=False) as packed:
        *found, failed = read(packed.run_on_sample((rows, weight), tasks))
        (alone,) = read(packed.run_on_sample((rows, weight), tasks[1:2]))
    assert "distinct values" in str(failed)
    for answer, work in zip([*found, alone], [*tasks[:3], tasks[1]], strict=True):
        for (start,), (expected,), kind in zip(answer, *read([work((rows, weight))]), COVARIANCE_TYPES, strict=True):
            assert start.covariance_type == kind
            deviations = np.sqrt(np.diagonal(expected.dense_covariances, axis1=1, axis2=2))
            assert_same_mixture(start, expected.weights, expected.means, expected.covariances, deviations, rtol=1e-8)


def test_a_sample_too_large_for_a_message_stays_on_the_driver(spark, monkeypatch):
    monkeypatch.setattr("gmm_spark.spark.packing.table.run_on_sample", lambda *_: pytest.fail("sent to tasks"))
    rows = np.ones((2, 100))
    table = spark.createDataFrame(rows.T.tolist(), ["a", "b"])
    with PackedTable(table, resolve_features(table, "", ["a", "b"], None, None), strict=False) as packed:
        monkeypatch.setattr("gmm_spark.spark.packing.table.SPREAD_BYTES", rows.nbytes - 1)
        assert len(packed.run_on_sample((rows, None), [Report("a"), Report("b")])) == 2


def test_a_task_that_fails_ends_the_job_with_its_error(spark):
    def fail(sample) -> bytes:
        raise ZeroDivisionError("no work today")

    with pytest.raises(PythonException, match="no work today"):
        run_on_sample(spark, (np.ones((1, 3)), None), [fail, fail])
