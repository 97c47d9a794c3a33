"""How many cores and hosts run the tasks, found out by a small job."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
from pyspark.sql import SparkSession

from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import task_number

# A setting of the session that has the first word on the number of partitions of a range.
PARALLELISM = "spark.sql.leafNodeDefaultParallelism"
HOSTS = Schema(task=pa.int32(), host=pa.string())


@dataclass(frozen=True)
class Cluster:
    """What runs the tasks.

    Attributes
    ----------
    cores : int
        Tasks that Spark runs at once.
    hosts : int
        Machines that they run on.
    """

    cores: int
    hosts: int


def survey_cluster(spark: SparkSession) -> Cluster:
    """Count the cores, as Spark's default number of partitions of a range, and the hosts of their tasks."""
    if is_local(spark):  # it stays as it is
        return _survey_once(spark, spark.conf.get(PARALLELISM, None))
    return _survey(spark)


def is_local(spark: SparkSession) -> bool:
    """Whether one JVM is all of the cluster."""
    master = str(spark.conf.get("spark.master", "local"))
    return master == "local" or master.startswith("local[")


@lru_cache(maxsize=16)
def _survey_once(spark: SparkSession, parallelism: str | None) -> Cluster:
    return _survey(spark)


def _survey(spark: SparkSession) -> Cluster:
    found = collect(spark.range(1 << 12).mapInArrow(name_host, HOSTS.spark))
    return Cluster(cores=len(found), hosts=len({row["host"] for row in found}))


def name_host(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that ignores its rows and returns its number and the name of its host."""
    for _ in stream:
        pass
    yield HOSTS.row(task=task_number(), host=socket.gethostname())
