"""Split a table into rows to fit and rows held out.

A hash of a row's features and the seed decides its side. So the split depends neither on partitions nor on the order of
rows, rows of equal features are on one side, and reading the table again gives the same split.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gmm_spark.spark.columns import Features

_STEPS = 1 << 30


def held_out_split(table: DataFrame, features: Features, fraction: float, seed: int) -> tuple[DataFrame, DataFrame]:
    """Split a table in two, the second with about ``fraction`` of its distinct rows.

    Parameters
    ----------
    table : DataFrame
    features : Features
        Their values alone decide, not weights or other columns. A dense and a sparse Vector of equal elements count as
        different values. If values may be missing, null and NaN are one value.
    fraction : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    rest, held_out : DataFrame
    """
    values = features.expressions()[0]  # the features are one column; the weight, if any, is the next
    if features.missing and features.form != "vector":  # whose elements cannot be null
        values = F.transform(values, lambda value: F.coalesce(value, F.lit(float("nan"))))
    drawn = F.pmod(F.xxhash64(F.lit(seed).cast("long"), values), F.lit(_STEPS))
    held_out = drawn < F.lit(round(fraction * _STEPS))
    return table.where(~held_out), table.where(held_out)
