"""The run report: rows read, results, durations and versions, in a JSON file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gmm_spark.core.steps import step, timing
from gmm_spark.core.versions import list_versions
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.parameter_keys import name_keys
from gmm_spark.jobs.config.secrets import redact_values
from gmm_spark.jobs.run.executors import describe_application
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.storage.documents import write_document
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark import GaussianMixtureModel


class RunReport:
    """Facts about a run, collected during the run and written as JSON at its end.

    Parameters
    ----------
    configuration : JobConfiguration
        Part of the report, with its secret values as asterisks.
    run_id : str, optional

    Attributes
    ----------
    run_id : str
        Empty if there is none.
    """

    def __init__(self, configuration: JobConfiguration, run_id: str | None = None) -> None:
        self.run_id = run_id or ""
        self._begin = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._facts: dict[str, Any] = {
            "job": configuration.job,
            "run_id": run_id,
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "configuration": redact_values(configuration.model_dump(mode="json")),
        }

    @contextmanager
    def timed(self, name: str, spark: SparkSession | None = None) -> Iterator[None]:
        """Log a step, describe Spark's jobs by it, and record its wall time and that of the steps within it."""
        with timing() as seconds:
            try:
                with step(name), nullcontext() if spark is None else describe_jobs(spark, name):
                    yield
            finally:
                self._seconds.update(seconds)

    def add(self, section: str, **facts: Any) -> None:
        """Add facts to a section of the report: numbers, text, arrays, and lists and dicts of these."""
        self._facts.setdefault(section, {}).update(facts)

    def add_fit(self, model: GaussianMixtureModel) -> None:
        """Add what the summary of a fit knows: rows, quality, checks, the mixture, and the others that were tried."""
        from gmm_spark.ml.facts import list_facts  # which imports Spark

        for section, facts in list_facts(model).items():
            if section == "checks":
                self._facts[section] = [one | {"remedy": name_keys(one["remedy"])} for one in facts]
            else:
                self.add(section, **facts)

    def add_spark(self, spark: SparkSession) -> None:
        """Add Spark's application, its executors, alive and lost, and the sums of their tasks."""
        self.add("spark", **describe_application(spark))

    def collect(self) -> dict[str, Any]:
        """Return all facts so far, with durations and versions."""
        seconds = {**self._seconds, "total": time.perf_counter() - self._begin}
        return {**self._facts, "seconds": seconds, "versions": list_versions()}

    def to_bytes(self) -> bytes:
        """Return the report as JSON. NaN and infinity, which JSON lacks, become null."""
        return write_document(self.collect())

    def write(self, spark: SparkSession, path: str | None) -> None:
        """Write the report, if it was asked for with a path."""
        if path is not None:
            self.add_spark(spark)
            files_of(spark).write_bytes(path, self.to_bytes())
