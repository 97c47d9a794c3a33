"""PackedTable: a Spark table that answers ``expect``, one pass over its blocks an answer.

Files are cut into pieces, and a pass adds up the sums of pieces. Where all files are on one host, as on a laptop, the
driver shares the pieces out evenly among as many tasks as there are cores, or a few times that. On several hosts a pass
runs over the persisted handles, where Spark goes by itself to the executor that has a handle cached, and with it the
file.

A pass whose tasks all found their files is done. On any miss its sums are not used: the handles are dropped,
Spark packs again what their lineage says, and the pass is run anew. After :data:`MAX_REBUILDS` of those the
table falls back to streaming, where the blocks themselves are persisted in Spark and cross to Python on
every pass: slower, and never a miss.
"""

from __future__ import annotations

import contextlib
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import StatisticsSums, Sums
from gmm_spark.core.kernels.distance_draw import DrawRequest, DrawResult
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.moments import Moments, same_rows
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.randomness import Purpose, draw_quotas, random_stream
from gmm_spark.core.table import Sample, SampleTask
from gmm_spark.errors import DataError, ResourceError
from gmm_spark.spark.columns import Features, require_rows, require_usable
from gmm_spark.spark.packing.blocks import (
    HANDLE_SCHEMA,
    SOURCE,
    STREAM_SCHEMA,
    Handle,
    RemoveFiles,
    StreamBlocks,
    WriteBlocks,
    name_host,
)
from gmm_spark.spark.packing.passes import (
    SamplePass,
    added_up,
    drawn,
    sampled,
)
from gmm_spark.spark.packing.pieces import Cut, Listed
from gmm_spark.spark.sample_tasks import SPREAD_BYTES, run_on_sample

Answer = TypeVar("Answer")

# Packing anew more often than this means that files do not stay where their handles are.
MAX_REBUILDS = 2
# Tasks of packing, and those a core, that more partitions than that share: a task costs some 20 ms and a handle
# however little it reads. A lost one of so many loses little, and a large cluster has enough of them to share out.
PACK_TASKS, PACK_TASKS_PER_CORE = 1_000, 16
# Rows below which a task of its own is not worth its overhead, and bytes above which it has enough to do.
MIN_TASK_ROWS, TASK_BYTES = 100_000, 1 << 30
# Multiplications, some three seconds of them, that a core is given before it gets another task; each costs it
# some 25 ms, and more of them even out what else the cores are busy with.
TASK_PRODUCTS, TASKS_OF_PIECES_PER_CORE = 50e9, 4
# Bytes of sums, which every task of a pass holds a few times, up to which candidates share the pass.
SHARED_SUM_BYTES = 256 << 20
# Tasks a core may get however small they are: enough to even out their lengths.
TASKS_PER_CORE = 8


class PackedTable:
    """A table packed into blocks; a context manager, since the blocks are to be removed at the end.

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
        Keep blocks in Spark from the start. By default only where ``spark.io.encryption.enabled`` says that
        rows may not lie in clear on a local disk.

    Attributes
    ----------
    moments : Moments
        Of the good rows.
    bad : Counter
        Bad rows by reason.
    n_partitions : int
        Tasks that the table was packed by: one for each of its partitions, up to a bound that depends on the cores.

    Raises
    ------
    DataError
        Where a row is bad and ``strict``, a weight is negative, or no row is left.
    ResourceError
        Where a local disk is full.
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
        self.features = features
        self.precision = precision
        self._spark = table.sparkSession
        self._cores, self._hosts = self._survey()
        self._columns = features.select(table)
        self._strict = strict
        self._run = uuid.uuid4().hex[:12]
        self._rebuilds = 0
        self._by_task = False
        encrypted = self._spark.conf.get("spark.io.encryption.enabled", "false") == "true"
        self.streaming = encrypted if streaming is None else streaming
        self._blocks: DataFrame | None = None
        self._read: dict[int, DataFrame | Listed] = {}
        self._tasks: int | None = None
        try:
            self._handles, self.moments = self._pack()
            self.bad = sum((Counter(h.bad) for h in self._handles), Counter[str]())
            self._check()
            self._balance()
            self._cut_up()
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
        """Tasks that the table was packed by, and files at most."""
        return len(self._handles)

    @property
    def rows(self) -> int:
        """Good rows."""
        return sum(h.rows for h in self._handles)

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        """One pass: the statistics of each candidate, in centred coordinates.

        Candidates whose sums would together be too much for an executor take several passes.
        """
        sums = StatisticsSums(self._plan(candidates))
        if 8 * sums.n_held > SHARED_SUM_BYTES and len(candidates) > 1:
            half = len(candidates) // 2
            return self.expect(candidates[:half]) + self.expect(candidates[half:])
        return self._sum(sums)

    def evaluate(self, candidate: MixtureParameters) -> Evaluation:
        """One pass: likelihood, entropy, cluster sizes and log-densities of a candidate."""
        return self.evaluate_all([candidate], log_densities=True)[0]

    def evaluate_all(self, candidates: Sequence[MixtureParameters], log_densities: bool = False) -> list[Evaluation]:
        """One pass: the same of each of several candidates, their log-densities only if asked for."""
        return self._sum(EvaluationSums(self._plan(candidates), log_densities))

    def draw(self, draw: DrawRequest) -> DrawResult:
        """One pass: rows drawn by chance, and what lies nearest to which site."""
        return self._until_complete(lambda: drawn(self._source(draw.sites.size), draw, self._numbers))

    def run_on_sample(self, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
        """Do pieces of work on a sample of the table, a task each; here, if there is but one or the sample is large."""
        if len(tasks) > 1 and sample[0].size * 8 <= SPREAD_BYTES:
            return run_on_sample(self._spark, sample, tasks)
        return [work(sample) for work in tasks]

    def sample(self, n: int, seed: int) -> tuple[Block, Array | None]:
        """Draw n rows without replacement, or take all where there are no more: rows (d, m) and weights (m,).

        Each piece's share is drawn on the driver, so that the sample is uniform whatever the pieces' sizes.
        """

        def attempt() -> tuple[Block, Array | None] | None:
            pieces = self._pieces  # of this packing: another may group the rows differently
            sizes = [piece.rows for piece in pieces]
            quotas = draw_quotas(sizes, n, random_stream(seed, Purpose.TABLE_SAMPLE))
            shares = {p.partition: (q, p.rows) for p, q in zip(pieces, quotas.tolist(), strict=True)}
            return sampled(self._source(self.features.width), SamplePass(shares, seed), self.features.width)

        return self._until_complete(attempt)

    def close(self) -> None:
        """Remove the blocks, as far as Spark still answers."""
        with contextlib.suppress(Exception):
            self._drop()
            self._remove_files()

    def _plan(self, candidates: Sequence[MixtureParameters]) -> Plan:
        return plan_pass(candidates, self.moments.mean, self.moments.scale, self.precision)

    def _sum(self, sums: Sums[Answer]) -> Answer:
        return self._until_complete(lambda: added_up(self._source(sums.plan.n_products), sums, self._numbers))

    @property
    def _numbers(self) -> list[int]:
        return [piece.partition for piece in self._pieces]

    def _cut_up(self) -> None:
        """Cut what was packed into pieces."""
        self._cut = Cut.of(self._handles)
        self._pieces = [piece for handle in self._handles for piece in self._cut.pieces(handle)]

    def _until_complete(self, attempt: Callable[[], Answer | None]) -> Answer:
        """Run a pass until no task misses its file, packing again in between."""
        while True:
            result = attempt()
            if result is not None:
                return result
            self._rebuild()

    def _rebuild(self) -> None:
        """Pack again after a miss; the rows must be those of the first time, in whatever order."""
        self._rebuilds += 1
        if self._rebuilds > MAX_REBUILDS:
            if self.streaming:
                raise ResourceError("a pass gave no answer although its blocks came through Spark: please report this")
            warnings.warn(
                f"blocks were not found where they were written after packing {self._rebuilds} times; "
                "streaming them through Spark from here on, which is slower (see spark.locality.wait)",
                RuntimeWarning,
                stacklevel=2,
            )
            self.streaming = True
        before = self.rows
        self._handles, moments = self._pack()
        # Not partition by partition: where executors come and go, Spark may group a table's partitions differently.
        if before != self.rows or not same_rows(self.moments, moments):
            raise DataError(
                f"the table gave {before} rows when it was first read and "
                f"{self.rows if before != self.rows else 'as many others'} when lost blocks were read again; it is "
                "changing, or not deterministic: write it to Parquet and fit that"
            )
        self._balance()
        self._cut_up()

    def _pack(self) -> tuple[list[Handle], Moments]:
        """Read the table, persist its blocks or their handles; return the handles and the moments."""
        self._drop()
        rows = self._columns.select("*", F.spark_partition_id().alias(SOURCE))
        # Narrow: where there are more partitions, each task reads several, one after the other. Where there are not,
        # each still reads one.
        rows = rows.coalesce(PACK_TASKS + PACK_TASKS_PER_CORE * self._cores)
        if self.streaming:
            blocks = rows.mapInArrow(StreamBlocks(self.features, self._strict, self._by_task), STREAM_SCHEMA)
        else:
            task = WriteBlocks(self.features, self._run, self._strict, self._by_task)
            blocks = rows.mapInArrow(task, HANDLE_SCHEMA)
        self._blocks = blocks = blocks.persist(StorageLevel.MEMORY_AND_DISK)
        found = blocks.where("moments is not null").select("handle", "moments").collect()
        packed = sorted(((Handle.from_json(r["handle"]), r["moments"]) for r in found), key=lambda p: p[0].partition)
        moments = Moments.zero(self.features.width)
        for _, vector in packed:
            moments += Moments.from_vector(np.frombuffer(vector))
        failures = [handle.failure for handle, _ in packed if handle.failure]
        if failures:
            raise ResourceError(failures[0])
        if len({handle.partition for handle, _ in packed}) < len(packed):
            # Rows that the driver itself holds: Spark numbers them there, before it parts them.
            self._by_task = True
            self._remove_files()
            return self._pack()
        return [handle for handle, _ in packed], moments

    def _source(self, products: int) -> DataFrame | Listed:
        """What a pass of so many multiplications a row is to be mapped over, in as many tasks as it should have."""
        if self._blocks is None:
            raise RuntimeError("this packed table has been closed")
        tasks = self.n_partitions
        if self._on_one_host:
            waves = np.clip(self.rows * products / (self._cores * TASK_PRODUCTS), 1, TASKS_OF_PIECES_PER_CORE)
            tasks = min(self._cores * int(waves), len(self._pieces))
        elif self._tasks is not None and not self.streaming:
            tasks = self._tasks
        if tasks not in self._read:  # kept from pass to pass: every step of a query is a call to the driver's JVM
            self._read[tasks] = (
                Listed.evenly(self._spark, self._pieces, tasks)
                if self._on_one_host
                else self._persisted(self._blocks, tasks)
            )
        return self._read[tasks]

    @property
    def _on_one_host(self) -> bool:
        """Whether any task can read any file, as far as is known."""
        return not self.streaming and not self._rebuilds and self._hosts == 1

    def _persisted(self, blocks: DataFrame, tasks: int) -> DataFrame:
        """The blocks or their handles, each task's where Spark has cached them."""
        cut = F.array(F.lit(self._cut.blocks), F.lit(self._cut.most))
        blocks = blocks.drop("moments").withColumn("cut", cut)
        # A narrow coalesce: Spark groups partitions that are cached on the same executor.
        return blocks.coalesce(tasks) if tasks < self.n_partitions else blocks

    def _drop(self) -> None:
        if self._blocks is not None:
            self._blocks.unpersist()
            self._blocks = None
            self._read.clear()

    def _remove_files(self) -> None:
        if not self.streaming or self._rebuilds:
            self._spark.range(1 << 10).mapInArrow(RemoveFiles(self._run), "id long").collect()

    def _balance(self) -> None:
        """Suit the number of tasks to the cores and the rows, where passes do not share out pieces.

        Too few partitions leave cores idle on every pass: the table is packed again, spread out. Too many cost
        more to schedule than to work: passes then take several to a task, each still where its file is.
        """
        if self.rows >= 2 * MIN_TASK_ROWS:
            self._cores, self._hosts = self._survey()  # again: executors may have come while the table was read
        if self._on_one_host:
            return
        spread = min(self._cores, self.rows // MIN_TASK_ROWS)
        if self.n_partitions < spread:
            self._remove_files()
            self._columns = self._columns.repartition(spread)
            self._handles, _ = self._pack()
        waves = min(max(self.rows // (MIN_TASK_ROWS * self._cores), 1), TASKS_PER_CORE)
        enough = max(waves * self._cores, sum(h.rows * h.row_bytes for h in self._handles) // TASK_BYTES)
        self._tasks = enough if self.n_partitions > 2 * enough else None

    def _survey(self) -> tuple[int, int]:
        """Tasks that Spark runs at once, as its default for a range's partitions says, and the hosts they are on."""
        found = self._spark.range(1 << 12).mapInArrow(name_host, "task int, host string").collect()
        return len(found), len({row["host"] for row in found})

    def _check(self) -> None:
        """Raise what the tasks found wrong."""
        require_usable(self.bad, self.features, self._strict)
        require_rows(self.rows, self.bad, self.features)
