"""What a task does to score rows: it turns the decoded features of a batch into a struct of the wanted outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gmm_spark.core.arrays import Block
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, Scores
from gmm_spark.core.missing.imputation import impute
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.scorer import IncompleteScorer, find_observed_reasons
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.spark.columns import Features, require_usable
from gmm_spark.spark.decoding import Decoded
from gmm_spark.spark.worker import one_blas_thread

# Fields of the UDF's struct, by what they hold.
PROBABILITY, PREDICTION, LOG_DENSITY = "probability", "prediction", "log_density"
ANOMALY, REASONS, COMPONENT_ID, IMPUTED = "anomaly", "reasons", "component_id", "imputed"
FIELDS = {
    PROBABILITY: "array<double>",
    PREDICTION: "int",
    COMPONENT_ID: "int",
    LOG_DENSITY: "double",
    ANOMALY: "boolean",
    REASONS: "array<struct<feature: string, z: double>>",
    IMPUTED: "array<double>",
}


@dataclass(frozen=True, eq=False)
class Explained:
    """What says why a row is an anomaly: the mixture in the table's own coordinates, and names of its features."""

    marginals: Marginals
    names: Sequence[str]

    def explain(self, rows: Block, scores: Scores, odd: NDArray[np.bool_]) -> pa.Array:
        """List the reasons of the odd ones of rows (d, m), null for the others."""
        found = find_observed_reasons(self.marginals, rows[:, odd], scores.prediction[odd])
        given = found.features.T >= 0  # fewer than the others have if fewer features are observed
        named = pa.array(self.names, pa.string()).take(pa.array(found.features.T[given]))
        reasons = pa.StructArray.from_arrays([named, pa.array(found.z.T[given])], names=["feature", "z"])
        lengths = np.zeros(len(odd), np.int32)
        lengths[odd] = given.sum(axis=1)
        ends = np.append(0, np.cumsum(lengths)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends, mask=np.append(~odd, False)), reasons)


@dataclass(frozen=True)
class Score:
    """UDF that turns the Arrow columns of a batch into a struct of the wanted outputs, null for a bad row."""

    plan: Plan
    features: Features
    wanted: tuple[str, ...]
    strict: bool
    threshold: float | Thresholds
    """Log-density, nats, below which a row is an anomaly; or one for each pattern of missing values."""
    explained: Explained | None = None
    """What reasons are found by; None if none are wanted."""
    ids: tuple[int, ...] = ()
    """Id of each component, if they are wanted, noise last."""
    marginals: Marginals | None = None
    """What rows with missing values are scored by; None if there are none."""

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
    def _scorer(self) -> Scorer | IncompleteScorer:
        # Its buffers serve all batches of a task, and so does what is made for a pattern.
        return Scorer(self.plan) if self.marginals is None else IncompleteScorer(self.marginals, self.plan)

    def _outputs(self, rows: Block) -> list[pa.Array]:
        k, m = self.plan.n_classes, rows.shape[1]
        scores = self._scorer.score(
            rows,
            prediction=not {PREDICTION, REASONS, COMPONENT_ID}.isdisjoint(self.wanted),
            log_density=not {LOG_DENSITY, ANOMALY, REASONS}.isdisjoint(self.wanted),
            probability=PROBABILITY in self.wanted,
        )
        found = {PREDICTION: pa.array(scores.prediction), LOG_DENSITY: pa.array(scores.log_density)}
        if not {ANOMALY, REASONS}.isdisjoint(self.wanted):
            odd = self._find_anomalies(rows, scores)
            found[ANOMALY] = pa.array(odd)
            if self.explained is not None:
                found[REASONS] = self.explained.explain(rows, scores, odd)
        if COMPONENT_ID in self.wanted:
            found[COMPONENT_ID] = pa.array(np.array(self.ids, np.int32)[scores.prediction])
        if IMPUTED in self.wanted:
            found[IMPUTED] = self._impute(rows)
        if scores.probability is not None:
            offsets = pa.array(np.arange(0, (m + 1) * k, k, dtype=np.int32))
            found[PROBABILITY] = pa.ListArray.from_arrays(offsets, pa.array(scores.probability.ravel()))
        return [found[name] for name in self.wanted]

    def _find_anomalies(self, rows: Block, scores: Scores) -> NDArray[np.bool_]:
        if isinstance(self.threshold, Thresholds):
            return self.threshold.find_anomalies(rows, scores.log_density)
        return np.asarray(scores.log_density < self.threshold)

    def _impute(self, rows: Block) -> pa.Array:
        assert isinstance(self._scorer, IncompleteScorer)
        d, m = rows.shape
        filled = impute(self._scorer, rows)
        return pa.ListArray.from_arrays(
            pa.array(np.arange(0, (m + 1) * d, d, dtype=np.int32)), pa.array(filled.T.ravel())
        )
