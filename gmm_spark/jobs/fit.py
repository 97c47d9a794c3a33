"""Fit a Gaussian mixture to a table and save the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.jobs.config.jobs import FitConfiguration
from gmm_spark.jobs.fitting import (
    add_input,
    describe_checks,
    estimator_parameters,
    fit_model,
    outline,
    require_convergence,
)
from gmm_spark.jobs.io.parameter_files import read_parameters
from gmm_spark.jobs.io.tables import read_table
from gmm_spark.jobs.run.publishing import MODEL, Attempt, Result, do_run
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(fit, FitConfiguration, arguments)


def fit(spark: SparkSession, configuration: FitConfiguration) -> None:
    """Read the table, fit, publish the model and the report."""

    def work(attempt: Attempt) -> Result:
        report = attempt.report
        with report.timed("read"):
            rows = read_table(spark, configuration.input)
        estimator = build_estimator(spark, rows, configuration)
        model = fit_model(estimator, rows, attempt)
        require_convergence(spark, configuration, model, report, "no convergence")
        add_input(spark, configuration, rows, report)
        with report.timed("write", spark):
            model.save(f"{attempt.folder}/{MODEL}")
        return Result(outline(model), describe_checks(model) + describe(model))

    do_run(spark, configuration, work)


def build_estimator(spark: SparkSession, rows: DataFrame, configuration: FitConfiguration) -> gmm_spark.GaussianMixture:
    """Build the estimator of a configuration, with the model to start from if there is one."""
    mixture = configuration.model
    parameters = estimator_parameters(rows, configuration.features, mixture)
    estimator = gmm_spark.GaussianMixture(k=mixture.k, covarianceType=mixture.covariance_type, **parameters)
    if mixture.initial_model is not None:
        estimator.setInitialModel(gmm_spark.GaussianMixtureModel.load(mixture.initial_model))
    if mixture.initial_parameters is not None:
        estimator.setInitialModel(read_parameters(spark, "model.initial_parameters", mixture.initial_parameters))
    return estimator


def describe(model: gmm_spark.GaussianMixtureModel) -> str:
    """Return the job's last line: how many rows it used, and whether EM has converged."""
    summary = model.summary
    degenerate = "".join(f"; component {j} without weight" for j in summary.degenerateComponents)
    return (
        f"fit: {summary.numRows:,} rows used, {sum(summary.skipped.values()):,} skipped; "
        f"{'converged' if summary.converged else 'not converged'} after {summary.numIter} iterations{degenerate}"
    )
