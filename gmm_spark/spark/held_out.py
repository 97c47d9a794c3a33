"""Rows held out of a fit: which ones is written in the rows themselves.

A row's side follows from a hash of its features and the seed. So it depends neither on the partitioning nor on the
order of rows, rows of equal features fall on one side, and a table that is read again splits as before.
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
        Whose values decide; weights and other columns have no part in it. As many zeros written as a dense and as a
        sparse Vector are different values.
    fraction : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    rest, held_out : DataFrame
    """
    values = features.expressions()[:1]  # all features are one column; the weight, if any, follows it
    drawn = F.pmod(F.xxhash64(F.lit(seed).cast("long"), *values), F.lit(_STEPS))
    held_out = drawn < F.lit(round(fraction * _STEPS))
    return table.where(~held_out), table.where(held_out)
