"""What passes run over, and what is done if a task does not find its blocks.

1. The table is packed into files, one for each task. On one host the driver shares their pieces out
   (:class:`.sources.Listed`); on several, passes go where Spark has cached the handles (:class:`.sources.Cached`).
2. If a pass misses a file, or finds that Spark has packed a lost part of the table again from other rows, its answer is
   not used. The table is packed again, and the pass runs again, from then on over cached handles.
3. If passes miss files more than :data:`MAX_REBUILDS` times, the table is packed into blocks that stream through Spark
   (:class:`.sources.Streamed`). They are missed only if the table gives other rows.

A table is streamed from the start if ``spark.io.encryption.enabled`` forbids clear rows on local disks.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pyspark.sql import DataFrame

from gmm_spark.core.kernels.moments import same_rows
from gmm_spark.core.kernels.weight_kinds import FREQUENCY, IMPORTANCE
from gmm_spark.core.missing.counts import require_few_patterns
from gmm_spark.core.steps import step
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features, require_rows, require_usable
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.spark.packing.carrying import limit_carried
from gmm_spark.spark.packing.cluster import is_local, survey_cluster
from gmm_spark.spark.packing.held import Held
from gmm_spark.spark.packing.packer import Packer, Packing, most_tasks
from gmm_spark.spark.packing.record import PackingRecord
from gmm_spark.spark.packing.sources import MIN_TASK_ROWS, Cached, Listed, Source, Streamed, spread_over
from gmm_spark.spark.ranges import warn_of_rounding

Answer = TypeVar("Answer")

_logger = logging.getLogger(__name__)

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
    record : PackingRecord
        What was packed, written and missed.
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
        packing: str = "auto",
        held_rows: int = 0,
    ) -> None:
        self._spark = table.sparkSession
        # Spark takes TRUE as well.
        encrypted = str(self._spark.conf.get("spark.io.encryption.enabled", "false")).strip().lower() == "true"
        self._always_streamed = encrypted if streaming is None else streaming
        self.record = PackingRecord()
        self._cluster = survey_cluster(self._spark)
        self._packer = Packer(table, features, strict, packing)
        tasks = most_tasks(self._cluster.cores)
        self._held_rows = limit_carried(self._spark, held_rows, features.width, tasks)
        self.source: Source | None = None
        try:
            with self._named("pack"):
                self.packing = self._pack()
            self.moments = self.packing.moments
            # Of importance weights only the ratios matter. Near 1 their sums neither overflow nor vanish.
            self._unit = self.moments.weights.unit if features.weight and weight_kind == IMPORTANCE else 1.0
            self.weights = self.moments.weights.in_units(self._unit) if features.weight else None
            self.bad = sum((Counter(handle.bad) for handle in self.packing.handles), Counter[str]())
            self.rounded = sum((Counter(handle.rounded) for handle in self.packing.handles), Counter[str]())
            require_usable(self.bad, features, strict)
            require_rows(self.packing.rows, self.bad, features)
            require_few_patterns(self.packing.patterns, features.names)
            warn_of_rounding(self.rounded)
            self.source = self._choose_source()
        except BaseException:
            self.remove()
            raise

    @property
    def cores(self) -> int:
        """Tasks that Spark runs at once, as far as is known."""
        return self._cluster.cores

    @property
    def streaming(self) -> bool:
        """Whether blocks stream through Spark."""
        return self._always_streamed or self.misses > MAX_REBUILDS

    @property
    def misses(self) -> int:
        """Passes that missed a file."""
        return self.record.misses

    def run(self, run_pass: Callable[[Source], Answer | None]) -> Answer:
        """Run a pass until no task misses its blocks, and pack again after each miss.

        Parameters
        ----------
        run_pass : callable
            From a source of blocks to an answer, or None if a task missed its file.

        Raises
        ------
        DataError
            If the table gives other rows when it is packed again.
        ResourceError
            If a local disk is full.
        """
        while True:
            if self.source is None:
                raise RuntimeError("this packed table has been closed; pack the table again")
            answer = run_pass(self.source)
            if answer is not None:
                self.record = replace(self.record, passes=self.record.passes + 1)
                return answer
            self._rebuild()

    def remove(self) -> None:
        """Remove the blocks, as far as Spark still answers."""
        self.source = None
        with contextlib.suppress(Exception):
            self._packer.close()

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Log a packing, and describe its jobs."""
        with step(name) as told, describe_jobs(self._spark, name):
            yield
            told["rows"] = self.packing.rows
            told["bytes_written"] = self.packing.bytes
            told["read_by"] = self.packing.read_by
        held = self.packing.contents is not None
        written, read_by, reason = self.packing.bytes, self.packing.read_by, self.packing.reason
        _logger.info("%s", "Parquet files are read directly" if not reason else f"Spark reads the table: {reason}")
        if held:
            _logger.info("the driver holds the rows: passes over so few need no Spark job")
        self.record += PackingRecord(
            packings=1, streamed=self.streaming, bytes_written=written, read_by=read_by, reason=reason, held=held
        )

    def _rebuild(self) -> None:
        """Pack again after a miss; the rows must be those of the first time, in whatever order."""
        self.record += PackingRecord(misses=1)
        _logger.warning(
            "a pass did not find its blocks where they were written, for the %s time: the table is read again, and the "
            "pass made again",
            f"{self.misses}.",
            extra={"misses": self.misses},
        )
        if self.misses == MAX_REBUILDS + 1 and not self._always_streamed:
            warnings.warn(
                f"blocks were not found, or could not be read, where they were written after packing {self.misses} "
                "times; streaming them through Spark from here on, which is slower (see spark.locality.wait)",
                RuntimeWarning,
                stacklevel=2,
            )
        if self.misses > MAX_STREAMED_MISSES + (0 if self._always_streamed else MAX_REBUILDS + 1):
            raise DataError(
                "the table gives other rows each time that it is read; it is changing, or not deterministic: write it "
                "to Parquet and fit that"
            )
        self._pack_again("pack again")
        self.source = self._choose_source()

    def _pack_again(self, name: str) -> None:
        """Read the table once more, which must give the rows of the first time, in whatever order."""
        before = self.packing
        with self._named(name):
            self.packing = again = self._pack()
        # Compare whole tables, not partitions: Spark may group those differently when executors come and go.
        if before.rows != again.rows or not same_rows(self.moments, again.moments):
            raise DataError(
                f"the table gave {before.rows} rows when it was first read and "
                f"{again.rows if before.rows != again.rows else 'as many others'} when it was read again; it is "
                "changing, or not deterministic: write it to Parquet and fit that"
            )
        if before.checksum != again.checksum:
            # All passes from here on see these rows alone: no sum is of two states of the table.
            warnings.warn(
                "the table was read again, and its rows are not to the bit what they were, while their number and each "
                "feature's moments are: its values are rounded otherwise, or in other combinations; write it to "
                "Parquet and fit that",
                RuntimeWarning,
                stacklevel=2,
            )

    def _pack(self) -> Packing:
        # One JVM alone has no executors to lose: passes need no handles that Spark keeps, but for those after a miss.
        alone = is_local(self._spark) and self._cluster.hosts == 1 and not self.misses
        return self._packer.pack(self._cluster.cores, self.streaming, persistent=not alone, held_rows=self._held_rows)

    def _choose_source(self) -> Source:
        """Choose where passes find the blocks: on the driver if it has them, else where Spark's tasks do."""
        idle = len(self.packing.handles) < spread_over(self.packing.rows, self._cluster.cores)
        if self.packing.contents is None or (idle and self._cluster.hosts > 1):
            return self._choose_sparks_source(spread=True)
        # Spark has to have the pieces that the driver has: they stay as they are.
        return Held(self._spark, self.packing, self._unit, partial(self._choose_sparks_source, spread=False))

    def _choose_sparks_source(self, spread: bool) -> Source:
        """Choose where Spark's tasks find the blocks; if they do not share out pieces, first spread the rows if asked.

        Too few partitions would leave cores idle on every pass.
        """
        # Executors come one by one: more of them may have read the table than there were before. On a cluster the job
        # also makes Spark forget where partitions lay before the table was read: it groups them by that.
        if self.packing.rows >= 2 * MIN_TASK_ROWS or not is_local(self._spark):
            self._cluster = survey_cluster(self._spark)
        cores = self._cluster.cores
        if self._cluster.hosts == 1 and not self.misses and not self.streaming:
            return Listed(self._spark, self.packing, cores, self._unit)
        partitions = spread_over(self.packing.rows, cores)
        if spread and len(self.packing.handles) < partitions:
            self._packer.repartition(partitions)
            self._pack_again("spread over the cores")
        if self.streaming:
            return Streamed(self.packing, self._unit)
        return Cached(self.packing, self._cluster, grouped=not self.misses, unit=self._unit)
