"""Write a page about a fitted mixture, for a browser: whether to trust it, what it says, how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.jobs.config.command_line import name_path
from gmm_spark.jobs.config.reports import ReportConfiguration
from gmm_spark.jobs.io.tables import feature_parameters, quote, read_table
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.subjects import name_page, read_subject, require_outside, write_page
from gmm_spark.report.single import write_report
from gmm_spark.report.subject import Subject
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark import GaussianMixtureModel

# Names that no column of a table should have.
_LOG_DENSITY, _PREDICTION = "_gmm_spark_log_density", "_gmm_spark_prediction"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(report, ReportConfiguration, name_path(arguments))


def report(spark: SparkSession, configuration: ReportConfiguration) -> None:
    """Read the run or the model, write the page, and print where it is."""
    files = files_of(spark)
    subject, model, found = read_subject(spark, configuration.path, configuration.scores)
    output = configuration.output or name_page(files, found)
    require_outside(files, "output", output, found)
    if configuration.run.dry_run:
        print(f"report: would write a page about {subject.title} to {output}")
        return
    if configuration.input.is_given:
        subject = look_at_table(spark, configuration, subject, model)
    page = write_report(subject)
    write_page(files, output, page)
    print(f"report: {subject.title}, written to {output}")


def look_at_table(
    spark: SparkSession, configuration: ReportConfiguration, subject: Subject, model: GaussianMixtureModel
) -> Subject:
    """Add to the subject what a table shows: a portrait if there is none, and the least likely rows if asked for."""
    rows = read_table(spark, configuration.input)
    for name, value in feature_parameters(rows, configuration.features.columns or subject.names).items():
        model.set(model.getParam(name), value)
    model.setHandleInvalid("skip")
    if subject.portrait is None:
        subject = replace(subject, portrait=model.portray(rows))
    if configuration.anomalies:
        subject = replace(subject, unlikely=list_unlikely(model, rows, subject.names, configuration.anomalies))
    return subject


def list_unlikely(
    model: GaussianMixtureModel, rows: DataFrame, names: Sequence[str], n: int
) -> tuple[dict[str, float], ...]:
    """List the n least likely rows of a table: log-density, most probable component, and features by name."""
    from pyspark.sql.functions import col

    model.setLogDensityCol(_LOG_DENSITY).setPredictionCol(_PREDICTION).setProbabilityCol("")
    model.setAnomalyCol("").setReasonsCol("")
    features = model.input_columns
    kept = [_LOG_DENSITY, _PREDICTION, *map(quote, features or [model.getFeaturesCol()])]
    found = model.transform(rows).select(*kept).orderBy(col(_LOG_DENSITY).asc_nulls_last()).limit(n).collect()
    return tuple(
        dict(zip(("log-density", "component", *names), (*one[:2], *(one[2:] if features else one[2])), strict=True))
        for one in found
    )
