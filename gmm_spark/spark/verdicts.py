"""Which rows of a table are bad, and why, by the decoder that fitting and scoring use."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame

from gmm_spark.spark.columns import Features
from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema

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


def count_bad(table: DataFrame, features: Features) -> Counter[str]:
    """Read a table, and count its bad rows by reason and feature, those of negative weight included."""
    found = collect(features.select(table).mapInArrow(CountBad(features), COUNTS.spark))
    return sum((Counter(json.loads(row["bad"])) for row in found), Counter[str]())
