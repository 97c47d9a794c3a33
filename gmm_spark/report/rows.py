"""What a table shows of a mixture: a portrait of its rows, and the least likely of them with the reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.core.mixture.reasons import find_reasons
from gmm_spark.report.subject import Subject, UnlikelyRow
from gmm_spark.spark.names import quote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.ml.model import GaussianMixtureModel

# Names that no column of a table should have.
_LOG_DENSITY, _PREDICTION = "_gmm_spark_log_density", "_gmm_spark_prediction"


def look_at_table(subject: Subject, model: GaussianMixtureModel, table: DataFrame, anomalies: int) -> Subject:
    """Add to a subject what a table shows: a portrait if there is none, and the least likely rows if asked for.

    Each takes a pass over the table. Rows that cannot be scored are left out. Rows with missing values are in the
    portrait if the model knows them, and not among the least likely: their densities are over fewer features.

    Parameters
    ----------
    subject : Subject
    model : GaussianMixtureModel
    table : DataFrame
    anomalies : int
        Rows to list.
    """
    model = model.copy()
    if not model._scores_missing:
        model.setHandleInvalid("skip")
    if subject.portrait is None:
        subject = replace(subject, portrait=model.portray(table))
    model.setHandleInvalid("skip")
    if anomalies:
        subject = replace(subject, unlikely=list_unlikely(model, table, anomalies))
    return subject


def list_unlikely(model: GaussianMixtureModel, table: DataFrame, n: int) -> tuple[UnlikelyRow, ...]:
    """List the n least likely rows of a table, and why each is.

    Reasons are found here, for these rows alone: what the model was saved with (``reasonsCol``) does not matter.
    """
    from pyspark.sql.functions import col

    model = model.copy().setLogDensityCol(_LOG_DENSITY).setPredictionCol(_PREDICTION)
    model.setProbabilityCol("").setAnomalyCol("").setReasonsCol("")
    columns = model.input_columns
    features = map(quote, columns or [model.getFeaturesCol()])
    scored = model.transform(table).select(_LOG_DENSITY, _PREDICTION, *features)
    found = scored.orderBy(col(_LOG_DENSITY).asc_nulls_last()).limit(n).collect()
    if not found:
        return ()
    rows = np.array([_read_features(one[2:] if columns else one[2]) for one in found]).T  # (d, n)
    components = np.array([one[1] for one in found])
    reasons = find_reasons(model.parameters, rows, components)
    named = zip(reasons.features.T.tolist(), reasons.z.T.tolist(), strict=True)
    return tuple(
        UnlikelyRow(float(one[0]), int(one[1]), tuple(values), tuple(zip(*why, strict=True)))
        for one, values, why in zip(found, rows.T.tolist(), named, strict=True)
    )


def _read_features(values: Any) -> list[float]:
    """Return the features of one row, of columns or of a vector, as floats."""
    return [float(value) for value in (values.toArray() if hasattr(values, "toArray") else values)]
