"""Per-row outputs appended to a table, by one Arrow UDF over the feature columns alone.

The other columns never leave the JVM.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gmm_spark.core.arrays import Block
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import Plan, plan_pass
from gmm_spark.core.mixture.log_space import exponentiate, find_leaders, subtract_largest
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features, refused, require_rows, require_usable
from gmm_spark.spark.worker import one_blas_thread

# Fields of the UDF's struct, by what they hold.
PROBABILITY, PREDICTION, LOG_DENSITY, ANOMALY = "probability", "prediction", "log_density", "anomaly"
_FIELDS = {PROBABILITY: "array<double>", PREDICTION: "int", LOG_DENSITY: "double", ANOMALY: "boolean"}
# The name that the struct goes by until its fields have their own.
_STRUCT = "__gmm_spark_scores"


@dataclass(frozen=True)
class Score:
    """The UDF: Arrow columns of one batch in, a struct of the wanted outputs out, null for a bad row."""

    plan: Plan
    features: Features
    wanted: tuple[str, ...]
    strict: bool
    threshold: float
    """Log-density, nats, below which a row is an anomaly."""

    def __call__(self, *columns: pa.Array) -> pa.Array:
        """Score one batch."""
        decoded = self.features.decode(columns)
        require_usable(decoded.bad, self.features, self.strict)
        rows, _ = decoded.usable()
        with one_blas_thread():
            outputs = self._outputs(rows)
        if decoded.good is None:
            return pa.StructArray.from_arrays(outputs, names=list(self.wanted))
        # Bad rows are null: each takes "no row" out of the good rows' outputs.
        position = pa.array(np.cumsum(decoded.good) - 1, mask=~decoded.good)
        spread = [output.take(position) for output in outputs]
        return pa.StructArray.from_arrays(spread, names=list(self.wanted), mask=pa.array(~decoded.good))

    @cached_property
    def _kernel(self) -> Kernel:
        return Kernel(self.plan)  # its buffers serve all batches of a task

    def _outputs(self, rows: Block) -> list[pa.Array]:
        k, m = self.plan.n_components, rows.shape[1]
        kernel = self._kernel
        probability = np.empty((m, k)) if PROBABILITY in self.wanted else None
        prediction, density = np.empty(m, np.int32), np.empty(m)
        for start in kernel.chunks(rows):
            part = slice(start, min(start + kernel.chunk, m))
            log_prob = kernel.weighted_log_prob(kernel.expand(rows[:, part]))
            largest = subtract_largest(log_prob)
            if PREDICTION in self.wanted:
                prediction[part] = find_leaders(log_prob)
            if self.wanted != (PREDICTION,):
                exponentiate(log_prob)
                total = log_prob.sum(axis=0)
                density[part] = np.log(total) + largest + self.plan.segments[0].peak
                if probability is not None:
                    probability[part] = (log_prob / total).T
        found = {
            PREDICTION: pa.array(prediction),
            LOG_DENSITY: pa.array(density),
            ANOMALY: pa.array(~(density >= self.threshold)),  # as is a row so far off that its density is NaN
        }
        if probability is not None:
            offsets = pa.array(np.arange(0, (m + 1) * k, k, dtype=np.int32))
            found[PROBABILITY] = pa.ListArray.from_arrays(offsets, pa.array(probability.ravel()))
        return [found[name] for name in self.wanted]


def append_scores(
    table: DataFrame,
    parameters: MixtureParameters,
    features: Features,
    outputs: dict[str, str],
    handle_invalid: str,
    precision: str = "float64",
    threshold: float = -np.inf,
) -> DataFrame:
    """Append per-row outputs to a table.

    Parameters
    ----------
    table : DataFrame
    parameters : MixtureParameters
    features : Features
        Of the model's width.
    outputs : dict
        Column name by output (probability, prediction, log_density, anomaly), in the order they are appended.
    handle_invalid : {"error", "skip", "keep"}
        A bad row fails the job, is dropped, or stays with null outputs.
    precision : {"float64", "float32"}
    threshold : float
        Log-density, nats, below which a row is an anomaly.

    Raises
    ------
    DataError
        Where a column of that name exists already.
    """
    clash = [name for name in outputs.values() if name.lower() in {c.lower() for c in table.columns}]
    if clash:
        raise DataError(f"the table already has {', '.join(map(repr, clash))}; name the output columns otherwise")
    if not outputs:
        return table
    task = Score(_plan(parameters, precision), features, tuple(outputs), handle_invalid == "error", threshold)
    fields = ", ".join(f"{name}: {_FIELDS[name]}" for name in outputs)
    scored = table.withColumn(_STRUCT, as_arrow_udf(task, f"struct<{fields}>")(*features.expressions()))
    if handle_invalid == "skip":
        scored = scored.where(F.col(_STRUCT).isNotNull())
    from pyspark.ml.functions import array_to_vector  # brings pyspark.ml along, which tasks do without

    appended = []
    for output, name in outputs.items():
        column = F.col(_STRUCT)[output]
        if output == PROBABILITY:
            vector = array_to_vector(column)  # which cannot take a null
            column = F.when(column.isNotNull(), vector) if handle_invalid == "keep" else vector
        appended.append(column.alias(name))
    return scored.select(*(F.col("`" + c.replace("`", "``") + "`") for c in table.columns), *appended)


@dataclass(frozen=True)
class Judge:
    """Task that folds its good rows into one evaluation and counts the others."""

    sums: EvaluationSums
    features: Features
    strict: bool

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Fold the rows of one task."""
        fold = self.sums.accumulator()
        bad: Counter[str] = Counter()
        for batch in stream:
            decoded = self.features.decode(batch.columns)
            bad.update(decoded.bad)
            if refused(bad, self.strict):
                break
            with one_blas_thread():
                fold.add(*decoded.usable())
        context = TaskContext.get()
        partition = context.partitionId() if context else 0
        columns = [pa.array([partition], pa.int32()), pa.array([fold.vector().tobytes()]), pa.array([json.dumps(bad)])]
        yield pa.RecordBatch.from_arrays(columns, names=["partition", "sums", "bad"])


def evaluate(
    table: DataFrame, parameters: MixtureParameters, features: Features, strict: bool, precision: str = "float64"
) -> Evaluation:
    """Judge a mixture on a table: one read, nothing written.

    Raises
    ------
    DataError
        Where a row is bad and ``strict``, or no row is good and has weight.
    """
    sums = EvaluationSums(_plan(parameters, precision))
    task = Judge(sums, features, strict)
    found = features.select(table).mapInArrow(task, "partition int, sums binary, bad string").collect()
    bad = sum((Counter(json.loads(row["bad"])) for row in found), Counter[str]())
    require_usable(bad, features, strict)
    total = np.zeros(sums.length)
    for row in sorted(found, key=lambda r: r["partition"]):
        total += np.frombuffer(row["sums"])
    (evaluation,) = sums.read(total)
    require_rows(int(evaluation.rows), bad, features)
    return evaluation


def _plan(parameters: MixtureParameters, precision: str) -> Plan:
    """Plan for rows of which nothing is known but the mixture: centre and scale are the mixture's own."""
    mean, variance = parameters.moments()
    return plan_pass([parameters.shifted(-mean)], mean, np.sqrt(variance), precision)


def as_arrow_udf(task: Callable[..., pa.Array], returns: str) -> Callable[..., Column]:
    """Wrap a callable as a scalar Arrow UDF that is evaluated once.

    Its signature must be spelled out for Spark to accept it. It is called non-deterministic because Spark would push
    a filter on an output below the projection, and score every row a second time there.
    """

    def score(*columns: pa.Array) -> pa.Array:
        return task(*columns)

    wrapped: Callable[..., Column] = F.arrow_udf(score, returns).asNondeterministic()  # type: ignore[attr-defined]
    return wrapped
