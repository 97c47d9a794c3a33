"""The name of a run: in the log, in Spark's pages, and wherever the job writes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gmm_spark.jobs.run.lineage import tell_lineage
from gmm_spark.jobs.run.logs import add_facts
from gmm_spark.spark.descriptions import describe_jobs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def name_run(spark: SparkSession, job: str, run_id: str | None) -> Iterator[str]:
    """Yield the id of a run, a new one if none was given; log and Spark's pages show it within the block."""
    name = run_id or new_run_id()
    add_facts(run_id=name)
    tell_lineage(run_id=name)
    with describe_jobs(spark, f"run {name}", group=f"gmm-spark {job} {name}"):
        yield name


def new_run_id() -> str:
    """Return an id that sorts by time, and that no other run has."""
    now = datetime.now(timezone.utc)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z-{secrets.token_hex(3)}"
