"""Draw rows from a saved model or from parameters in a JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.core.formatting import show_name
from gmm_spark.core.mixture.overreach import tell_overreach
from gmm_spark.jobs.config.jobs import SampleConfiguration
from gmm_spark.jobs.io.parameter_files import read_parameters
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.models import plan_model
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.jobs.preflight.table_outputs import check_table, plan_table
from gmm_spark.jobs.preflight.workers import check_workers
from gmm_spark.jobs.run.lineage import tell_lineage
from gmm_spark.jobs.run.naming import name_run
from gmm_spark.jobs.run.plans import show_plan
from gmm_spark.jobs.run.publishing import published
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.saved import locate_model
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import Located

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(sample, SampleConfiguration, arguments)


def sample(spark: SparkSession, configuration: SampleConfiguration) -> None:
    """Load the mixture, draw from it, publish the rows and the report."""
    with name_run(spark, configuration.job, configuration.run.id) as run_id:
        _sample(spark, configuration, run_id)


def _sample(spark: SparkSession, configuration: SampleConfiguration, run_id: str) -> None:
    n, output = configuration.n, configuration.output
    report, faults = RunReport(configuration, run_id), Faults()
    destination, partition_by = check_table(faults, spark, output, configuration.model), None
    model, saved = faults.attempt(load_model, spark, configuration, report) or (None, None)
    rows = None if model is None else faults.attempt(draw_rows, spark, model, configuration)
    if rows is not None and destination is not None:
        partition_by = faults.attempt(destination.require_fit, rows, [])
    with report.timed("check", spark):
        workers = check_workers(faults, spark, "gmm_spark.spark.generation")
    faults.require_none()
    assert model is not None  # or there was a fault
    assert rows is not None
    assert destination is not None
    assert partition_by is not None
    if configuration.run.dry_run:
        plan = Plan(configuration.job)
        plan_model(plan, model, saved)
        plan.add("rows", f"{n:,}, seed {configuration.seed}")
        plan_table(plan, rows, output, destination, partition_by)
        show_plan(plan, spark, workers, configuration)
        return
    with report.timed("sample", spark):
        destination.write(rows, partition_by, "sample", run_id)
    report.add("rows", written=n)
    tell_lineage(rows_written=n)
    report.add("mixture", **model.parameters.to_dict())
    with published(f"the {destination.describe()} is written"):
        report.write(spark, output.report)
    noise = "" if model.parameters.noise is None else " and noise"
    print(
        f"sample: {n:,} rows drawn from {len(model.weights)} components{noise}; run {run_id}, {destination.describe()}"
    )
    if beyond := describe_overreach(model):
        print(f"sample: drawn rows have values that no training row has: {beyond}")


def load_model(
    spark: SparkSession, configuration: SampleConfiguration, report: RunReport
) -> tuple[gmm_spark.GaussianMixtureModel, Located | None]:
    """Load the saved model, or build one of the parameters in the JSON file; return it, and where it was saved."""
    if configuration.model is not None:
        saved = locate_model(files_of(spark), "model", configuration.model)
        report.add("model", path=saved.path, run_id=saved.run_id)
        return gmm_spark.GaussianMixtureModel.load(saved.path), saved
    return gmm_spark.GaussianMixtureModel(read_parameters(spark, "parameters", str(configuration.parameters))), None


def describe_overreach(model: gmm_spark.GaussianMixtureModel) -> str:
    """Say how many drawn rows have values that no training row has; an empty text if few, or if that is not known."""
    names = model.featureNames or [f"feature {i}" for i in range(model.numFeatures)]
    profile = model.trainingProfile
    found = [] if profile is None else profile.find_overreach(model.parameters)
    return tell_overreach(found, [show_name(name) for name in names])


def draw_rows(
    spark: SparkSession, model: gmm_spark.GaussianMixtureModel, configuration: SampleConfiguration
) -> DataFrame:
    """Return the rows to draw: a column per feature if they have names, else one array column."""
    output = configuration.output
    return model.sample(
        spark,
        configuration.n,
        configuration.seed,
        outputCols=output.columns or (None if output.vector else model.featureNames),
        featuresCol=output.vector or "features",
        componentCol=output.component,
        numPartitions=output.partitions,
        precision=output.precision,
    )
