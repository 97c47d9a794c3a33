"""Folding: the usable rows of a table added up by the tasks that read it: one read, and nothing is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.accumulators import Sums
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import plan_scoring
from gmm_spark.core.kernels.weight_kinds import IMPORTANCE
from gmm_spark.core.kernels.weight_sums import find_unit
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.spark.columns import Features, require_batch, require_usable
from gmm_spark.spark.ranges import require_float32_range
from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import one_blas_thread, task_number

Answer = TypeVar("Answer", covariant=True)

# Bytes of a vector up to which the driver adds up those of all tasks. Of longer ones groups of tasks are added first.
_SMALL_VECTOR = 1 << 16
# Groups at most, and bytes of all their vectors.
_MOST_GROUPS, _GROUP_BYTES = 16, 64 << 20

FOLDED = Schema(task=pa.int32(), unit=pa.float64(), sums=pa.binary(), bad=pa.string())


class TableSums(Sums[Answer], Protocol[Answer]):
    """Sums whose rows' weights may be in units that differ from task to task."""

    def rescale(self, vector: Array, factor: float) -> Array:
        """Return a vector of sums as it is if all weights are multiplied by a factor."""
        ...


@dataclass(frozen=True)
class FoldRows:
    """Task that folds its usable rows into one vector of sums and counts the bad ones.

    Its weights are in units of a power of two near the first, so that their sums neither overflow nor vanish.
    """

    sums: TableSums[object]
    features: Features
    strict: bool

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Fold the rows of one task."""
        fold = self.sums.accumulator()
        bad: Counter[str] = Counter()
        unit = 0.0
        for rows, weight in self.features.usable_rows(stream, bad, self.strict):
            if weight is None:
                unit = 1.0
            elif len(weight):
                unit = unit or find_unit(float(weight.max()))
                weight = weight / unit
            with one_blas_thread():
                fold.add(rows, weight)
        yield FOLDED.row(task=task_number(), unit=unit, sums=fold.vector().tobytes(), bad=json.dumps(bad))


@dataclass(frozen=True)
class AddFolded:
    """Task that adds up what :class:`FoldRows` yielded, in the order it comes."""

    sums: TableSums[object]

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Add the vectors of one group of tasks."""
        total, unit, bad, first = np.zeros(self.sums.length), 0.0, Counter[str](), None
        for batch in stream:
            for one in batch.to_pylist():
                first = one["task"] if first is None else first
                unit, total = _add(self.sums, (unit, total), (one["unit"], np.frombuffer(one["sums"])))
                bad += Counter(json.loads(one["bad"]))
        if first is not None:
            yield FOLDED.row(task=first, unit=unit, sums=total.tobytes(), bad=json.dumps(bad))


def fold_table(
    table: DataFrame, sums: TableSums[object], features: Features, strict: bool, weight_kind: str
) -> tuple[Array, Counter[str]]:
    """Fold all usable rows of a table.

    Parameters
    ----------
    table : DataFrame
    sums : TableSums
        What to sum.
    features : Features
    strict : bool
        Any bad row is an error; otherwise bad rows are left out and counted.
    weight_kind : {"frequency", "importance"}
        Of importance weights only the ratios matter: sums have them divided by a power of two.

    Returns
    -------
    vector : array
        The added vectors of all tasks, which the sums can read.
    bad : Counter
        Bad rows by reason.

    Raises
    ------
    DataError
        If a row is bad and ``strict``, or the table is a stream.
    """
    require_batch(table)
    folded = features.select(table).mapInArrow(FoldRows(sums, features, strict), FOLDED.spark)
    if 8 * sums.length > _SMALL_VECTOR:
        groups = int(np.clip(_GROUP_BYTES // (8 * sums.length), 1, _MOST_GROUPS))
        grouped = folded.repartition(groups, "task").sortWithinPartitions("task")
        folded = grouped.mapInArrow(AddFolded(sums), FOLDED.spark)
    found = sorted(collect(folded), key=lambda row: row["task"])
    bad = sum((Counter(json.loads(row["bad"])) for row in found), Counter[str]())
    require_usable(bad, features, strict)
    unit, total = 0.0, np.zeros(sums.length)
    for row in found:
        unit, total = _add(sums, (unit, total), (row["unit"], np.frombuffer(row["sums"])))
    return total if weight_kind == IMPORTANCE else sums.rescale(total, unit or 1.0), bad


def plan_unseen(parameters: MixtureParameters, precision: str, features: Features) -> Plan:
    """Plan a pass over rows of unknown moments: centre and scale are the mixture's own."""
    if precision == "float32":
        require_float32_range(features.names, np.sqrt(parameters.moments()[1]))
    return plan_scoring(parameters, precision)


def _add(sums: TableSums[object], one: tuple[float, Array], other: tuple[float, Array]) -> tuple[float, Array]:
    """Add two vectors of sums, each with the unit of its weights, 0 if it has no row; in the larger unit."""
    unit = max(one[0], other[0])
    first, second = (vector if own in (unit, 0.0) else sums.rescale(vector, own / unit) for own, vector in (one, other))
    return unit, first + second
