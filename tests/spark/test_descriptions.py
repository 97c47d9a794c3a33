"""Spark's jobs are described, and the user's own description is as it was afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark import GaussianMixture
from gmm_spark.spark.descriptions import DESCRIPTION, GROUP, describe_jobs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def context(spark: SparkSession) -> Iterator[Any]:
    context = spark.sparkContext
    yield context
    for name in (DESCRIPTION, GROUP):
        context.setLocalProperty(name, None)


def read(context: Any) -> str | None:
    return context.getLocalProperty(DESCRIPTION)


def test_descriptions_nest_and_are_put_back(spark: SparkSession, context: Any) -> None:
    with describe_jobs(spark, "GaussianMixture fit", unless_named=True, group="mine"):
        with describe_jobs(spark, "pass 1"):
            assert read(context) == "GaussianMixture fit: pass 1"
        assert read(context) == "GaussianMixture fit"
        assert context.getLocalProperty(GROUP) == "mine"
    assert read(context) is None
    assert context.getLocalProperty(GROUP) is None


def test_the_users_description_stays_in_front_and_survives_an_error(spark: SparkSession, context: Any) -> None:
    context.setJobDescription("nightly")

    def fail() -> None:
        with describe_jobs(spark, "GaussianMixture fit", unless_named=True), describe_jobs(spark, "pack"):
            assert read(context) == "nightly: pack"
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert read(context) == "nightly"


def test_a_session_without_a_context_does_without() -> None:
    with describe_jobs(object(), "pack"):  # type: ignore[arg-type]
        pass


def test_the_jobs_of_a_fit_say_what_they_do(spark: SparkSession, context: Any) -> None:
    """As Spark's own status store, which its pages show, has them."""
    store = context._jsc.sc().statusStore()
    before = {job.jobId() for job in as_list(context, store.jobsList(None))}
    table = spark.range(0, 400, 1, 2).selectExpr("double(id % 7) x", "double(id % 2) * 30 + double(id % 5) y")
    bounds: list[float] = []
    estimator = GaussianMixture(inputCols=["x", "y"], k=2, maxIter=3, tol=0.0, sampleRows=100)
    estimator.setCallback(lambda record: bounds.append(record.lower_bound)).fit(table)
    context._jsc.sc().listenerBus().waitUntilEmpty()
    jobs = [job for job in as_list(context, store.jobsList(None)) if job.jobId() not in before]
    told = {job.description().get() for job in jobs if job.description().isDefined()}
    assert {
        "GaussianMixture fit: pack",
        "GaussianMixture fit: sample",
        "GaussianMixture fit: pass 1 of at most 3",
        f"GaussianMixture fit: pass 3 of at most 3, bound {bounds[1]:.5f}",
        "GaussianMixture fit: evaluate",
    } <= told
    assert read(context) is None


def test_another_thread_keeps_its_own(spark: SparkSession, context: Any) -> None:
    seen = []
    with describe_jobs(spark, "here"):
        thread = threading.Thread(target=lambda: seen.append(read(context)))
        thread.start()
        thread.join()
    assert seen == [None]


def as_list(context: Any, found: Any) -> list[Any]:
    return list(context._jvm.scala.jdk.javaapi.CollectionConverters.asJava(found))
