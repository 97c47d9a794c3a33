"""PackedTable: a Spark table packed into blocks, that answers each question by one pass over them.

Where the blocks are, and what is done if they are lost, is decided here alone:

1. The table is packed into files, one for each task. On one host the driver shares their pieces out
   (:class:`.sources.Listed`); on several, passes go where Spark has cached the handles (:class:`.sources.Cached`).
2. If a pass misses a file, its answer is not used. Spark packs the table again, and the pass runs again, from then on
   over cached handles.
3. If passes miss files more than :data:`MAX_REBUILDS` times, the table is packed into blocks that stream through Spark
   (:class:`.sources.Streamed`). They are never missed.

A table is streamed from the start if ``spark.io.encryption.enabled`` forbids clear rows on local disks.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from pyspark.sql import DataFrame

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import StatisticsSums, Sums
from gmm_spark.core.kernels.distance_draw import DrawRequest, DrawResult
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.moments import same_rows
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import Sample, SampleTask
from gmm_spark.errors import DataError, ResourceError
from gmm_spark.spark.columns import Features, require_batch, require_rows, require_usable
from gmm_spark.spark.packing.cluster import survey_cluster
from gmm_spark.spark.packing.packer import Packer
from gmm_spark.spark.packing.passes import collect_draw, collect_sample, collect_sums
from gmm_spark.spark.packing.sources import MIN_TASK_ROWS, Cached, Listed, Source, Streamed, spread_over
from gmm_spark.spark.ranges import warn_of_rounding
from gmm_spark.spark.sample_tasks import SPREAD_BYTES, run_on_sample

Answer = TypeVar("Answer")

# Packing again more often than this means that files do not stay where their handles are.
MAX_REBUILDS = 2
# Bytes of sums up to which candidates share a pass; every task of a pass holds them a few times.
SHARED_SUM_BYTES = 256 << 20


class PackedTable:
    """A table packed into blocks; a context manager that removes the blocks at the end.

    Parameters
    ----------
    table : DataFrame
    features : Features
        From :func:`gmm_spark.spark.columns.resolve_features`.
    strict : bool
        Any bad row is an error; otherwise bad rows are left out and counted.
    precision : {"float64", "float32"}
        Type of the kernel's products.
    streaming : bool, optional
        Keep blocks in Spark from the start. By default only if ``spark.io.encryption.enabled`` says that rows may not
        lie in clear on a local disk.

    Attributes
    ----------
    moments : Moments
        Of the usable rows.
    bad : Counter
        Bad rows by reason.

    Raises
    ------
    DataError
        If a row is bad and ``strict``, a weight is negative, no row is left, or the table is a stream.
    ResourceError
        If a local disk is full.
    """

    def __init__(
        self,
        table: DataFrame,
        features: Features,
        *,
        strict: bool = True,
        precision: str = "float64",
        streaming: bool | None = None,
    ) -> None:
        require_batch(table)
        self.features = features
        self.precision = precision
        self._spark = table.sparkSession
        encrypted = self._spark.conf.get("spark.io.encryption.enabled", "false") == "true"
        self._always_streamed = encrypted if streaming is None else streaming
        self._misses = 0
        self._cluster = survey_cluster(self._spark)
        self._packer = Packer(table, features, strict)
        self._source: Source | None = None  # none once the table is closed
        try:
            self._packing = self._packer.pack(self._cluster.cores, self.streaming)
            self.moments = self._packing.moments
            self.bad = sum((Counter(handle.bad) for handle in self._packing.handles), Counter[str]())
            require_usable(self.bad, features, strict)
            require_rows(self.rows, self.bad, features)
            warn_of_rounding(features, self.moments.mean, self.moments.low, self.moments.high)
            self._source = self._choose_source()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PackedTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_partitions(self) -> int:
        """Tasks that packed the table: one for each partition, up to a bound that depends on the cores."""
        return len(self._packing.handles)

    @property
    def rows(self) -> int:
        """Usable rows."""
        return self._packing.rows

    @property
    def streaming(self) -> bool:
        """Whether blocks stream through Spark."""
        return self._always_streamed or self._misses > MAX_REBUILDS

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        """Make one pass: the sufficient statistics of each candidate, in centred coordinates.

        Candidates take several passes if their sums together would be too large for an executor.
        """
        sums = StatisticsSums(self._plan(candidates))
        if 8 * sums.n_held > SHARED_SUM_BYTES and len(candidates) > 1:
            half = len(candidates) // 2
            return self.expect(candidates[:half]) + self.expect(candidates[half:])
        return self._sum(sums)

    def evaluate(self, candidate: MixtureParameters) -> Evaluation:
        """Make one pass: likelihood, entropy, cluster sizes and histogram of log-densities of a candidate."""
        return self.evaluate_all([candidate], log_densities=True)[0]

    def evaluate_all(self, candidates: Sequence[MixtureParameters], log_densities: bool = False) -> list[Evaluation]:
        """Make one pass: the same of several candidates; histograms only if ``log_densities``."""
        return self._sum(EvaluationSums(self._plan(candidates), log_densities))

    def draw(self, draw: DrawRequest) -> DrawResult:
        """Make one pass: draw rows at random, far from the given sites, and count the rows nearest to each site."""
        return self._until_complete(lambda source: collect_draw(source, draw))

    def sample(self, n: int, seed: int) -> tuple[Block, Array | None]:
        """Make one pass: draw n rows without replacement, or all if there are no more; rows (d, m) and weights (m,)."""
        return self._until_complete(lambda source: collect_sample(source, n, seed, self.features.width))

    def run_on_sample(self, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
        """Run tasks on a sample of the table, each as a Spark task; on the driver if one task or a large sample."""
        if len(tasks) > 1 and sample[0].size * 8 <= SPREAD_BYTES:
            return run_on_sample(self._spark, sample, tasks)
        return [task(sample) for task in tasks]

    def close(self) -> None:
        """Remove the blocks, as far as Spark still answers."""
        self._source = None
        with contextlib.suppress(Exception):
            self._packer.close()

    def _plan(self, candidates: Sequence[MixtureParameters]) -> Plan:
        return plan_pass(candidates, self.moments.mean, self.moments.scale, self.precision)

    def _sum(self, sums: Sums[Answer]) -> Answer:
        return self._until_complete(lambda source: collect_sums(source, sums))

    def _until_complete(self, run_pass: Callable[[Source], Answer | None]) -> Answer:
        """Run a pass until no task misses its blocks, and pack again after each miss."""
        while True:
            if self._source is None:
                raise RuntimeError("this packed table has been closed; pack the table again")
            answer = run_pass(self._source)
            if answer is not None:
                return answer
            self._rebuild()

    def _rebuild(self) -> None:
        """Pack again after a miss; the rows must be those of the first time, in whatever order."""
        was_streaming = self.streaming
        self._misses += 1
        if self._misses > MAX_REBUILDS:
            if was_streaming:
                raise ResourceError("a pass gave no answer although its blocks came through Spark: please report this")
            warnings.warn(
                f"blocks were not found where they were written after packing {self._misses} times; "
                "streaming them through Spark from here on, which is slower (see spark.locality.wait)",
                RuntimeWarning,
                stacklevel=2,
            )
        before = self.rows
        self._packing = self._packer.pack(self._cluster.cores, self.streaming)
        # Compare whole tables, not partitions: Spark may group those differently when executors come and go.
        if before != self.rows or not same_rows(self.moments, self._packing.moments):
            raise DataError(
                f"the table gave {before} rows when it was first read and "
                f"{self.rows if before != self.rows else 'as many others'} when lost blocks were read again; it is "
                "changing, or not deterministic: write it to Parquet and fit that"
            )
        self._source = self._choose_source()

    def _choose_source(self) -> Source:
        """Choose where passes find the blocks; if they do not share out pieces, first spread the rows over the cores.

        Too few partitions would leave cores idle on every pass.
        """
        if self.rows >= 2 * MIN_TASK_ROWS:
            self._cluster = survey_cluster(self._spark)  # executors may have come while the table was read
        cores = self._cluster.cores
        if self._cluster.hosts == 1 and not self._misses and not self.streaming:
            return Listed(self._spark, self._packing, cores)
        partitions = spread_over(self.rows, cores)
        if self.n_partitions < partitions:
            self._packer.repartition(partitions)
            self._packing = self._packer.pack(cores, self.streaming)
        return Streamed(self._packing) if self.streaming else Cached(self._packing, cores)
