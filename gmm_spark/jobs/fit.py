"""Fit a Gaussian mixture to a table and save the model.

``spark-submit jobs/fit.py --config conf/fit.toml`` or ``python jobs/fit.py …``; ``--help`` lists every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.errors import NotConvergedError
from gmm_spark.jobs.config.sections import FitConfiguration
from gmm_spark.jobs.io.parameter_files import read_parameters
from gmm_spark.jobs.io.publishing import published, require_publishable
from gmm_spark.jobs.io.tables import feature_parameters, read_table
from gmm_spark.jobs.run.progress import pass_bar
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def fit(spark: SparkSession, configuration: FitConfiguration) -> None:
    """Read the table, fit, publish the model and the report."""
    # Here, not above: faults in a configuration are told before Spark is loaded.
    from gmm_spark import GaussianMixture, GaussianMixtureModel

    features, mixture, output = configuration.features, configuration.model, configuration.output
    report = RunReport(configuration)
    require_publishable(spark, "output.model", output.model, output.overwrite, "output.overwrite = true")
    with report.timed("read"):
        rows = read_table(spark, configuration.input)
    estimator = GaussianMixture(
        **feature_parameters(rows, features.columns),
        weightCol=features.weight,
        handleInvalid=features.handle_invalid,
        k=mixture.k,
        covarianceType=mixture.covariance_type,
        maxIter=mixture.max_iter,
        tol=mixture.tol,
        seed=mixture.seed,
        nInit=mixture.n_init,
        initMode=mixture.init_mode,
        regCovar=mixture.reg_covar,
        sampleRows=mixture.sample_rows,
        accelerate=mixture.accelerate,
        precision=mixture.precision,
    )
    if mixture.initial_model is not None:
        estimator.setInitialModel(GaussianMixtureModel.load(mixture.initial_model))
    if mixture.initial_parameters is not None:
        estimator.setInitialModel(read_parameters(spark, "model.initial_parameters", mixture.initial_parameters))
    with report.timed("fit"), pass_bar(mixture.max_iter) as show:
        estimator.setCallback(show)
        model = estimator.fit(rows)
    report.add_fit(model)
    if configuration.run.require_convergence and not model.summary.converged:
        report.write(spark, output.report)  # its history shows how far the fit was from converging
        raise NotConvergedError(f"no convergence to model.tol={mixture.tol:g} in model.max_iter={mixture.max_iter}")
    with report.timed("write"), published(spark, output.model) as staging:
        model.save(staging)
    report.write(spark, output.report)
    summary = model.summary
    degenerate = "".join(f"component {j} without weight; " for j in summary.degenerateComponents)
    print(
        f"fit: {summary.numRows:,} rows used, {sum(summary.skipped.values()):,} skipped; "
        f"{'converged' if summary.converged else 'not converged'} after {summary.numIter} iterations; {degenerate}"
        f"model in {output.model}"
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default the process's own, and end the process with its exit code."""
    run(fit, FitConfiguration, arguments)
