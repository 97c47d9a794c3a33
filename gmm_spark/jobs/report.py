"""Write a page about a fitted mixture, for a browser: whether to trust it, what it says, how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.jobs.config.command_line import name_path
from gmm_spark.jobs.config.reports import ReportConfiguration
from gmm_spark.jobs.io.tables import feature_parameters, read_table
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.subjects import name_page, read_subject, require_outside, write_file
from gmm_spark.report.rows import look_at_table
from gmm_spark.report.single import render_report
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(report, ReportConfiguration, name_path(arguments, ReportConfiguration))


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
        rows = read_table(spark, configuration.input)
        for name, value in feature_parameters(rows, configuration.features.columns or subject.names).items():
            model.set(model.getParam(name), value)
        subject = look_at_table(subject, model, rows, configuration.anomalies)
    page = render_report(subject)
    write_file(files, "output", output, page.encode("utf-8"))
    print(f"report: {subject.title}, written to {output}")
