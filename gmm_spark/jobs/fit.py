"""Fit a Gaussian mixture to a table and save the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.jobs.config.jobs import FitConfiguration
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
from gmm_spark.jobs.preflight.fits import Checked, check_fit, plan_fit
from gmm_spark.jobs.previous import Previous, check_previous, identify, read_previous, set_previous
from gmm_spark.jobs.run.publishing import Attempt, Prepared, Result, do_run
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.start import Start, add_moves, read_start

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(fit, FitConfiguration, arguments)


def fit(spark: SparkSession, configuration: FitConfiguration) -> None:
    """Read the table, fit, publish the model and the report."""

    def prepare(faults: Faults, report: RunReport) -> Prepared:
        start = faults.attempt(read_start, spark, configuration)
        earlier = faults.attempt(read_previous, spark, configuration)
        with report.timed("read"):
            rows = faults.attempt(read_table, spark, configuration.input)
        with report.timed("check", spark):
            checked = check_fit(spark, configuration, rows, None if start is None else start.parameters, faults)
            previous = check_previous(faults, earlier, checked.rows, configuration)
            faults.require_none()
        plan = partial(plan_fit, spark, configuration, checked, None if previous is None else previous.saved.source)
        return Prepared(partial(work, checked, start, previous), plan, checked.workers)

    def work(checked: Checked, start: Start | None, previous: Previous | None, attempt: Attempt) -> Result:
        rows, report = checked.rows, attempt.report
        estimator = set_previous(build_estimator(checked, configuration), previous)
        model = fit_model(estimator, rows, attempt, configuration)
        require_convergence(spark, configuration, model, report, "no convergence")
        add_input(spark, configuration, rows, report)
        moves = add_moves(start, model, report) + identify(previous, model, configuration, report)
        with report.timed("write", spark):
            save_fit(spark, model, attempt.folder)
        return Result(outline(model), describe_checks(model) + describe(model) + moves)

    do_run(spark, configuration, prepare)


def build_estimator(checked: Checked, configuration: FitConfiguration) -> gmm_spark.GaussianMixture:
    """Build the estimator of a configuration, with the mixture to start from if there is one."""
    mixture = configuration.model
    parameters = estimator_parameters(checked.rows, configuration.features, mixture)
    estimator = gmm_spark.GaussianMixture(
        k=mixture.k, covarianceType=mixture.covariance_type, noise=mixture.noise, **parameters
    )
    return estimator if checked.initial is None else estimator.setInitialModel(checked.initial)


def describe(model: gmm_spark.GaussianMixtureModel) -> str:
    """Return the job's last line: how many rows it used, and whether EM has converged."""
    summary = model.summary
    noise = f"; noise has {summary.noiseWeight:.2%} of the weight" if model.getNoise() else ""
    degenerate = "".join(f"; component {j} without weight" for j in summary.degenerateComponents)
    return (
        f"fit: {summary.numRows:,} rows used{describe_missing(model)}, {sum(summary.skipped.values()):,} skipped; "
        f"{'converged' if summary.converged else 'not converged'} after {summary.numIter} iterations{noise}{degenerate}"
    )
