"""Fit mixtures of several k and covariance structures to a table in shared passes, and save the best."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.jobs.config.jobs import SelectConfiguration, SelectOutputSection
from gmm_spark.jobs.fitting import (
    add_input,
    describe_checks,
    describe_missing,
    estimator_parameters,
    fit_model,
    outline,
    require_convergence,
    save_fit,
)
from gmm_spark.jobs.io.tables import read_table
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.fits import check_fit, plan_fit
from gmm_spark.jobs.previous import Previous, check_previous, identify, read_previous, set_previous
from gmm_spark.jobs.run.publishing import Attempt, Prepared, Result, do_run
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.ml.comparison import Selection

MIXTURES = "mixtures"  # folder of the table of all mixtures, in a run


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(select, SelectConfiguration, arguments)


def select(spark: SparkSession, configuration: SelectConfiguration) -> None:
    """Read the table, fit the mixtures, publish the best, the table of all, the picture and the report."""
    if configuration.output.plot is not None:
        from gmm_spark.plots import draw_selection  # noqa: F401 - fails if Altair is there and cannot be loaded

    def prepare(faults: Faults, report: RunReport) -> Prepared:
        earlier = faults.attempt(read_previous, spark, configuration)
        with report.timed("read"):
            rows = faults.attempt(read_table, spark, configuration.input)
        with report.timed("check", spark):
            checked = check_fit(spark, configuration, rows, None, faults)
            previous = check_previous(faults, earlier, checked.rows, configuration)
            faults.require_none()
        plan = partial(plan_fit, spark, configuration, checked, None if previous is None else previous.saved.source)
        return Prepared(partial(work, checked.rows, previous), plan, checked.workers)

    def work(rows: DataFrame, previous: Previous | None, attempt: Attempt) -> Result:
        report = attempt.report
        selector = set_previous(build_selector(rows, configuration), previous)
        model = fit_model(selector, rows, attempt, configuration)
        selection = model.summary.selection
        assert selection is not None  # a selector's model has one
        best = selection.rows[selection.best or 0].label
        require_convergence(spark, configuration, model, report, f"the best mixture, {best}, did not converge")
        add_input(spark, configuration, rows, report)
        changes = identify(previous, model, configuration, report)
        with report.timed("write", spark):
            copies = write_comparison(spark, selection, configuration.output, attempt.folder)
            save_fit(spark, model, attempt.folder)
        return Result(outline(model), describe_checks(model) + describe(model, selection) + changes, copies)

    do_run(spark, configuration, prepare)


def build_selector(rows: DataFrame, configuration: SelectConfiguration) -> gmm_spark.GaussianMixtureSelector:
    """Build the selector of a configuration."""
    grid = configuration.selection
    return gmm_spark.GaussianMixtureSelector(
        ks=grid.ks,
        covarianceTypes=grid.covariance_types,
        noises=grid.noises,
        criterion=grid.criterion,
        validationFraction=grid.validation_fraction,
        **estimator_parameters(rows, configuration.features, configuration.model),
    )


def write_comparison(
    spark: SparkSession, selection: Selection, output: SelectOutputSection, folder: str
) -> dict[str, bytes]:
    """Write the table of all mixtures, and the picture if it was asked for, to the run's folder.

    Returns
    -------
    dict
        What to write once the run is complete: the picture, under its path.
    """
    selection.toDF().coalesce(1).write.parquet(f"{folder}/{MIXTURES}")
    if output.plot is None:
        return {}
    from gmm_spark.plots import draw_selection

    ending = PurePath(output.plot).suffix.lower()
    picture = draw_selection(selection).render(ending[1:])
    files_of(spark).write_bytes(f"{folder}/criterion{ending}", picture)
    return {output.plot: picture}


def describe(model: gmm_spark.GaussianMixtureModel, selection: Selection) -> str:
    """Return the job's last line: the best mixture, and how many rows it was fitted to."""
    summary = model.summary
    failed = sum(row.failure is not None for row in selection.rows)
    with_noise = "" if model.parameters.noise is None else " with noise"
    return (
        f"select: k={model.getK()} {model.getCovarianceType()}{with_noise} has the best {selection.criterion} of "
        f"{len(selection.rows)} mixtures, {failed} of which could not be fitted; "
        f"{summary.numRows:,} rows used{describe_missing(model)}, {selection.heldOutRows:,} held out, "
        f"{sum(summary.skipped.values()):,} skipped"
    )
