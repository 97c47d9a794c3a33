"""Regression: features predicted from others for each row of a table, by one Arrow UDF.

Only the given columns reach Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gmm_spark.core.kernels.regression import Regressor
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features, require_distinct, require_usable
from gmm_spark.spark.decoding import Decoded
from gmm_spark.spark.names import name_folding
from gmm_spark.spark.scoring import append_unmerged, as_arrow_udf, holds_user_defined_types
from gmm_spark.spark.worker import one_blas_thread

_STRUCT, _INPUT = "__gmm_spark_regression", "__gmm_spark_given"


@dataclass(frozen=True)
class Regress:
    """UDF that turns the Arrow columns of a batch into a struct of predictions, null for a bad row."""

    regressor: Regressor
    features: Features
    deviations: bool
    strict: bool

    def __call__(self, *columns: pa.Array) -> pa.Array:
        """Predict one batch."""
        parts = [self.predict(decoded) for decoded in self.features.decode_in_parts(columns)]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def predict(self, decoded: Decoded) -> pa.StructArray:
        """Predict the rows of a part of a batch."""
        require_usable(decoded.bad, self.features, self.strict)
        rows, _ = decoded.usable()
        with one_blas_thread():
            means, deviations = self.regressor.regress(rows)
        values = np.concatenate([means, deviations]) if self.deviations else means
        if decoded.good is None:
            return pa.StructArray.from_arrays([pa.array(one) for one in values], names=name_fields(len(values)))
        spread = np.full((len(values), len(decoded.good)), np.nan)
        spread[:, decoded.good] = values
        mask = pa.array(~decoded.good)
        return pa.StructArray.from_arrays([pa.array(one) for one in spread], names=name_fields(len(values)), mask=mask)


def name_fields(count: int) -> list[str]:
    """Name the fields of the UDF's struct."""
    return [f"c{i}" for i in range(count)]


def append_regression(
    table: DataFrame,
    regressor: Regressor,
    features: Features,
    mean_columns: Sequence[str],
    deviation_columns: Sequence[str],
    handle_invalid: str,
) -> DataFrame:
    """Append what given columns say of other features.

    Parameters
    ----------
    table : DataFrame
    regressor : Regressor
    features : Features
        The given ones.
    mean_columns, deviation_columns : sequence of str
        Names of the columns to append, one for each target; the latter may be empty.
    handle_invalid : {"error", "skip", "keep"}
        A bad row fails the job, is dropped, or stays with nulls.

    Raises
    ------
    DataError
        If the table already has a column of such a name, or of one that this needs.
    ParameterError
        If two of the names are the same.
    """
    appended = [*mean_columns, *deviation_columns]
    fold = name_folding(table.sparkSession)
    there = set(map(fold, table.columns))
    clash = [name for name in appended if fold(name) in there]
    if clash:
        raise DataError(f"the table already has {', '.join(map(repr, clash))}; set another outputPrefix")
    require_distinct(table.sparkSession, appended)
    if ours := {fold(_STRUCT), fold(_INPUT)} & there:
        raise DataError(f"the table has {', '.join(map(repr, sorted(ours)))}, a name that regress needs; rename it")
    task = Regress(regressor, features, bool(deviation_columns), handle_invalid == "error")
    fields = name_fields(len(appended))
    arguments = features.expressions()
    if holds_user_defined_types(table):  # as append_scores says
        table, arguments = append_unmerged(table, arguments[0], _INPUT), [F.col(_INPUT)]
    udf = as_arrow_udf(task, f"struct<{', '.join(f'{field}: double' for field in fields)}>")
    found = append_unmerged(table, udf(*arguments), _STRUCT)
    if handle_invalid == "skip":
        found = found.where(F.col(_STRUCT).isNotNull())
    columns = [F.col(_STRUCT)[field].alias(name) for field, name in zip(fields, appended, strict=True)]
    return found.select("*", *columns).drop(_STRUCT, _INPUT)
