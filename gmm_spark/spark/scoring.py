"""Scoring: outputs for each row, appended by one Arrow UDF, and the evaluation of a mixture on a table.

Only the feature columns reach Python; the other columns never leave the JVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gmm_spark.core.arrays import Block
from gmm_spark.core.drift.observation import ObservationSums
from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, Scores
from gmm_spark.core.kernels.weight_kinds import FREQUENCY
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.reasons import find_reasons
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import (
    Features,
    name_folding,
    require_distinct,
    require_rows,
    require_usable,
)
from gmm_spark.spark.decoding import Decoded
from gmm_spark.spark.folding import fold_table, plan_unseen
from gmm_spark.spark.observing import SCORES, SUMS, ObserveScores, Watch
from gmm_spark.spark.worker import one_blas_thread

# Fields of the UDF's struct, by what they hold.
PROBABILITY, PREDICTION, LOG_DENSITY = "probability", "prediction", "log_density"
ANOMALY, REASONS, COMPONENT_ID = "anomaly", "reasons", "component_id"
# In place of a component's id: the row is noise, which has none.
NOISE_ID = -1
_FIELDS = {
    PROBABILITY: "array<double>",
    PREDICTION: "int",
    COMPONENT_ID: "int",
    LOG_DENSITY: "double",
    ANOMALY: "boolean",
    REASONS: "array<struct<feature: string, z: double>>",
}
# Name of the struct's column, until its fields become columns themselves, and of the features' if they need one.
_STRUCT, _INPUT = "__gmm_spark_scores", "__gmm_spark_features"


@dataclass(frozen=True, eq=False)
class Explained:
    """What says why a row is an anomaly: the mixture in the table's own coordinates, and names of its features."""

    parameters: MixtureParameters
    names: Sequence[str]

    def explain(self, rows: Block, scores: Scores, odd: NDArray[np.bool_]) -> pa.Array:
        """List the reasons of the odd ones of rows (d, m), null for the others."""
        found = find_reasons(self.parameters, rows[:, odd], scores.prediction[odd])
        named = pa.array(self.names, pa.string()).take(pa.array(found.features.T.ravel()))
        reasons = pa.StructArray.from_arrays([named, pa.array(found.z.T.ravel())], names=["feature", "z"])
        ends = np.cumsum(np.append(0, odd), dtype=np.int32) * np.int32(len(found.z))
        return pa.ListArray.from_arrays(pa.array(ends, mask=np.append(~odd, False)), reasons)


@dataclass(frozen=True)
class Score:
    """UDF that turns the Arrow columns of a batch into a struct of the wanted outputs, null for a bad row."""

    plan: Plan
    features: Features
    wanted: tuple[str, ...]
    strict: bool
    threshold: float
    """Log-density, nats, below which a row is an anomaly."""
    explained: Explained | None = None
    """What reasons are found by; None if none are wanted."""
    ids: tuple[int, ...] = ()
    """Id of each component, if they are wanted; noise has -1."""

    def __call__(self, *columns: pa.Array) -> pa.Array:
        """Score one batch."""
        parts = [self.score(decoded) for decoded in self.features.decode_in_parts(columns)]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def score(self, decoded: Decoded) -> pa.StructArray:
        """Score the rows of a part of a batch."""
        require_usable(decoded.bad, self.features, self.strict)
        rows, _ = decoded.usable()
        with one_blas_thread():
            outputs = self._outputs(rows)
        if decoded.good is None:
            return pa.StructArray.from_arrays(outputs, names=list(self.wanted))
        # Take each row's output from those of the good rows; a null position gives a null.
        position = pa.array(np.cumsum(decoded.good) - 1, mask=~decoded.good)
        spread = [output.take(position) for output in outputs]
        return pa.StructArray.from_arrays(spread, names=list(self.wanted), mask=pa.array(~decoded.good))

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.plan)  # its buffers serve all batches of a task

    def _outputs(self, rows: Block) -> list[pa.Array]:
        k, m = self.plan.n_classes, rows.shape[1]
        scores = self._scorer.score(
            rows,
            prediction=not {PREDICTION, REASONS, COMPONENT_ID}.isdisjoint(self.wanted),
            log_density=not {PREDICTION, COMPONENT_ID}.issuperset(self.wanted),
            probability=PROBABILITY in self.wanted,
        )
        odd = scores.log_density < self.threshold
        found = {
            PREDICTION: pa.array(scores.prediction),
            LOG_DENSITY: pa.array(scores.log_density),
            ANOMALY: pa.array(odd),
        }
        if COMPONENT_ID in self.wanted:
            found[COMPONENT_ID] = pa.array(np.array([*self.ids, NOISE_ID], np.int32)[scores.prediction])
        if self.explained is not None:
            found[REASONS] = self.explained.explain(rows, scores, odd)
        if scores.probability is not None:
            offsets = pa.array(np.arange(0, (m + 1) * k, k, dtype=np.int32))
            found[PROBABILITY] = pa.ListArray.from_arrays(offsets, pa.array(scores.probability.ravel()))
        return [found[name] for name in self.wanted]


def append_scores(
    table: DataFrame,
    parameters: MixtureParameters,
    features: Features,
    outputs: dict[str, str],
    handle_invalid: str,
    precision: str = "float64",
    threshold: float = -np.inf,
    watch: Watch | None = None,
    feature_names: Sequence[str] | None = None,
    component_ids: Sequence[int] = (),
) -> DataFrame:
    """Append per-row outputs to a table.

    Parameters
    ----------
    table : DataFrame
    parameters : MixtureParameters
    features : Features
        Of the model's width.
    outputs : dict
        Column name of each output (probability, prediction, component_id, log_density, anomaly, reasons), in the order
        they are appended.
    handle_invalid : {"error", "skip", "keep"}
        A bad row fails the job, is dropped, or stays with null outputs.
    precision : {"float64", "float32"}
    threshold : float
        Log-density, nats, below which a row is an anomaly.
    watch : Watch, optional
        Collects what the scored rows are like.
    feature_names : sequence of str, optional
        What reasons call the features; by default as the table does.
    component_ids : sequence of int
        Id of each component, if they are wanted.

    Raises
    ------
    DataError
        If the table already has a column of such a name, or of one that scoring needs, or the mixture does not fit the
        range of the precision.
    ParameterError
        If two outputs have one name.
    """
    fold = name_folding(table.sparkSession)
    there = set(map(fold, table.columns))
    clash = [name for name in outputs.values() if fold(name) in there]
    if clash:
        raise DataError(f"the table already has {', '.join(map(repr, clash))}; name the output columns otherwise")
    require_distinct(table.sparkSession, list(outputs.values()))
    if not outputs:
        return table
    if ours := {fold(_STRUCT), fold(_INPUT)} & there:
        raise DataError(f"the table has {', '.join(map(repr, sorted(ours)))}, a name that scoring needs; rename it")
    wanted = tuple(outputs) if watch is None else tuple(dict.fromkeys((*outputs, PREDICTION, LOG_DENSITY)))
    plan, strict = plan_unseen(parameters, precision, features), handle_invalid == "error"
    explained = Explained(parameters, feature_names or features.names) if REASONS in outputs else None
    task = Score(plan, features, wanted, strict, threshold, explained, tuple(component_ids))
    fields = ", ".join(f"{name}: {_FIELDS[name]}" for name in outputs)
    arguments = features.expressions()
    if holds_user_defined_types(table):
        # Spark 4.3 evaluates a UDF above a columnar scan on columnar batches, which cannot hold a Vector, not even one
        # that the UDF does not read. An operator in between makes rows of them.
        table, arguments = append_unmerged(table, arguments[0], _INPUT), [F.col(_INPUT)]
    scores = F.col(_STRUCT)
    if watch is None:
        scored = append_unmerged(table, as_arrow_udf(task, f"struct<{fields}>")(*arguments), _STRUCT)
    else:
        udf = _as_observing_udf(task, tuple(outputs), fields, watch)
        scored = watch.attach(append_unmerged(table, udf(*arguments), _STRUCT), scores)
        scores = scores[SCORES]
    if handle_invalid == "skip":
        scored = scored.where(scores.isNotNull())
    from pyspark.ml.functions import array_to_vector  # imports pyspark.ml, which tasks do without

    appended = []
    for output, name in outputs.items():
        column = scores[output]
        if output == PROBABILITY:
            vector = array_to_vector(column)  # fails on a null
            column = F.when(column.isNotNull(), vector) if handle_invalid == "keep" else vector
        appended.append(column.alias(name, metadata=_ml_attributes(output, parameters.n_classes)))
    # The table's own columns are not named: after a join, two may have one name.
    return scored.select("*", *appended).drop(_STRUCT, _INPUT)


def append_unmerged(table: DataFrame, column: Column, name: str) -> DataFrame:
    """Append a column that no filter on it makes Spark compute twice.

    Spark pushes a filter on a projected column below the projection, and computes the column there as well; if it is
    declared non-deterministic, no filter is pushed at all, and one on a partition column reads every partition. Of the
    rows that ``explode`` makes, only filters on the table's own columns are pushed below.
    """
    return table.select("*", F.explode(F.array(column)).alias(name))


def holds_user_defined_types(table: DataFrame) -> bool:
    """Tell whether a column, or a part of one, is of a user-defined type, as Vectors are."""
    return '"type":"udt"' in table.schema.json()


def _ml_attributes(output: str, k: int) -> dict[str, Any]:
    """Return the metadata that pyspark.ml's own model gives an output, by which later stages know sizes unread."""
    attributes: dict[str, dict[str, Any]] = {
        PROBABILITY: {"num_attrs": k},
        PREDICTION: {"type": "nominal", "num_vals": k},
    }
    return {"ml_attr": attributes[output]} if output in attributes else {}


def evaluate(
    table: DataFrame,
    parameters: MixtureParameters,
    features: Features,
    strict: bool,
    precision: str = "float64",
    weight_kind: str = FREQUENCY,
) -> Evaluation:
    """Evaluate a mixture on a table: one read, nothing written. Rows are counted as the kind of their weights says.

    Raises
    ------
    DataError
        If a row is bad and ``strict``, no good row has weight, or the table is a stream.
    """
    sums = EvaluationSums(plan_unseen(parameters, precision, features))
    vector, bad = fold_table(table, sums, features, strict, weight_kind)
    (evaluation,) = sums.read(vector)
    require_rows(int(evaluation.rows), bad, features)
    return evaluation.counted(weight_kind)


def as_arrow_udf(task: Callable[..., pa.Array], returns: str) -> Callable[..., Column]:
    """Wrap a callable as a scalar Arrow UDF."""

    def score(*columns: pa.Array) -> pa.Array:  # Spark needs a function with annotations
        return task(*columns)

    wrapped: Callable[..., Column] = F.arrow_udf(score, returns)  # type: ignore[attr-defined]
    return wrapped


def _as_observing_udf(score: Score, written: tuple[str, ...], fields: str, watch: Watch) -> Callable[..., Column]:
    """Wrap a score as an iterator UDF, which also sums what the rows are like."""
    prediction, log_density = map(score.wanted.index, (PREDICTION, LOG_DENSITY))
    task = ObserveScores(score.score, prediction, log_density, written, score.features, ObservationSums(watch.profile))

    def observe(stream: Iterator[pa.Array]) -> Iterator[pa.Array]:  # Spark needs a function with annotations
        return task(stream)

    wrapped: Callable[..., Column] = F.arrow_udf(observe, f"struct<{SCORES}: struct<{fields}>, {SUMS}: binary>")  # type: ignore[attr-defined]
    return wrapped
