"""Scoring: outputs for each row, appended by one Arrow UDF, and the evaluation of a mixture on a table.

Only the feature columns reach Python; the other columns never leave the JVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gmm_spark.core.kernels.evaluation import Evaluation, EvaluationSums
from gmm_spark.core.kernels.weight_kinds import FREQUENCY
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.measures import IncompleteMeasures
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features, require_distinct, require_rows
from gmm_spark.spark.decoding import MARGINAL
from gmm_spark.spark.folding import fold_table, plan_unseen
from gmm_spark.spark.names import name_folding
from gmm_spark.spark.observing import SCORES, SUMS, ObserveScores, Watch
from gmm_spark.spark.score_task import (
    FIELDS,
    IMPUTED,
    LOG_DENSITY,
    PREDICTION,
    PROBABILITY,
    REASONS,
    Explained,
    Score,
)

# Name of the struct's column, until its fields become columns themselves, and of the features' if they need one.
_STRUCT, _INPUT = "__gmm_spark_scores", "__gmm_spark_features"


def append_scores(
    table: DataFrame,
    parameters: MixtureParameters,
    features: Features,
    outputs: dict[str, str],
    handle_invalid: str,
    precision: str = "float64",
    threshold: float | Thresholds = -np.inf,
    watch: Watch | None = None,
    feature_names: Sequence[str] | None = None,
    component_ids: Sequence[int] = (),
    imputed: str | None = None,
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
    handle_invalid : {"error", "skip", "keep", "marginal"}
        A bad row fails the job, is dropped, or stays with null outputs. With the last it stays too, and the features
        are those of a table with missing values.
    precision : {"float64", "float32"}
    threshold : float or Thresholds
        Log-density, nats, below which a row is an anomaly; or one for each pattern of missing values.
    watch : Watch, optional
        Collects what the scored rows are like.
    feature_names : sequence of str, optional
        What reasons call the features; by default as the table does.
    component_ids : sequence of int
        Id of each component, if they are wanted.
    imputed : str, optional
        Append the features with missing values filled in, under their names and this suffix. Only if the features are
        those of a table with missing values.

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
    filled = [] if imputed is None else [f"{name}{imputed}" for name in features.columns]
    names = [*outputs.values(), *filled]
    clash = [name for name in names if fold(name) in there]
    if clash:
        raise DataError(f"the table already has {', '.join(map(repr, clash))}; name the output columns otherwise")
    require_distinct(table.sparkSession, names)
    if not names:
        return table
    if ours := {fold(_STRUCT), fold(_INPUT)} & there:
        raise DataError(f"the table has {', '.join(map(repr, sorted(ours)))}, a name that scoring needs; rename it")
    written = (*outputs, IMPUTED) if filled else tuple(outputs)
    wanted = written if watch is None else tuple(dict.fromkeys((*written, PREDICTION, LOG_DENSITY)))
    plan, strict = plan_unseen(parameters, precision, features), handle_invalid == "error"
    marginals = threshold.marginals if isinstance(threshold, Thresholds) else Marginals(parameters, precision)
    explained = Explained(marginals, feature_names or features.names) if REASONS in outputs else None
    ids, missing = tuple(component_ids), marginals if features.missing else None
    task = Score(plan, features, wanted, strict, threshold, explained, ids, missing)
    fields = ", ".join(f"{name}: {FIELDS[name]}" for name in written)
    arguments = features.expressions()
    if holds_user_defined_types(table):
        # Spark 4.3 evaluates a UDF above a columnar scan on columnar batches, which cannot hold a Vector, not even one
        # that the UDF does not read. An operator in between makes rows of them.
        table, arguments = append_unmerged(table, arguments[0], _INPUT), [F.col(_INPUT)]
    scores = F.col(_STRUCT)
    if watch is None:
        scored = append_unmerged(table, as_arrow_udf(task, f"struct<{fields}>")(*arguments), _STRUCT)
    else:
        udf = _as_observing_udf(task, written, fields, watch)
        scored = watch.attach(append_unmerged(table, udf(*arguments), _STRUCT), scores)
        scores = scores[SCORES]
    if handle_invalid == "skip":
        scored = scored.where(scores.isNotNull())
    keeps_bad = handle_invalid in ("keep", MARGINAL)
    appended = []
    for output, name in outputs.items():
        column = _to_vector(scores[output], keeps_bad) if output == PROBABILITY else scores[output]
        appended.append(column.alias(name, metadata=_ml_attributes(output, parameters.n_classes)))
    if filled:
        column = scores[IMPUTED]
        if features.form == "scalars":
            appended += [column[i].alias(name) for i, name in enumerate(filled)]
        else:
            appended.append((_to_vector(column, keeps_bad) if features.form == "vector" else column).alias(filled[0]))
    # The table's own columns are not named: after a join, two may have one name.
    return scored.select("*", *appended).drop(_STRUCT, _INPUT)


def _to_vector(column: Column, may_be_null: bool) -> Column:
    """Turn a column of arrays into one of Vectors."""
    from pyspark.ml.functions import array_to_vector  # imports pyspark.ml, which tasks do without

    vector = array_to_vector(column)  # fails on a null
    return F.when(column.isNotNull(), vector) if may_be_null else vector


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
    plan = plan_unseen(parameters, precision, features)
    sums = IncompleteMeasures(plan, Marginals(parameters, precision)) if features.missing else EvaluationSums(plan)
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
    task = ObserveScores(score.score, prediction, log_density, written, score.features, watch.sums)

    def observe(stream: Iterator[pa.Array]) -> Iterator[pa.Array]:  # Spark needs a function with annotations
        return task(stream)

    wrapped: Callable[..., Column] = F.arrow_udf(observe, f"struct<{SCORES}: struct<{fields}>, {SUMS}: binary>")  # type: ignore[attr-defined]
    return wrapped
