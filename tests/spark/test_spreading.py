"""Work on a sample, spread over tasks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from gmm_spark.core.moments import Moments
from gmm_spark.core.search import Settings
from gmm_spark.core.sweep import _Starts
from gmm_spark.spark.features import resolve_features
from gmm_spark.spark.packed import PackedTable
from gmm_spark.spark.spreading import apart
from tests.examples import COVARIANCE_TYPES, blobs
from tests.oracles import assert_same_mixture


class Told:
    """Work that says what it was given, and where."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, sample) -> bytes:
        rows, weight = sample
        blas = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
        sums = rows.sum(axis=1).tolist(), None if weight is None else weight.tolist()
        return json.dumps([self.name, rows.shape, *sums, max(blas, default=1)]).encode()


@pytest.mark.parametrize("weighted", [False, True])
def test_each_work_is_given_the_sample_and_answers_in_its_place(spark, weighted):
    rng = np.random.default_rng(0)
    rows, weight = rng.normal(size=(3, 40)), rng.uniform(size=40) if weighted else None
    answers = apart(spark, (rows, weight), [Told(f"work {i}") for i in range(5)])
    weights = None if weight is None else weight.tolist()
    expected = [[f"work {i}", [3, 40], np.ascontiguousarray(rows).sum(axis=1).tolist(), weights, 1] for i in range(5)]
    assert [json.loads(answer) for answer in answers] == expected


def test_starts_found_by_tasks_are_those_found_on_the_driver(spark):
    rows = blobs()
    table = spark.createDataFrame(rows.T.tolist(), ["a", "b", "c"])
    features = resolve_features(table, "", ["a", "b", "c"], None, None)
    works = [
        _Starts(Moments.of(rows), tuple(Settings(k=k, covariance_type=kind, n_init=5) for kind in COVARIANCE_TYPES))
        for k in (1, 2, 3, 500)
    ]
    with PackedTable(table, features, strict=False) as packed:
        *found, failed = map(_Starts.read, packed.apart((rows, None), works))
        (alone,) = map(_Starts.read, packed.apart((rows, None), works[1:2]))
    assert "distinct values" in str(failed)
    for answer, work in zip([*found, alone], [*works[:3], works[1]], strict=True):
        for (start,), (expected,), kind in zip(answer, _Starts.read(work((rows, None))), COVARIANCE_TYPES, strict=True):
            assert start.covariance_type == kind
            deviations = np.sqrt(np.diagonal(expected.dense_covariances, axis1=1, axis2=2))
            assert_same_mixture(start, expected.weights, expected.means, expected.covariances, deviations, rtol=1e-8)
