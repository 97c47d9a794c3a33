"""The suite ``speed``: the cost of a pass, packing, scoring and sampling, against other packages and lower limits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.ml.clustering import GaussianMixture as PysparkMixture
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from benchmarks.competing import Contender, Contenders, Setting, second, timed
from benchmarks.tables import columns, mixture, sampled_table
from gmm_spark import GaussianMixtureModel, MixtureParameters
from gmm_spark.core.kernels.accumulators import StatisticsAccumulator, StatisticsSums
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.mixture.sampling import CHUNK_ROWS, component_counts, draw_chunk
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.scoring import as_arrow_udf

# Executors do not have this module: pickle what tasks use of it by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]


class Bench:
    """The cases; each yields its contenders at one setting."""

    def __init__(self, spark: SparkSession, data: Path, cores: int, against: Sequence[str]) -> None:
        self.spark, self.data, self.cores, self.against = spark, data, cores, against

    def table(self, s: Setting) -> DataFrame:
        """Read rows sampled from :func:`benchmarks.tables.mixture`; they are written to Parquet once."""
        return sampled_table(self.spark, self.data, mixture(s.d, s.k, "full"), s.rows, s.precision, f"k={s.k}")

    def packed(self, s: Setting, table: DataFrame | None = None, streaming: bool | None = None) -> PackedTable:
        """Pack the same rows into blocks."""
        table = table or self.table(s)
        features = resolve_features(table, "", columns(s.d), None, None)
        if features is None:
            raise RuntimeError("the benchmark's own table has no features")
        return PackedTable(table, features, precision=s.precision, streaming=streaming)

    @contextmanager
    def passes(self, s: Setting) -> Iterator[Contenders]:
        """Our pass against pyspark.ml's and scikit-learn's, without reading the table or finding starts.

        Once at the parameters that the rows were sampled from, as near as starts from a sample are. Once at unrelated
        parameters: there fewer responsibilities of a large mixture are negligible.
        """
        near, far = mixture(s.d, s.k, s.structure), mixture(s.d, s.k, s.structure, seed=7)
        with self.packed(s) as packed:

            def passing(start: MixtureParameters) -> Contender:
                centred = start.shifted(-packed.moments.mean)
                return lambda: second(lambda: packed.expect([centred]))

            contenders: Contenders = {
                "gmm_spark, one pass": passing(near),
                "gmm_spark, one pass far from any fit": passing(far),
            }
            if "pyspark" in self.against:
                contenders["pyspark.ml, one pass"] = self._pyspark_pass(s)
            if "sklearn" in self.against:
                contenders["scikit-learn, one iteration in memory"] = self._sklearn_pass(s, near)
            yield contenders
            self.spark.catalog.clearCache()

    def _pyspark_pass(self, s: Setting) -> Contender:
        vectors = assembler(s).transform(self.table(s)).select("features").persist()
        vectors.count()
        theirs = PysparkMixture(k=s.k, seed=1, tol=0.0)
        few, more = 1, 4

        def one_pass() -> float:
            # Two fits that differ only in their passes: the costs of starts and caching cancel.
            short = timed(lambda: theirs.setMaxIter(few).fit(vectors))
            return (timed(lambda: theirs.setMaxIter(more).fit(vectors)) - short) / (more - few)

        return one_pass

    def _sklearn_pass(self, s: Setting, start: MixtureParameters) -> Contender:
        from sklearn.mixture import GaussianMixture as SklearnMixture

        read = np.column_stack([column.to_numpy() for column in self.table(s).toArrow().columns])
        theirs = SklearnMixture(s.k, covariance_type=s.structure, means_init=start.means, weights_init=start.weights)
        theirs.fit(read[: 100 * s.k])  # gives it the attributes that its E and M steps need

        def one_iteration() -> None:
            _, log_resp = theirs._e_step(read)
            theirs._m_step(read, log_resp)

        return lambda: timed(one_iteration)

    @contextmanager
    def kernels(self, s: Setting) -> Iterator[Contenders]:
        """The bare kernel against its matrix products in one BLAS call each, one thread, rows in memory."""
        fold, block = bare_kernel(s)
        share = s.rows / block.shape[1]
        with threadpool_limits(1):
            yield {
                "two matrix products": lambda: share * timed(bare_products(fold, block.shape[1])),
                "kernel": lambda: share * timed(lambda: fold.add(block, None)),
            }

    @contextmanager
    def structures(self, s: Setting) -> Iterator[Contenders]:
        """The bare kernel of each structure, one thread."""

        def contender(name: str) -> Contender:
            fold, block = bare_kernel(replace(s, structure=name))
            return lambda: s.rows / block.shape[1] * timed(lambda: fold.add(block, None))

        with threadpool_limits(1):
            yield {name: contender(name) for name in ("full", "tied", "diag", "spherical")}

    @contextmanager
    def wholes(self, s: Setting) -> Iterator[Contenders]:
        """A whole pass against the bare kernel on one core's share of the rows."""
        fold, block = bare_kernel(s)
        share = s.rows / self.cores / block.shape[1]
        with self.packed(s) as packed, threadpool_limits(1):
            candidate = mixture(s.d, s.k, s.structure).shifted(-packed.moments.mean)
            yield {
                "bare kernel": lambda: share * timed(lambda: fold.add(block, None)),
                "whole pass": lambda: second(lambda: packed.expect([candidate])),
            }

    @contextmanager
    def streams(self, s: Setting) -> Iterator[Contenders]:
        """A pass over files on local disks against one over blocks that stream through Spark."""
        candidate = mixture(s.d, s.k, s.structure)
        with self.packed(s) as packed, self.packed(s, streaming=True) as streamed:
            centred = candidate.shifted(-packed.moments.mean)
            yield {
                "pass over local files": lambda: second(lambda: packed.expect([centred])),
                "pass over streamed blocks": lambda: second(lambda: streamed.expect([centred])),
            }

    @contextmanager
    def partitions(self, s: Setting) -> Iterator[Contenders]:
        """Packing and a pass, over partitions of 200 rows against one partition for each core."""
        noise = [F.rand(i).alias(c) for i, c in enumerate(columns(s.d))]
        few, many = (self.spark.range(0, s.rows, 1, n).select(*noise) for n in (self.cores, s.rows // 200))
        start = mixture(s.d, s.k, s.structure)
        with self.packed(s, few) as packed_few, self.packed(s, many) as packed_many:
            yield {
                "pack, a partition a core": lambda: timed(lambda: self.packed(s, few).close()),
                "pack, partitions of 200 rows": lambda: timed(lambda: self.packed(s, many).close()),
                "pass, a partition a core": lambda: second(lambda: packed_few.expect([start])),
                "pass, partitions of 200 rows": lambda: second(lambda: packed_many.expect([start])),
            }

    @contextmanager
    def packs(self, s: Setting) -> Iterator[Contenders]:
        """Packing against the same columns sent through an empty mapInArrow."""
        table = self.table(s)
        yield {
            "empty mapInArrow": lambda: timed(lambda: table.mapInArrow(swallow, "n long").collect()),
            "pack": lambda: timed(lambda: self.packed(s, table).close()),
        }

    @contextmanager
    def scores(self, s: Setting) -> Iterator[Contenders]:
        """Scoring a table against reading and writing it, and against pyspark.ml's transform written out.

        Scoring writes two columns more than it reads, so one contender adds two columns that are cheap to compute. The
        lower limit is a UDF of the same columns that computes nothing: Spark's cost of the way to Python and back.
        """
        table = self.table(s)
        wider = table.select("*", F.pmod(F.hash("x0"), F.lit(s.k)).alias("prediction"), (-F.col("x0")).alias("y"))
        nothing = as_arrow_udf(zeros, "struct<prediction: int, log_density: double>")
        idle = table.withColumn("s", nothing(F.array(*columns(s.d)))).select(*columns(s.d), "s.*")
        model = GaussianMixtureModel(mixture(s.d, s.k, s.structure))
        model.setInputCols(columns(s.d)).setProbabilityCol("").setLogDensityCol("log_density").setPrecision(s.precision)
        vectors = assembler(s)
        theirs = PysparkMixture(k=s.k, maxIter=1, seed=1).fit(vectors.transform(table.limit(20_000)))
        yield {
            "read and write": lambda: self._write(table),
            "read and write, with two columns more": lambda: self._write(wider),
            "a UDF that computes nothing": lambda: self._write(idle),
            "score": lambda: self._write(model.transform(table)),
            "pyspark.ml transform": lambda: self._write(
                theirs.transform(vectors.transform(table)).drop("features", "probability")
            ),
        }

    @contextmanager
    def samples(self, s: Setting) -> Iterator[Contenders]:
        """Sampling against writing as many rows of ``rand()``."""
        model = GaussianMixtureModel(mixture(s.d, s.k, s.structure))
        noise = self.spark.range(s.rows).select(*(F.rand(i).alias(c) for i, c in enumerate(columns(s.d))))
        yield {
            "write rand()": lambda: self._write(noise),
            "sample": lambda: self._write(model.sample(self.spark, s.rows, 1, columns(s.d))),
        }

    def _write(self, frame: DataFrame) -> float:
        return timed(lambda: frame.write.mode("overwrite").parquet(str(self.data / "written")))


CASES: dict[str, Callable[[Bench, Setting], AbstractContextManager[Contenders]]] = {
    "pass": Bench.passes,
    "kernel": Bench.kernels,
    "structures": Bench.structures,
    "whole": Bench.wholes,
    "stream": Bench.streams,
    "pack": Bench.packs,
    "partitions": Bench.partitions,
    "score": Bench.scores,
    "sample": Bench.samples,
}


def assembler(s: Setting) -> VectorAssembler:
    """Make the Vector column that pyspark.ml needs."""
    return VectorAssembler(inputCols=columns(s.d), outputCol="features")


def bare_kernel(s: Setting) -> tuple[StatisticsAccumulator, np.ndarray[Any, Any]]:
    """Make one task's fold, and rows in memory for it, few enough to sample quickly."""
    source = mixture(s.d, s.k, s.structure)
    mean, variance = source.moments()
    plan = plan_pass([source.shifted(-mean)], mean, np.sqrt(variance), s.precision)
    counts = component_counts(source, min(s.rows, 1 << 18), seed=0)
    chunks = range(-(-int(counts.sum()) // CHUNK_ROWS))
    rows = np.concatenate([draw_chunk(source, counts, 0, c)[0] for c in chunks], axis=1).astype(plan.dtype)
    return StatisticsSums(plan).accumulator(), np.ascontiguousarray(
        rows[:, np.random.default_rng(0).permutation(rows.shape[1])]
    )


def bare_products(fold: StatisticsAccumulator, rows: int) -> Callable[[], None]:
    """Return a function that makes only the matrix products of a fold's kernel, for so many rows."""
    (segment,), chunk, dtype, d = fold.plan.segments, fold.kernel.chunk, fold.plan.dtype, fold.plan.n_features
    k, length = segment.coefficients.shape
    if segment.expanded:
        shapes, times = ((k, length), (length, chunk)), 1
    else:
        shapes, times = ((d, d), (d, chunk)), k  # whitening and second moment, component by component
    left, right = (np.full(shape, 0.5, dtype) for shape in shapes)
    across, sums = np.empty((len(left), chunk), dtype), np.empty((len(right), len(left)), dtype)

    def run() -> None:
        for _ in range(0, rows * times, chunk):
            np.matmul(left, right, out=across)
            np.matmul(right, across.T, out=sums)

    return run


def swallow(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that reads its batches and returns nothing."""
    for _ in stream:
        pass
    yield pa.RecordBatch.from_pydict({"n": pa.array([], pa.int64())})


def zeros(features: pa.Array) -> pa.Array:
    """Task that answers every row with zeros."""
    m = len(features)
    return pa.StructArray.from_arrays([np.zeros(m, np.int32), np.zeros(m)], names=["prediction", "log_density"])
