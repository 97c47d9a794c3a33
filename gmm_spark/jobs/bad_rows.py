"""The limit on bad rows: the share of a table that a job may leave out, or keep without a score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gmm_spark.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark import GaussianMixtureModel


def require_few_bad(bad: int, read: int, limit: float, reasons: Mapping[str, int]) -> None:
    """Refuse a table of which too many rows are bad.

    Parameters
    ----------
    bad, read : int
        Bad rows, and all rows that were read. Good rows of weight 0 are not among them.
    limit : float
        Largest share that may be bad.
    reasons : mapping of str to int
        Bad rows by reason.

    Raises
    ------
    DataError
        With the counts by reason.
    """
    from gmm_spark.spark.columns import describe_bad

    if is_beyond(limit, bad, read):
        raise DataError(
            f"{bad:,} of {read:,} rows are bad, {bad / read:.3%}, and features.max_bad_fraction is {limit:g}: "
            f"{describe_bad(reasons)}; clean the table, or raise the limit"
        )


def is_beyond(limit: float, bad: int, read: int) -> bool:
    """Return whether more than a share of the rows are bad."""
    return bad > 0 and bad / read > limit


def describe_limit(limit: float) -> str:
    """Describe the limit for a plan; an empty text if there is none."""
    return f", at most {limit:.3%} of the rows" if limit < 1 else ""


def count_reasons(model: GaussianMixtureModel, rows: DataFrame) -> dict[str, int]:
    """Read a table again, and count its bad rows by reason and feature, as a model's features are read."""
    from gmm_spark.spark.columns import resolve_features
    from gmm_spark.spark.verdicts import count_bad

    features = resolve_features(rows, model.getFeaturesCol(), model.input_columns, None, model.numFeatures)
    return {} if features is None else dict(count_bad(rows, features))
