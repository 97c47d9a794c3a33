"""Drift of a table: its rows are compared with a model's training rows while they are scored, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, Observation

from gmm_spark.core.drift.comparison import Drift, compare
from gmm_spark.errors import ParameterError
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.spark.observing import Watch


@dataclass(frozen=True, eq=False)
class DriftObservation:
    """How scored rows differ from the training rows: known once the scored table has been written or collected."""

    watch: Watch

    def get(self) -> Drift | None:
        """Return the drift; None if no row was scored."""
        observed = self.watch.read()
        return compare(self.watch.profile, observed) if observed.rows else None


def observe_drift(model: GaussianMixtureModel, dataset: DataFrame) -> tuple[DataFrame, DriftObservation]:
    """Transform a table, and observe how its rows differ from the model's training rows.

    Parameters
    ----------
    model : GaussianMixtureModel
    dataset : DataFrame

    Returns
    -------
    DataFrame, DriftObservation
        What ``model.transform`` returns, and what is observed when all of it is first written or collected.

    Raises
    ------
    ParameterError
        If the model has no training profile, or no output column is named.
    """
    if model.trainingProfile is None:
        raise ParameterError(
            "this model has no profile of its training rows: it was built from parameters, fitted to rows with missing "
            "values, or saved by an older gmm_spark; fit it again to complete rows (setInitialModel starts from it)"
        )
    if model._scores_missing:
        raise ParameterError(
            "handleInvalid='marginal', but drift compares complete rows: densities of others are over fewer features; "
            "set it to 'skip' or 'keep'"
        )
    if not model.output_columns:
        raise ParameterError("no output column is named, so that no row would be scored; set predictionCol")
    watch = Watch(model.trainingProfile, Observation())
    return model._append(dataset, watch), DriftObservation(watch)
