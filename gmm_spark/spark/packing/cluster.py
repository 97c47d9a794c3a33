"""How many cores and hosts run the tasks, found out by a small job if Spark does not tell without."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

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
    if is_local(spark) and (cores := _default_parallelism(spark)) is not None:
        return Cluster(cores, hosts=1)
    found = collect(spark.range(1 << 12).mapInArrow(name_host, HOSTS.spark))
    return Cluster(cores=len(found), hosts=len({row["host"] for row in found}))


def is_local(spark: SparkSession) -> bool:
    """Whether one JVM is all of the cluster."""
    master = str(spark.conf.get("spark.master", "local"))
    return master == "local" or master.startswith("local[")


def _default_parallelism(spark: SparkSession) -> int | None:
    """Return the number of partitions of a range; None over Spark Connect, which has no context."""
    try:
        return int(spark.conf.get(PARALLELISM, None) or spark.sparkContext.defaultParallelism)
    except Exception:
        return None


def name_host(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that ignores its rows and returns its number and the name of its host."""
    for _ in stream:
        pass
    yield HOSTS.row(task=task_number(), host=socket.gethostname())
