"""OpenLineage: events of a job's run, with the tables that it read and wrote, and the fit in a few figures.

Its client sends them as its own configuration says (``OPENLINEAGE_URL``, ``openlineage.yml``, ...). Whatever goes wrong
with lineage is a warning, and never the end of a job.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gmm_spark import __version__
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.secrets import redact
from gmm_spark.jobs.io.dataset_names import DatasetName, name_path, name_source
from gmm_spark.storage.documents import describe_error
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_logger = logging.getLogger(__name__)

PRODUCER = f"https://pypi.org/project/gmm-spark/{__version__}"
# Of what a job tells, the figures that are sent: numbers and names, no values of the table.
_TOLD = ("run_id", "k", "covariance_type", "rows", "lower_bound", "bic", "converged", "iterations", "features")
# What Airflow and others set for the programs that they start: namespace, job and run of the parent.
_PARENT = "OPENLINEAGE_PARENT_ID"

_facts: dict[str, Any] = {}


def tell_lineage(**facts: Any) -> None:
    """Add facts to the last event of this process's job, such as the id of the run and the fit's figures."""
    _facts.update(facts)


@contextmanager
def traced(
    spark: SparkSession,
    configuration: JobConfiguration,
    secrets: Iterable[str],
    explain: Callable[[Exception], Exception],
) -> Iterator[None]:
    """Send START, run the block, and send COMPLETE, FAIL, or ABORT if it was interrupted; if ``run.lineage`` says so.

    Parameters
    ----------
    spark : SparkSession
    configuration : JobConfiguration
    secrets : iterable of str
        What an error's text must not repeat.
    explain : callable
        From an error to the one that the job's last line shows.
    """
    _facts.clear()
    wanted = configuration.run.lineage and not configuration.run.dry_run and hasattr(configuration, "output")
    sender = _open(spark, configuration) if wanted else None
    if sender is None:
        yield
        return
    sender.send("START")
    try:
        yield
    except Exception as error:
        sender.send("FAIL", redact(describe_error(explain(error)), secrets))
        raise
    except BaseException:
        sender.send("ABORT")
        raise
    sender.send("COMPLETE")


def _open(spark: SparkSession, configuration: JobConfiguration) -> _Sender | None:
    try:
        return _Sender(spark, configuration)
    except Exception as error:
        _logger.warning("no lineage is sent: %s", describe_error(error))
        return None


class _Sender:
    """Sends the events of one run of a job."""

    def __init__(self, spark: SparkSession, configuration: JobConfiguration) -> None:
        from openlineage.client import OpenLineageClient
        from openlineage.client.event_v2 import Job
        from openlineage.client.facet_v2 import job_type_job
        from openlineage.client.uuid import generate_new_uuid

        section = configuration.run
        self._run = str(generate_new_uuid())
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="GMM_SPARK", jobType="JOB")
        self._job = Job(
            namespace=section.lineage_namespace or os.environ.get("OPENLINEAGE_NAMESPACE") or "default",
            name=section.app_name or f"gmm-spark {configuration.job}",
            facets={"jobType": kind},
        )
        self._spark_version = spark.version
        self._inputs, self._outputs = name_datasets(spark, configuration)
        self._client = OpenLineageClient()

    def send(self, state: str, failure: str | None = None) -> None:
        """Send an event; a failure to do so is a warning."""
        try:
            self._client.emit(self._build(state, failure))
            if state != "START":
                self._client.close(timeout=10)
        except Exception as error:
            _logger.warning("the lineage event %s was not sent: %s", state, describe_error(error))

    def _build(self, state: str, failure: str | None) -> Any:
        from openlineage.client.event_v2 import InputDataset, OutputDataset, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import (
            error_message_run,
            output_statistics_output_dataset,
            processing_engine_run,
        )

        told = {name: _facts[name] for name in _TOLD if name in _facts}
        facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=self._spark_version, name="spark", openlineageAdapterVersion=__version__
            ),
            **_describe_parent(),
        }
        if told:
            facets["gmm_spark"] = _make_facet(told)
        if failure is not None:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(failure, "PYTHON")
        statistics: dict[str, Any] = {}
        if "rows_written" in _facts:
            statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=_facts["rows_written"]
            )
        return RunEvent(
            eventType=RunState[state],
            eventTime=datetime.now(timezone.utc).isoformat(),
            run=Run(runId=self._run, facets=facets),
            job=self._job,
            producer=PRODUCER,
            inputs=[InputDataset(*name) for name in self._inputs],
            outputs=[OutputDataset(*name, outputFacets=statistics) for name in self._outputs],
        )


def name_datasets(spark: SparkSession, configuration: Any) -> tuple[list[DatasetName], list[DatasetName]]:
    """Name what a job reads and what it writes: tables, and directories of models."""
    files = files_of(spark)
    inputs = [] if not hasattr(configuration, "input") else [name_source(spark, configuration.input)]
    model = getattr(
        configuration, "model", None
    )  # of score and sample a path, of fit a section with a model to start from
    start = model if isinstance(model, str) else getattr(model, "initial_model", None)
    if start:
        inputs.append(name_path(files.qualify(start)))
    output = configuration.output
    written = getattr(output, "model", None) or output.path
    return inputs, [name_path(files.qualify(written))]


def _describe_parent() -> dict[str, Any]:
    """Return the facet of the run that started this one, if the environment tells."""
    parts = os.environ.get(_PARENT, "").rsplit("/", 2)
    if len(parts) != 3:
        return {}
    from openlineage.client.facet_v2 import parent_run

    namespace, job, run = parts
    return {"parent": parent_run.ParentRunFacet(run=parent_run.Run(runId=run), job=parent_run.Job(namespace, job))}


def _make_facet(told: Mapping[str, Any]) -> Any:
    """Return the figures of a run as a facet of our own."""
    import attr
    from openlineage.client.facet_v2 import RunFacet

    kind = attr.make_class("GmmSparkRunFacet", list(told), bases=(RunFacet,))
    return kind(**told)
