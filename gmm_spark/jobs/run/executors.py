"""What became of Spark's executors during a job, as Spark's own status store, which its pages show, has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gmm_spark.storage.documents import shorten
from gmm_spark.storage.hadoop import is_remote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Executors that a report names; it counts them all.
_NAMED = 20
# How Spark says that it let go of an executor by itself, since it was idle.
_LET_GO = "killed by driver"


def describe_application(spark: SparkSession) -> dict[str, Any]:
    """Describe the Spark application and its executors, alive and lost, by one call to the JVM.

    Returns
    -------
    dict
        Empty over Spark Connect, or if Spark does not tell.
    """
    if is_remote(spark):
        return {}
    try:
        context = spark.sparkContext
        jvm: Any = context._jvm
        mapper = jvm.com.fasterxml.jackson.databind.ObjectMapper()
        mapper.registerModule(jvm.com.fasterxml.jackson.module.scala.DefaultScalaModule())
        executors = context._jsc.sc().statusStore().executorList(False)
        found = json.loads(mapper.writeValueAsString(executors))
        return {"application": context.applicationId, "master": context.master, **count_executors(found)}
    except Exception:  # a report is not worth a failure: the store is not part of Spark's public interface
        return {}


def count_executors(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up what Spark tells of each executor.

    Parameters
    ----------
    found : sequence of mapping
        As Spark's REST interface has them: ``isActive``, ``removeReason``, ``failedTasks``, ...
    """
    lost = [one for one in found if not one["isActive"] and _LET_GO not in (one.get("removeReason") or "")]
    return {
        "executors": sum(bool(one["isActive"]) for one in found),
        "executors_lost": len(lost),
        "lost": [
            {"id": one["id"], "host": one["hostPort"], "reason": shorten(one.get("removeReason") or "unknown", 200)}
            for one in lost[:_NAMED]
        ],
        "tasks": sum(one["completedTasks"] for one in found),
        "tasks_failed": sum(one["failedTasks"] for one in found),
        "bytes_shuffled": sum(one["totalShuffleWrite"] for one in found),
    }
