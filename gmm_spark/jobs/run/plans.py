"""The plan of a job, printed in place of its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gmm_spark.core.versions import list_versions
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.secrets import find_secrets, redact
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.jobs.preflight.workers import Worker, describe_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def show_plan(plan: Plan, spark: SparkSession, workers: Sequence[Worker], configuration: JobConfiguration) -> None:
    """Print what a job would do, with what it would run on, and without secrets."""
    plan.add("spark", *describe_spark(spark, workers))
    plan.add("driver", ", ".join(f"{name} {version}" for name, version in list_versions().items()))
    print(redact(str(plan), find_secrets(configuration)))
