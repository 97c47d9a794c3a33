"""The table that callers pass, to fit or to transform. Single rows are read by :mod:`gmm_spark.local.rows`."""

from __future__ import annotations

from gmm_spark.errors import DataError
from gmm_spark.local.rows import describe_type


def require_table(dataset: object) -> None:
    """Raise DataError if a dataset is not a Spark DataFrame."""
    if hasattr(dataset, "sparkSession"):  # Spark Connect's DataFrame has another class
        return
    remedy = "dataset.to_spark()" if hasattr(dataset, "to_spark") else "spark.createDataFrame(...)"
    raise DataError(f"dataset is {describe_type(dataset)}; need a Spark DataFrame, make one with {remedy}")
