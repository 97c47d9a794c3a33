"""What passes run over, and what is done if a task does not find its blocks.

1. The table is packed into files, one for each task. On one host the driver shares their pieces out
   (:class:`.sources.Listed`); on several, passes go where Spark has cached the handles (:class:`.sources.Cached`).
2. If a pass misses a file, or Spark has meanwhile read other rows for a part of the table that was lost, the pass's
   answer is not used. Spark packs the table again, and the pass runs again, from then on over cached handles.
3. If passes miss files more than :data:`MAX_REBUILDS` times, the table is packed into blocks that stream through Spark
   (:class:`.sources.Streamed`). They are missed only if the table gives other rows.

A table is streamed from the start if ``spark.io.encryption.enabled`` forbids clear rows on local disks.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from pyspark.sql import DataFrame

from gmm_spark.core.kernels.moments import same_rows
from gmm_spark.core.kernels.weight_kinds import FREQUENCY, IMPORTANCE
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features, require_rows, require_usable
from gmm_spark.spark.packing.cluster import survey_cluster
from gmm_spark.spark.packing.packer import Packer
from gmm_spark.spark.packing.sources import MIN_TASK_ROWS, Cached, Listed, Source, Streamed, spread_over
from gmm_spark.spark.ranges import warn_of_rounding

Answer = TypeVar("Answer")

# Packing again more often than this means that files do not stay where their handles are.
MAX_REBUILDS = 2
# Missing streamed blocks more often than this means that the table never gives the same rows twice.
MAX_STREAMED_MISSES = 2


class RecoverableBlocks:
    """The blocks of a table, packed again if some are lost.

    Parameters and errors are those of :class:`.table.PackedTable`.

    Attributes
    ----------
    packing : Packing
        What was packed last.
    moments : Moments
        Of the usable rows, when they were first packed.
    bad : Counter
        Bad rows by reason.
    rounded : Counter
        Values that float64 may have rounded, by feature.
    source : Source or None
        Where passes find the blocks; None once they are removed.
    misses : int
        Passes that missed a file.
    weights : WeightSums or None
        Of the weights as passes see them; None if rows have none.
    """

    def __init__(
        self,
        table: DataFrame,
        features: Features,
        strict: bool,
        streaming: bool | None,
        weight_kind: str = FREQUENCY,
    ) -> None:
        self._spark = table.sparkSession
        encrypted = self._spark.conf.get("spark.io.encryption.enabled", "false") == "true"
        self._always_streamed = encrypted if streaming is None else streaming
        self.misses = 0
        self._cluster = survey_cluster(self._spark)
        self._packer = Packer(table, features, strict)
        self.source: Source | None = None
        try:
            self.packing = self._packer.pack(self._cluster.cores, self.streaming)
            self.moments = self.packing.moments
            # Of importance weights only the ratios matter. Near 1 their sums neither overflow nor vanish.
            self._unit = self.moments.weights.unit if features.weight and weight_kind == IMPORTANCE else 1.0
            self.weights = self.moments.weights.in_units(self._unit) if features.weight else None
            self.bad = sum((Counter(handle.bad) for handle in self.packing.handles), Counter[str]())
            self.rounded = sum((Counter(handle.rounded) for handle in self.packing.handles), Counter[str]())
            require_usable(self.bad, features, strict)
            require_rows(self.packing.rows, self.bad, features)
            warn_of_rounding(self.rounded)
            self.source = self._choose_source()
        except BaseException:
            self.remove()
            raise

    @property
    def streaming(self) -> bool:
        """Whether blocks stream through Spark."""
        return self._always_streamed or self.misses > MAX_REBUILDS

    def run(self, run_pass: Callable[[Source], Answer | None]) -> Answer:
        """Run a pass until no task misses its blocks, and pack again after each miss.

        Parameters
        ----------
        run_pass : callable
            From a source of blocks to an answer, or None if a task missed its file.

        Raises
        ------
        DataError
            If the table gives other rows when it is packed again, by more than rounding; or again and again, by less.
        ResourceError
            If a local disk is full.
        """
        while True:
            if self.source is None:
                raise RuntimeError("this packed table has been closed; pack the table again")
            answer = run_pass(self.source)
            if answer is not None:
                return answer
            self._rebuild()

    def remove(self) -> None:
        """Remove the blocks, as far as Spark still answers."""
        self.source = None
        with contextlib.suppress(Exception):
            self._packer.close()

    def _rebuild(self) -> None:
        """Pack again after a miss; the rows must be those of the first time, in whatever order."""
        self.misses += 1
        if self.misses == MAX_REBUILDS + 1 and not self._always_streamed:
            _warn(
                f"blocks were not found, or could not be read, where they were written after packing {self.misses} "
                "times; streaming them through Spark from here on, which is slower (see spark.locality.wait)"
            )
        if self.misses > MAX_STREAMED_MISSES + (0 if self._always_streamed else MAX_REBUILDS + 1):
            raise DataError(
                "the table gives other rows each time that it is read; it is changing, or not deterministic: write it "
                "to Parquet and fit that"
            )
        self._pack_again()
        self.source = self._choose_source()

    def _pack_again(self) -> None:
        """Read the table once more, which must give the rows of the first time, in whatever order."""
        before = self.packing
        self.packing = again = self._packer.pack(self._cluster.cores, self.streaming)
        # Compare whole tables, not partitions: Spark may group those differently when executors come and go.
        if before.rows != again.rows or not same_rows(self.moments, again.moments):
            raise DataError(
                f"the table gave {before.rows} rows when it was first read and "
                f"{again.rows if before.rows != again.rows else 'as many others'} when it was read again; it is "
                "changing, or not deterministic: write it to Parquet and fit that"
            )
        if before.fingerprint != again.fingerprint:
            # All passes from here on see these rows alone: no sum is of two states of the table.
            _warn(
                "the table gave other values when it was read again, though their means and variances stayed: it is "
                "changing, or not deterministic. The fit goes on with the values that were read last; to be sure of "
                "them, write the table to Parquet and fit that"
            )

    def _choose_source(self) -> Source:
        """Choose where passes find the blocks; if they do not share out pieces, first spread the rows over the cores.

        Too few partitions would leave cores idle on every pass.
        """
        if self.packing.rows >= 2 * MIN_TASK_ROWS:
            self._cluster = survey_cluster(self._spark)  # executors may have come while the table was read
        cores = self._cluster.cores
        if self._cluster.hosts == 1 and not self.misses and not self.streaming:
            return Listed(self._spark, self.packing, cores, self._unit)
        partitions = spread_over(self.packing.rows, cores)
        if len(self.packing.handles) < partitions:
            self._packer.repartition(partitions)
            self._pack_again()
        if self.streaming:
            return Streamed(self.packing, self._unit)
        return Cached(self.packing, self._cluster, grouped=not self.misses, unit=self._unit)


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=5)
