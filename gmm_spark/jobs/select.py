"""Fit mixtures of several k and covariance structures to a table in shared passes, and save the best.

``spark-submit jobs/select_model.py --config conf/select_model.toml`` or ``python jobs/select_model.py …``;
``--help`` lists every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.errors import NotConvergedError
from gmm_spark.jobs.config.sections import SelectConfiguration
from gmm_spark.jobs.io.files import files_of
from gmm_spark.jobs.io.publishing import published, require_publishable
from gmm_spark.jobs.io.tables import feature_parameters, read_table, write_table
from gmm_spark.jobs.run.progress import pass_bar
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def select(spark: SparkSession, configuration: SelectConfiguration) -> None:
    """Read the table, fit the mixtures, publish the best, the table of all, the picture and the report."""
    # Here, not above: faults in a configuration are told before Spark is loaded.
    from gmm_spark import GaussianMixtureSelector

    features, grid, fitting = configuration.features, configuration.selection, configuration.model
    output = configuration.output
    if output.plot is not None:  # now, not after the fits: a matplotlib that cannot be loaded fails here
        from gmm_spark.plots import criterion_plot
    report = RunReport(configuration)
    for key, target in (("output.model", output.model), ("output.results", output.results)):
        if target is not None:
            require_publishable(spark, key, target, output.overwrite, "output.overwrite = true")
    with report.timed("read"):
        rows = read_table(spark, configuration.input)
    selector = GaussianMixtureSelector(
        **feature_parameters(rows, features.columns),
        weightCol=features.weight,
        handleInvalid=features.handle_invalid,
        ks=grid.ks,
        covarianceTypes=grid.covariance_types,
        criterion=grid.criterion,
        validationFraction=grid.validation_fraction,
        maxIter=fitting.max_iter,
        tol=fitting.tol,
        seed=fitting.seed,
        nInit=fitting.n_init,
        initMode=fitting.init_mode,
        regCovar=fitting.reg_covar,
        sampleRows=fitting.sample_rows,
        accelerate=fitting.accelerate,
        precision=fitting.precision,
    )
    with report.timed("fit"), pass_bar(fitting.max_iter) as show:
        model = selector.setCallback(show).fit(rows)
    summary = model.summary
    selection = summary.selection
    assert selection is not None  # a selector's model has one
    report.add_fit(model)
    report.add("rows", held_out=selection.heldOutRows)
    report.add(
        "selection", criterion=selection.criterion, chosen=selection.best, mixtures=[*map(asdict, selection.rows)]
    )
    if configuration.run.require_convergence and not summary.converged:
        report.write(spark, output.report)  # it shows which mixtures did converge
        raise NotConvergedError(
            f"the best mixture, k={model.getK()} {model.getCovarianceType()}, did not converge to "
            f"model.tol={fitting.tol:g} in model.max_iter={fitting.max_iter}"
        )
    with report.timed("write"):
        if output.results is not None:
            write_table(selection.toDF().coalesce(1), output.results, "overwrite" if output.overwrite else "error")
        if output.plot is not None:
            files_of(spark).write_bytes(output.plot, criterion_plot(selection, output.plot))
        with published(spark, output.model) as staging:
            model.save(staging)
    report.write(spark, output.report)
    failed = sum(row.failure is not None for row in selection.rows)
    print(
        f"select_model: k={model.getK()} {model.getCovarianceType()} has the best {selection.criterion} of "
        f"{len(selection.rows)} mixtures, {failed} of which could not be fitted; "
        f"{summary.numRows:,} rows used, {selection.heldOutRows:,} held out, "
        f"{sum(summary.skipped.values()):,} skipped; model in {output.model}"
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default the process's own, and end the process with its exit code."""
    run(select, SelectConfiguration, arguments)
