"""PackedTable: a Spark table packed into blocks, that answers each question by one pass over them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np
from pyspark.sql import DataFrame

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.accumulators import StatisticsSums, Sums
from gmm_spark.core.kernels.distance_draw import DrawRequest, DrawResult
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.kernels.weight_kinds import FREQUENCY
from gmm_spark.core.kernels.weighted_draw import WeightedDraw
from gmm_spark.core.missing.evaluation import IncompleteEvaluationSums
from gmm_spark.core.missing.expectation import IncompleteStatisticsSums
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.incomplete import IncompletePortraitSums
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.core.portrait.sums import PortraitSums
from gmm_spark.core.steps import step
from gmm_spark.core.table import Sample, SampleTask
from gmm_spark.spark.columns import Features, require_batch
from gmm_spark.spark.crew import SparkCrew
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.spark.packing.answers import Answers, AnswerStore
from gmm_spark.spark.packing.extent import collect_extent
from gmm_spark.spark.packing.limits import limit_sample
from gmm_spark.spark.packing.passes import collect_draw, collect_sample, collect_sums, collect_weighted_sample
from gmm_spark.spark.packing.recovery import RecoverableBlocks
from gmm_spark.spark.results import bytes_per_job
from gmm_spark.spark.sample_tasks import SPREAD_BYTES, run_on_sample

Answer = TypeVar("Answer")

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
    weight_kind : {"frequency", "importance"}
        What weights mean: evaluations count rows accordingly. Sums and samples have importance weights divided by a
        power of two.
    packing : {"auto", "spark", "parquet"}
        What reads the rows: see :class:`.packer.Packer`.
    answers : AnswerStore, optional
        Keeps the sums of passes and the answers of tasks on samples, and has those of an earlier fit to the same rows.
    held_rows : int
        Rows of a table up to which the driver gets them all while they are packed, and makes short passes itself
        (:mod:`.held`). The sums are the same to the bit.

    Attributes
    ----------
    spark : SparkSession
    blocks : RecoverableBlocks
        What passes run over.
    moments : Moments
        Of the usable rows.
    bad : Counter
        Bad rows by reason.
    rounded : Counter
        Values of long and decimal columns that are 2**53 or more away from 0, where float64 rounds, by feature.
    patterns : mapping of bytes to int
        Usable rows of each pattern of missingness; empty if no value is missing.
    pass_name : str
        What the next pass is called in Spark's pages.

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
        weight_kind: str = FREQUENCY,
        packing: str = "auto",
        answers: AnswerStore | None = None,
        held_rows: int = 0,
    ) -> None:
        require_batch(table)
        self.features = features
        self.precision = precision
        self.spark = table.sparkSession
        self.weight_kind = weight_kind
        self.pass_name = "pass"
        self.blocks = RecoverableBlocks(table, features, strict, streaming, weight_kind, packing, held_rows)
        self.bad = self.blocks.bad
        self.rounded = self.blocks.rounded
        self.moments = self.blocks.moments
        self.patterns = self.blocks.packing.patterns
        packed = self.blocks.packing
        self._answers = Answers(answers, features.names, weight_kind, precision, packed.rows, packed.checksum)

    def __enter__(self) -> PackedTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_partitions(self) -> int:
        """Tasks that packed the table: one for each partition, up to a bound that depends on the cores."""
        return len(self.blocks.packing.handles)

    @property
    def crew(self) -> SparkCrew:
        """The cores that a search on a sample may use: those that passes use."""
        return SparkCrew(self.spark, self.blocks.cores)

    @property
    def recalled(self) -> bool:
        """Whether the latest pass was made by an earlier fit, and its sums were kept."""
        return self._answers.recalled

    @property
    def rows(self) -> int:
        """Usable rows."""
        return self.blocks.packing.rows

    @property
    def streaming(self) -> bool:
        """Whether blocks stream through Spark."""
        return self.blocks.streaming

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        """Make one pass: the sufficient statistics of each candidate, in centred coordinates.

        Candidates take several passes if their sums together would be too large for an executor, or for the driver.
        """
        plan = self._plan(candidates)
        sums: StatisticsSums | IncompleteStatisticsSums = StatisticsSums(plan)
        if self.patterns:
            sums = IncompleteStatisticsSums.of(plan, candidates, self.patterns)
        too_large = 8 * sums.n_held > SHARED_SUM_BYTES or 8 * sums.length > bytes_per_job(self.spark)
        if too_large and len(candidates) > 1:
            half = len(candidates) // 2
            return self.expect(candidates[:half]) + self.expect(candidates[half:])
        with describe_jobs(self.spark, self.pass_name):
            return self._sum(sums, candidates)

    def evaluate(self, candidate: MixtureParameters) -> Evaluation:
        """Make one pass: likelihood, entropy, cluster sizes and histogram of log-densities of a candidate."""
        return self.evaluate_all([candidate], log_densities=True)[0]

    def evaluate_all(self, candidates: Sequence[MixtureParameters], log_densities: bool = False) -> list[Evaluation]:
        """Make one pass: the same of several candidates; histograms only if ``log_densities``."""
        with step("evaluate"), describe_jobs(self.spark, "evaluate"):
            plan = self._plan(candidates)
            sums: EvaluationSums | IncompleteEvaluationSums = EvaluationSums(plan, log_densities)
            if self.patterns:
                sums = IncompleteEvaluationSums.of(plan, candidates, self.patterns, log_densities)
            found = self._sum(sums, candidates, log_densities)
        return [evaluation.counted(self.weight_kind) for evaluation in found]

    def portray(self, candidate: MixtureParameters, frame: Frame) -> Portrait:
        """Make one pass: what the rows look like beside a candidate; the frame is in the table's own coordinates."""
        with step("portrait"), describe_jobs(self.spark, "portrait"):
            sums: PortraitSums | IncompletePortraitSums
            sums = PortraitSums(self._plan([candidate]), frame, self.features.names)
            if self.patterns:
                marginals = Marginals(candidate.shifted(self.moments.mean), self.precision)
                sums = IncompletePortraitSums(marginals, frame, self.features.names, tuple(sorted(self.patterns)))
            return self._sum(sums, [candidate], frame)

    def draw(self, draw: DrawRequest) -> DrawResult:
        """Make one pass: draw rows at random, far from the given sites, and count the rows nearest to each site."""
        with describe_jobs(self.spark, "draw starts"):
            return self.blocks.run(lambda source: collect_draw(source, draw))

    def extent(self) -> Array:
        """Make one pass: least and greatest value of each feature in rows that have weight, (2, d), not centred."""

        def make_pass(numbers: Sequence[int]) -> list[bytes]:
            return [self.blocks.run(lambda source: collect_extent(source, self.features.width)).tobytes()]

        with describe_jobs(self.spark, "extent"):
            (found,) = self._answers.ask(make_pass, ["extent"])
        return np.frombuffer(found).reshape(2, -1)

    def sample(self, n: int, seed: int) -> tuple[Block, Array | None]:
        """Make one pass: draw n rows without replacement, or all if there are no more; rows (d, m) and weights (m,).

        Rows that have weights are drawn as :class:`.WeightedDraw` says, and weigh what they stand for. They are fewer,
        with a warning, if the driver lacks the memory.
        """
        n = limit_sample(min(n, self.rows), self.features.width)
        with step("sample") as told, describe_jobs(self.spark, "sample"):
            told["rows"] = n
            return self._sample(n, seed)

    def _sample(self, n: int, seed: int) -> tuple[Block, Array | None]:
        weights = self.blocks.weights
        if weights is None or self.rows <= n:
            return self.blocks.run(lambda source: collect_sample(source, n, seed, self.features.width))
        draw = WeightedDraw(n, weights)
        return self.blocks.run(lambda source: collect_weighted_sample(source, draw, seed, self.features.width))

    def run_on_sample(self, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
        """Run tasks on a sample of the table, each as a Spark task; on the driver if one task or a large sample."""

        def run(numbers: Sequence[int]) -> list[bytes]:
            wanted = [tasks[i] for i in numbers]
            if len(wanted) > 1 and sample[0].size * 8 <= min(SPREAD_BYTES, bytes_per_job(self.spark)):
                with describe_jobs(self.spark, "search on the sample"):
                    return run_on_sample(self.spark, sample, wanted)
            return [task(sample) for task in wanted]

        return self._answers.ask(run, tasks, about=sample)

    def close(self) -> None:
        """Remove the blocks, as far as Spark still answers."""
        self.blocks.remove()

    def _plan(self, candidates: Sequence[MixtureParameters]) -> Plan:
        return plan_pass(candidates, self.moments.mean, self.moments.scale, self.precision)

    def _sum(self, sums: Sums[Answer], candidates: Sequence[MixtureParameters], *options: object) -> Answer:
        def make_pass(numbers: Sequence[int]) -> list[bytes]:
            return [self.blocks.run(lambda source: collect_sums(source, sums)).tobytes()]

        question = type(sums).__name__, sums.length, self.moments.mean, self.moments.scale, candidates, options
        (vector,) = self._answers.ask(make_pass, [question])
        return sums.read(np.frombuffer(bytearray(vector)))
