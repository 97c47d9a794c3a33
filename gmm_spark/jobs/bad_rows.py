"""Bad rows of the tables that jobs read: their counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark import GaussianMixtureModel


def count_reasons(model: GaussianMixtureModel, rows: DataFrame) -> dict[str, int]:
    """Read a table again, and count its bad rows by reason and feature, as a model's features are read."""
    from gmm_spark.spark.columns import resolve_features
    from gmm_spark.spark.verdicts import count_bad

    features = resolve_features(rows, model.getFeaturesCol(), model.input_columns, None, model.numFeatures)
    return {} if features is None else dict(count_bad(rows, features))
