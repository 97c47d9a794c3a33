"""Fit mixtures of several k and covariance structures to a table in shared passes, and save the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.jobs.config.jobs import SelectConfiguration, SelectOutputSection
from gmm_spark.jobs.fitting import describe_checks, estimator_parameters, fit_model, require_convergence
from gmm_spark.jobs.io.files import files_of
from gmm_spark.jobs.io.publishing import publish, require_publishable
from gmm_spark.jobs.io.tables import read_table, write_table
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.ml.comparison import Selection


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(select, SelectConfiguration, arguments)


def select(spark: SparkSession, configuration: SelectConfiguration) -> None:
    """Read the table, fit the mixtures, publish the best, the table of all, the picture and the report."""
    output = configuration.output
    report = RunReport(configuration)
    require_outputs(spark, output)
    with report.timed("read"):
        rows = read_table(spark, configuration.input)
    selector = build_selector(rows, configuration)
    model = fit_model(selector, rows, report)
    selection = model.summary.selection
    assert selection is not None  # a selector's model has one
    add_selection(report, selection)
    best = f"k={model.getK()} {model.getCovarianceType()}"
    require_convergence(spark, configuration, model, report, f"the best mixture, {best}, did not converge")
    with report.timed("write"):
        write_comparison(spark, selection, output)
        with publish(spark, output.model) as staging:
            model.save(staging)
    report.write(spark, output.report)
    print(describe_checks(model) + describe(model, selection, output.model))


def require_outputs(spark: SparkSession, output: SelectOutputSection) -> None:
    """Refuse, before any mixture is fitted, outputs that could not be written later."""
    if output.plot is not None:
        import gmm_spark.plots  # noqa: F401 - fails if matplotlib is installed and cannot be loaded
    for key, target in (("output.model", output.model), ("output.results", output.results)):
        if target is not None:
            require_publishable(spark, key, target, output.overwrite, "output.overwrite = true")


def build_selector(rows: DataFrame, configuration: SelectConfiguration) -> gmm_spark.GaussianMixtureSelector:
    """Build the selector of a configuration."""
    grid = configuration.selection
    return gmm_spark.GaussianMixtureSelector(
        ks=grid.ks,
        covarianceTypes=grid.covariance_types,
        criterion=grid.criterion,
        validationFraction=grid.validation_fraction,
        **estimator_parameters(rows, configuration.features, configuration.model),
    )


def add_selection(report: RunReport, selection: Selection) -> None:
    """Add all mixtures, and which was chosen by what, to the report."""
    mixtures = [asdict(row) for row in selection.rows]
    report.add("rows", held_out=selection.heldOutRows)
    report.add("selection", criterion=selection.criterion, chosen=selection.best, mixtures=mixtures)


def write_comparison(spark: SparkSession, selection: Selection, output: SelectOutputSection) -> None:
    """Write the table of all mixtures and the picture, as far as they were asked for."""
    if output.results is not None:
        write_table(selection.toDF().coalesce(1), output.results, "overwrite" if output.overwrite else "error")
    if output.plot is not None:
        from gmm_spark.plots import criterion_plot

        files_of(spark).write_bytes(output.plot, criterion_plot(selection, output.plot))


def describe(model: gmm_spark.GaussianMixtureModel, selection: Selection, path: str) -> str:
    """Return the job's last line: the best mixture, and how many rows it was fitted to."""
    summary = model.summary
    failed = sum(row.failure is not None for row in selection.rows)
    return (
        f"select: k={model.getK()} {model.getCovarianceType()} has the best {selection.criterion} of "
        f"{len(selection.rows)} mixtures, {failed} of which could not be fitted; "
        f"{summary.numRows:,} rows used, {selection.heldOutRows:,} held out, "
        f"{sum(summary.skipped.values()):,} skipped; model in {path}"
    )
