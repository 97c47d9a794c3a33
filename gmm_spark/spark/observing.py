"""Observing: what scored rows are like, summed by the tasks that score them and brought to the driver by the same job.

Spark's observed metrics are SQL aggregates, several a feature, and cannot look into a Vector column. Tasks have the
decoded rows at hand: each adds up its sums, a few numbers, and hands them on with the last row that it scores. The
metric is the list of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gmm_spark.core.drift.incomplete import IncompleteObservationSums
from gmm_spark.core.drift.observation import ObservationSums, Observed
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.spark.columns import Features
from gmm_spark.spark.decoding import Decoded

if TYPE_CHECKING:
    from pyspark.sql import Observation

# Fields of what an observing UDF returns: the scores, and the sums of a task, null in all rows but its last.
SCORES, SUMS = "scores", "sums"


@dataclass(frozen=True)
class ObserveScores:
    """Iterator UDF that scores the batches of a task, and hands on the sums over them in its last row.

    Attributes
    ----------
    score : callable
        Turns a decoded batch into a struct for each of its rows, null for a bad one.
    prediction, log_density : int
        Fields of that struct that are summed.
    written : tuple of str
        Its fields that are returned.
    features : Features
    sums : ObservationSums
    """

    score: Callable[[Decoded], pa.StructArray]
    prediction: int
    log_density: int
    written: tuple[str, ...]
    features: Features
    sums: ObservationSums

    def __call__(self, stream: Iterator[pa.Array]) -> Iterator[pa.Array]:
        """Score a task's batches. One is held back, since the task does not know which is its last."""
        fold = self.sums.accumulator()
        held: pa.Array | None = None
        for column in stream:
            for decoded in self.features.decode_in_parts([column]):
                scored = self.score(decoded)
                rows, _ = decoded.usable()
                bad_rows = len(scored) - rows.shape[1]
                usable = scored if decoded.good is None else scored.filter(pa.array(decoded.good))
                fold.add(rows, _to_numpy(usable, self.prediction), _to_numpy(usable, self.log_density), bad_rows)
                if len(scored) == 0:
                    continue
                if held is not None:
                    yield _pair(held, None)
                held = _select(scored, self.written)
        if held is not None:
            yield _pair(held, fold.vector().tobytes())


@dataclass(frozen=True, eq=False)
class Watch:
    """Collects the sums of the tasks that score a table, when the result is first written or collected.

    Attributes
    ----------
    profile : TrainingProfile
        The training rows, which the sums are relative to.
    observation : Observation
        Spark's own, for one table.
    incomplete : bool
        Whether values of the rows may be missing.
    """

    profile: TrainingProfile
    observation: Observation
    incomplete: bool = False

    @property
    def sums(self) -> ObservationSums:
        """What tasks sum."""
        return IncompleteObservationSums(self.profile) if self.incomplete else ObservationSums(self.profile)

    def attach(self, table: DataFrame, scored: Column) -> DataFrame:
        """Return the table, whose column of what :class:`ObserveScores` returned is observed."""
        return table.observe(self.observation, F.collect_list(scored[SUMS]).alias(SUMS))

    def read(self) -> Observed:
        """Return what was observed. The table must have been written or collected before."""
        return self.sums.read(np.frombuffer(one) for one in self.observation.get.get(SUMS, []))


def _to_numpy(scored: pa.StructArray, field: int) -> np.ndarray:
    return np.asarray(scored.field(field))


def _select(scored: pa.StructArray, names: tuple[str, ...]) -> pa.StructArray:
    """Return the rows with some of their fields, null where they were."""
    mask = scored.is_null() if scored.null_count else None
    return pa.StructArray.from_arrays([scored.field(name) for name in names], names=list(names), mask=mask)


def _pair(scored: pa.Array, sums: bytes | None) -> pa.StructArray:
    """Return scored rows beside the sums, which go with the last."""
    handed = pa.array([None] * (len(scored) - 1) + [sums], pa.binary()) if sums else pa.nulls(len(scored), pa.binary())
    return pa.StructArray.from_arrays([scored, handed], names=[SCORES, SUMS])
