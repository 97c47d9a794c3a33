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


def observe_drift(
    model: GaussianMixtureModel, dataset: DataFrame, imputed: str | None = None
) -> tuple[DataFrame, DriftObservation]:
    """Transform a table, and observe how its rows differ from the model's training rows.

    Parameters
    ----------
    model : GaussianMixtureModel
    dataset : DataFrame
        If ``handleInvalid`` is "marginal", each feature is compared over the rows that have it, and a log-density with
        those of training rows that lack the same features.
    imputed : str, optional
        Suffix of columns with missing values filled in, if there are to be such.

    Returns
    -------
    DataFrame, DriftObservation
        What ``model.transform`` returns, and what is observed when all of it is first written or collected.

    Raises
    ------
    ParameterError
        If the model has no training profile, or one of rows with missing values while rows with such are not scored;
        or no output column is named.
    """
    if model.trainingProfile is None:
        raise ParameterError(
            "this model has no profile of its training rows: it was built from parameters, saved by an older "
            "gmm_spark, or fitted to rows of which no 500 lack the same values; fit it again (setInitialModel starts "
            "from it)"
        )
    if model.trainingProfile.missing is not None and not model._scores_missing:
        raise ParameterError(
            f"handleInvalid={model.getHandleInvalid()!r}, but the training rows had missing values: complete rows "
            "alone do not compare with them; set it to 'marginal'"
        )
    if not model.output_columns:
        raise ParameterError("no output column is named, so that no row would be scored; set predictionCol")
    watch = Watch(model.trainingProfile, Observation(), model._scores_missing)
    return model._append(dataset, watch, imputed), DriftObservation(watch)
