"""Draw rows from a saved model or from parameters in a JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.jobs.config.jobs import SampleConfiguration
from gmm_spark.jobs.io.parameter_files import read_parameters
from gmm_spark.jobs.io.table_output import require_same_table, require_writable, write_table
from gmm_spark.jobs.run.publishing import published
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import find_model

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(sample, SampleConfiguration, arguments)


def sample(spark: SparkSession, configuration: SampleConfiguration) -> None:
    """Load the mixture, draw from it, publish the rows and the report."""
    n, output = configuration.n, configuration.output
    report = RunReport(configuration)
    require_writable(spark, output)
    model = load_model(spark, configuration, report)
    rows = draw_rows(spark, model, configuration)
    require_same_table(rows, output.path, output.mode, [])
    with report.timed("sample", spark):
        write_table(rows, output.path, output.mode, job="sample")
    report.add("rows", written=n)
    report.add("mixture", **model.parameters.to_dict())
    with published(f"the table in {output.path} is written"):
        report.write(spark, output.report)
    print(f"sample: {n:,} rows drawn from {len(model.weights)} components; table in {output.path}")


def load_model(
    spark: SparkSession, configuration: SampleConfiguration, report: RunReport
) -> gmm_spark.GaussianMixtureModel:
    """Load the saved model, or build one of the parameters in the JSON file."""
    if configuration.model is not None:
        saved = find_model(files_of(spark), configuration.model)
        report.add("model", path=saved.path, run_id=saved.run_id)
        return gmm_spark.GaussianMixtureModel.load(saved.path)
    return gmm_spark.GaussianMixtureModel(read_parameters(spark, "parameters", str(configuration.parameters)))


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
