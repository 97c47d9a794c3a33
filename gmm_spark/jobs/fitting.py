"""The steps that fit and select share: parameters of the estimators, the fit itself, what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import NotConvergedError
from gmm_spark.jobs.bad_rows import quarantine, spell_handling
from gmm_spark.jobs.config.jobs import FitConfiguration, SelectConfiguration
from gmm_spark.jobs.config.parameter_keys import FITTING_KEYS, name_keys
from gmm_spark.jobs.config.sections import FeaturesSection, FittingSection
from gmm_spark.jobs.config.updates import UpdateConfiguration
from gmm_spark.jobs.io.fingerprints import take_fingerprint
from gmm_spark.jobs.io.tables import feature_parameters
from gmm_spark.jobs.run.logs import shows_passes
from gmm_spark.jobs.run.publishing import MODEL, Attempt
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.ml.progress import draw_bar
from gmm_spark.storage.documents import describe_error
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.portraits import write_portrait

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
    from gmm_spark.spark.columns import Features

# Checks of one code that are written out.
_LINES = 5


def estimator_parameters(rows: DataFrame, features: FeaturesSection, fitting: FittingSection) -> dict[str, Any]:
    """Return the parameters that the estimator and the selector have in common, under pyspark.ml's names.

    Raises
    ------
    DataError
        If the table lacks a feature column.
    """
    return {
        **feature_parameters(rows, features.columns),
        "weightCol": features.weight,
        "weightKind": features.weight_kind,
        "handleInvalid": spell_handling(features.handle_invalid),
        **{parameter: getattr(fitting, key) for parameter, key in FITTING_KEYS.items()},
    }


def fit_model(
    estimator: GaussianMixture | GaussianMixtureSelector,
    rows: DataFrame,
    attempt: Attempt,
    configuration: FitConfiguration | SelectConfiguration,
) -> GaussianMixtureModel:
    """Fit under a progress bar, and add the result and its duration to the report.

    The bar is drawn if stderr is a terminal and the log, whose lines would tear it, does not tell of each pass anyway.
    Passes that an earlier attempt at the run has made are not made again. More bad rows than allowed end the fit before
    its first pass.
    """
    from gmm_spark.spark.columns import require_few_bad
    from gmm_spark.spark.decoding import describe_bad

    def check(features: Features, used: int, bad: Mapping[str, int]) -> None:
        count, path = sum(bad.values()), configuration.output.quarantine
        if path is not None:
            quarantine(rows, features, path, configuration.job, attempt.report, count)
        require_few_bad(count, count + used, configuration.features.max_bad_fraction, f": {describe_bad(bad)}")

    estimator.setAnswerStore(attempt.answers).setRowsCheck(check).setPortrait(configuration.output.portrait)
    with attempt.report.timed("fit"), draw_bar(estimator.getMaxIter(), hidden=shows_passes() or None) as show:
        model = estimator.setCallback(show).fit(rows)
    if configuration.output.day is not None and model.memory is not None:
        model.memory = replace(model.memory, days=(configuration.output.day,))
    attempt.report.add_fit(model)
    return model


def save_fit(spark: SparkSession, model: GaussianMixtureModel, folder: str) -> None:
    """Write the model, and the portrait if the fit took one, into the folder of a run."""
    model.save(f"{folder}/{MODEL}")
    if model.summary.portrait is not None:
        write_portrait(files_of(spark), folder, model.summary.portrait)


def describe_checks(model: GaussianMixtureModel) -> str:
    """Describe the checks of a fit, worst first, a line each; an empty text if there are none.

    Of one code only the first few are written out: a wide table may have hundreds. The report has them all.
    """
    lines = []
    for _, group in groupby(model.summary.checks, key=lambda check: check.code):
        of_code = list(group)
        lines += [f"check {one.severity} {one.code}: {one.meaning} {name_keys(one.remedy)}" for one in of_code[:_LINES]]
        if len(of_code) > _LINES:
            lines.append(f"check {of_code[0].severity} {of_code[0].code}: and {len(of_code) - _LINES} more")
    return "".join(line + "\n" for line in lines)


def describe_missing(model: GaussianMixtureModel) -> str:
    """Return how many of the rows used have missing values, in words; empty if none has."""
    missing = model.summary.missing
    if not missing.rows:
        return ""
    patterns = f"{missing.patterns:,} pattern" + "s" * (missing.patterns > 1)
    return f" ({missing.rows:,} with missing values, in {patterns})"


def add_input(
    spark: SparkSession,
    configuration: FitConfiguration | SelectConfiguration | UpdateConfiguration,
    rows: DataFrame,
    report: RunReport,
) -> None:
    """Add the fingerprint of the table that was read to the report."""
    report.add("input", **take_fingerprint(spark, configuration.input, rows))


def outline(model: GaussianMixtureModel) -> dict[str, Any]:
    """Return a fit in a few figures, for the manifest of its run."""
    summary = model.summary
    return {
        "k": model.getK(),
        "covariance_type": model.getCovarianceType(),
        **({"noise_weight": summary.noiseWeight} if model.getNoise() else {}),
        "rows": summary.numRows,
        "lower_bound": summary.lowerBound,
        "bic": summary.bic,
        "converged": summary.converged,
        "iterations": summary.numIter,
        "features": model.featureNames,
    }


def require_convergence(
    spark: SparkSession,
    configuration: FitConfiguration | SelectConfiguration,
    model: GaussianMixtureModel,
    report: RunReport,
    failure: str,
) -> None:
    """Refuse a model that has not converged, if the configuration asks for that. The report is written all the same.

    Parameters
    ----------
    spark : SparkSession
    configuration : FitConfiguration or SelectConfiguration
    model : GaussianMixtureModel
    report : RunReport
        Its history shows how far the fit was from converging.
    failure : str
        Beginning of the message, which goes on with ``model.tol`` and ``model.max_iter``.

    Raises
    ------
    NotConvergedError
        If EM has stopped at ``model.max_iter``.
    """
    if configuration.run.require_convergence and not model.summary.converged:
        print(describe_checks(model), end="")
        fitting = configuration.model
        refused = f"{failure} to model.tol={fitting.tol:g} in model.max_iter={fitting.max_iter}"
        try:
            report.write(spark, configuration.output.report)
        except Exception as error:  # that the fit has not converged matters more
            refused += f"; and the report could not be written: {describe_error(error)}"
        raise NotConvergedError(refused)
