"""The run report: rows read, results, durations and versions, in a JSON file."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from gmm_spark import __version__
from gmm_spark.core.steps import step, timing
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

# Quantiles of the training rows' log-density that a report lists.
QUANTILES = (0.001, 0.01, 0.1, 0.5, 0.9)
PACKAGES = ("pyspark", "numpy", "scipy", "pyarrow", "pandas")


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
        """Add the numbers of rows, the quality of the fit, what its checks found, and the fitted mixture."""
        summary = model.summary
        skipped = sum(summary.skipped.values())
        held_out = summary.selection.heldOutRows if summary.selection else 0
        read = summary.numRows + skipped + held_out
        self.add("rows", read=read, used=summary.numRows, effective=summary.effectiveRows, skipped=summary.skipped)
        self.add(
            "fit",
            converged=summary.converged,
            iterations=summary.numIter,
            starts={
                "compared": summary.starts,
                "alike": summary.startsAlike,
                "records": [asdict(one) for one in summary.startRecords],
            },
            log_likelihood=summary.logLikelihood,
            lower_bound=summary.lowerBound,
            aic=summary.aic,
            bic=summary.bic,
            degenerate_components=summary.degenerateComponents,
            **({"noise_weight": summary.noiseWeight} if model.getNoise() else {}),
            variance_floor=summary.varianceFloor,
            rounding_steps=summary.roundingSteps,
            history=[asdict(one) | {"rows_per_second": _rate(summary.numRows, one.seconds)} for one in summary.history],
            log_density_quantiles={q: model.logDensityQuantile(q) for q in QUANTILES},
        )
        self.add("spark", packing=asdict(summary.packing))
        self._facts["checks"] = [asdict(one) | {"remedy": name_keys(one.remedy)} for one in summary.checks]
        if summary.mergeTree is not None:
            self._facts["merge_tree"] = summary.mergeTree.to_dict()
        self.add("mixture", features=model.featureNames, **model.parameters.to_dict())

    def add_spark(self, spark: SparkSession) -> None:
        """Add Spark's application, its executors, alive and lost, and the sums of their tasks."""
        self.add("spark", **describe_application(spark))

    def collect(self) -> dict[str, Any]:
        """Return all facts so far, with durations and versions."""
        seconds = {**self._seconds, "total": time.perf_counter() - self._begin}
        return {**self._facts, "seconds": seconds, "versions": collect_versions()}

    def to_bytes(self) -> bytes:
        """Return the report as JSON. NaN and infinity, which JSON lacks, become null."""
        return write_document(self.collect())

    def write(self, spark: SparkSession, path: str | None) -> None:
        """Write the report, if it was asked for with a path."""
        if path is not None:
            self.add_spark(spark)
            files_of(spark).write_bytes(path, self.to_bytes())


def _rate(rows: int, seconds: float) -> float | None:
    return rows / seconds if seconds else None


def collect_versions() -> dict[str, str]:
    """Return the versions of everything that can change the numbers."""
    found = {"python": platform.python_version(), "gmm-spark": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # shipped as a zip, without metadata
            found[package] = "unknown"
    return found
