"""Carrying: how many rows each task that packs may hand to the driver, and how many all may together.

No task knows how many there are, nor how many rows the others have. So each has a share by its number, from 0: twice
what it would have if it were the last of evenly spread ones. Tables of few rows are carried whole unless their
partitions are very uneven, and all shares together are bounded (by the harmonic series), whatever the table is.
"""

from __future__ import annotations

import math

from pyspark.sql import SparkSession

from gmm_spark.spark.results import bytes_per_job


def carried_rows(rows: int, task: int) -> int:
    """Return how many rows a task may carry if a table of so many is to be carried whole.

    Examples
    --------
    >>> [carried_rows(900, task) for task in range(5)]
    [900, 900, 600, 450, 360]
    """
    return min(rows, -(-2 * rows // (task + 1)))


def limit_carried(spark: SparkSession, rows: int, width: int, tasks: int) -> int:
    """Return for how many rows tasks may have shares: as many as asked for, or what one job may bring.

    Parameters
    ----------
    spark : SparkSession
    rows : int
        Asked for.
    width : int
        Features of a row.
    tasks : int
        At most.
    """
    most = bytes_per_job(spark) // (8 * (width + 1))  # with a weight
    return min(rows, max(int((most - tasks) / (2 * (1 + math.log(tasks)))), 0))
