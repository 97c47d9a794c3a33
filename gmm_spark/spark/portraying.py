"""Portraying: what the rows of any table look like beside a mixture, by a read of the table, or two if values miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame

from gmm_spark.core.kernels.weight_kinds import FREQUENCY
from gmm_spark.core.missing.counts import MAX_PATTERNS, is_complete, read_counts, require_few_patterns, write_counts
from gmm_spark.core.missing.marginals import Marginals, group_rows
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.incomplete import IncompletePortraitSums
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.core.portrait.sums import PortraitSums
from gmm_spark.core.steps import step
from gmm_spark.spark.columns import Features, require_batch, require_rows
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.spark.folding import fold_table, plan_unseen
from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema

COUNTED = Schema(patterns=pa.string())


@dataclass(frozen=True)
class CountPatterns:
    """Task that counts its usable rows by pattern of missingness; one that has found too many stops."""

    features: Features

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count the rows of one task."""
        found: Counter[bytes] = Counter()
        for rows, _ in self.features.usable_rows(stream, Counter(), strict=False):
            found.update({pattern: len(at) for pattern, at in group_rows(rows, 0).common if len(at)})
            if len(found) > MAX_PATTERNS:
                break
        yield COUNTED.row(patterns=write_counts(found))


def portray(
    table: DataFrame,
    parameters: MixtureParameters,
    features: Features,
    frame: Frame,
    strict: bool,
    precision: str = "float64",
    weight_kind: str = FREQUENCY,
) -> Portrait:
    """Make the portrait of a table's rows beside a mixture: one read, nothing written.

    If values may be missing, an earlier read finds which patterns of missing columns there are.

    Raises
    ------
    DataError
        If a row is bad and ``strict``, no good row has weight, the table is a stream, or it has too many patterns.
    """
    sums: PortraitSums | IncompletePortraitSums
    sums = PortraitSums(plan_unseen(parameters, precision, features), frame, features.names)
    with step("portrait"), describe_jobs(table.sparkSession, "portrait"):
        patterns = _list_patterns(table, features) if features.missing else ()
        if not all(map(is_complete, patterns)):
            sums = IncompletePortraitSums(Marginals(parameters, precision), frame, features.names, patterns)
        vector, bad = fold_table(table, sums, features, strict, weight_kind)
    require_rows(int(sums.layout.unpack(vector)["rows"]), bad, features)
    return sums.read(vector)


def _list_patterns(table: DataFrame, features: Features) -> tuple[bytes, ...]:
    """List the patterns of missing columns of a table; raises DataError if there are too many."""
    require_batch(table)
    counted = collect(features.select(table).mapInArrow(CountPatterns(features), COUNTED.spark))
    counts = sum((read_counts(one["patterns"]) for one in counted), Counter[bytes]())
    require_few_patterns(counts, features.names)
    return tuple(sorted(counts))
