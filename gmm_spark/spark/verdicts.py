"""Which rows of a table are bad, and why, by the decoder that fitting and scoring use."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gmm_spark.spark.columns import Features
from gmm_spark.spark.decoding import BAD_WEIGHT, NEGATIVE_WEIGHT, REASONS, Decoded
from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.scoring import append_unmerged, as_arrow_udf, holds_user_defined_types

# What a row that is judged has beside its own columns.
REASON, COLUMN = "_reason", "_column"
_VERDICT, _INPUT = "__gmm_spark_verdict", "__gmm_spark_features"
_TYPE = pa.struct([("reason", pa.string()), ("column", pa.string())])

COUNTS = Schema(bad=pa.string())


@dataclass(frozen=True)
class CountBad:
    """Task that counts its bad rows by reason and feature."""

    features: Features

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count the rows of one task."""
        bad: Counter[str] = Counter()
        for batch in stream:
            for decoded in self.features.decode_in_parts(batch.columns):
                bad.update(decoded.bad)
        yield COUNTS.row(bad=json.dumps(bad))


@dataclass(frozen=True)
class Judge:
    """UDF that turns the Arrow columns of a batch into reason and column of each bad row, null for a good one."""

    features: Features

    def __call__(self, *columns: pa.Array) -> pa.Array:
        """Judge one batch."""
        parts = [self._judge(decoded) for decoded in self.features.decode_in_parts(columns)]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _judge(self, decoded: Decoded) -> pa.Array:
        verdicts = decoded.verdicts
        if verdicts is None:
            return pa.nulls(decoded.rows.shape[1], _TYPE)
        pairs = zip(verdicts.reason.tolist(), verdicts.feature.tolist(), strict=True)
        return pa.array([self._describe(*pair) if pair[0] >= 0 else None for pair in pairs], _TYPE)

    def _describe(self, number: int, feature: int) -> dict[str, str | None]:
        reason, features = REASONS[number], self.features
        if reason in (BAD_WEIGHT, NEGATIVE_WEIGHT):
            return {"reason": reason, "column": features.weight}
        return {"reason": reason, "column": features.name_feature(feature) if feature >= 0 else features.columns[0]}


def select_bad(table: DataFrame, features: Features) -> DataFrame:
    """Return the bad rows of a table, all columns, with :data:`REASON` and :data:`COLUMN` beside them."""
    arguments = features.expressions()
    if holds_user_defined_types(table):
        table, arguments = append_unmerged(table, arguments[0], _INPUT), [F.col(_INPUT), *arguments[1:]]
    judged = append_unmerged(
        table, as_arrow_udf(Judge(features), "struct<reason: string, column: string>")(*arguments), _VERDICT
    )
    verdict = F.col(_VERDICT)
    bad = judged.where(verdict.isNotNull())
    return bad.select("*", verdict["reason"].alias(REASON), verdict["column"].alias(COLUMN)).drop(_VERDICT, _INPUT)


def count_bad(table: DataFrame, features: Features) -> Counter[str]:
    """Read a table, and count its bad rows by reason and feature, those of negative weight included."""
    found = collect(features.select(table).mapInArrow(CountBad(features), COUNTS.spark))
    return sum((Counter(json.loads(row["bad"])) for row in found), Counter[str]())
