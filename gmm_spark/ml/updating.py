"""Updating: a model is brought up to date by today's rows, with what it remembers of yesterday's."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from pyspark.sql import DataFrame

from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.weight_kinds import IMPORTANCE
from gmm_spark.core.missing.known import incomplete
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.core.mixture.changes import list_changes
from gmm_spark.core.mixture.matching import pair_components
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.steps import step
from gmm_spark.core.update.blending import Known, blend_log_densities, blend_profiles
from gmm_spark.core.update.likeness import join_patterns, list_by_pattern
from gmm_spark.core.update.memory import Memory
from gmm_spark.core.update.updating import Updated, find_decay, update
from gmm_spark.core.update.verdict import Today, Verdict, judge, measure
from gmm_spark.errors import DegenerateComponentError, ParameterError
from gmm_spark.local.rows import describe_type
from gmm_spark.ml.fitting import MixtureFitting, require_range
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.ml.params import GaussianMixtureParams
from gmm_spark.ml.summary import Fitted
from gmm_spark.ml.watching import Watch
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import one_blas_thread


class MixtureUpdate(MixtureFitting, GaussianMixtureParams):
    """The steps of an update, with the parameters of the model."""

    @classmethod
    def of(cls, model: GaussianMixtureModel) -> MixtureUpdate:
        """Return an update by the parameters that a model was fitted with."""
        if not isinstance(model, GaussianMixtureModel):
            raise ParameterError(f"the model to update is {describe_type(model)}; need a GaussianMixtureModel")
        made = cls()
        model._copyValues(made)
        made._resetUid(model.uid)
        return made

    def update(
        self,
        model: GaussianMixtureModel,
        today: DataFrame,
        half_life: float,
        elapsed: float,
        day: str | None,
        max_iter: int,
    ) -> GaussianMixtureModel:
        """Return the model brought up to date; see :meth:`gmm_spark.GaussianMixture.update`."""
        memory, decay = require_memory(model), find_decay(half_life, elapsed)
        self.check_params()
        if max_iter < 1:
            raise ParameterError(f"maxIter={max_iter}; need at least 1")
        if day is not None and day in memory.days:
            warnings.warn(f"the model has seen the rows of {day!r}: it stays as it is", RuntimeWarning, stacklevel=3)
            return model
        features = self._resolve(today, model.numFeatures)
        with (
            self._named(today),
            self._shown() as callback,
            one_blas_thread(),
            self._pack(today, features) as table,
        ):
            self._check_rows(features, table)
            require_range(table)
            old, new = decay * memory.weight, self._weigh(table)
            before = model.parameters.shifted(-table.moments.mean)
            units = table.moments.weights.total if self.getWeightKind() == IMPORTANCE else table.moments.weight_sum
            watch = Watch(table, max_iter, callback)
            try:
                # In units of the sums of a pass: importance weights have a unit of their own there.
                found = update(table, before, old * units / new, units, memory.floor, max_iter, self.getTol(), watch)
            except DegenerateComponentError as error:
                raise DegenerateComponentError(f"{error}; or fit the model anew") from error
            sample = table.sample(self._settings(model.getK(), model.getCovarianceType()).rows_to_draw, self.getSeed())
            # Both in one pass: what the mixture before makes of today's rows tells of clusters that are new.
            old_view, evaluation = table.evaluate_all([before, found.result.parameters], log_densities=True)
            profile = ColumnProfile.of(*sample)
            fitted = Fitted(found.result, evaluation, profile, memory.floor, sample)
            updated = self._build_model(today, table, fitted)
            measured = _measure(model, memory)
            with step("judge"):
                verdict = _judge(model, updated, measured, found, (old_view, evaluation), table, units)
        self._blend(model, updated, memory, old, (evaluation, units))
        weight = old + evaluation.weight_sum
        updated.memory = replace(measured, weight=weight, days=memory.add_day(day))
        updated.identities = model.identities
        known = model.identities
        pairs = pair_components(model.parameters, updated.parameters)
        weights = model.parameters.class_weights.tolist(), updated.parameters.class_weights.tolist()
        updated.summary.changes = list_changes(pairs, known, known, *weights)
        updated.summary.update = verdict
        return updated

    def _blend(
        self,
        model: GaussianMixtureModel,
        updated: GaussianMixtureModel,
        memory: Memory,
        weight: float,
        seen: tuple[Evaluation, float],
    ) -> None:
        """Give the updated model what is known of all rows that it remembers, in place of what is of today's.

        Parameters
        ----------
        weight : float
            What earlier rows weigh today.
        seen : tuple of Evaluation and float
            Of today's rows, and what they weigh in its histograms.
        """
        before, today = (
            Known(
                one.parameters,
                join_patterns(one.logDensities, one.logDensitiesByPattern, one.numFeatures),
                one.trainingProfile,
                weighs,
            )
            for one, weighs in ((model, weight), (updated, seen[0].weight_sum))
        )
        # Histograms count weight as memories do, but that of a fit by importance weights has a unit of its own.
        total = sum(float(one.weights.sum()) for one in before.log_densities.values())
        of_fit = self.getWeightKind() == IMPORTANCE and memory.shortfall is None
        factors = weight / (total if of_fit and total else memory.weight), today.weight / seen[1]
        blended = blend_log_densities(before, today, factors)
        updated.logDensities = blended.get(write_pattern(np.zeros(model.numFeatures, bool)))
        updated.logDensitiesByPattern = incomplete(blended)
        updated.trainingProfile = blend_profiles(before, today, updated.logDensities)

    def _weigh(self, table: PackedTable) -> float:
        """Return what today's rows weigh, as criteria count them."""
        moments = table.moments
        return moments.weights.effective_rows if self.getWeightKind() == IMPORTANCE else moments.weight_sum


def require_memory(model: GaussianMixtureModel) -> Memory:
    """Return what a model remembers of its rows.

    Raises
    ------
    ParameterError
        If it remembers none.
    """
    if model.memory is None:
        raise ParameterError(
            "this model remembers no rows, so it cannot be updated: it was built from parameters, saved by an older "
            "gmm_spark, or saved without Spark; fit it to a table first (setInitialModel starts from it)"
        )
    return model.memory


def _measure(model: GaussianMixtureModel, memory: Memory) -> Memory:
    """Return the memory with how well the model described the rows of its last fit, if that is not known yet."""
    if memory.shortfall is not None:
        return memory
    profile = model.trainingProfile
    mean = None if profile is None or profile.missing is not None else profile.mean_log_density
    seen = join_patterns(model.logDensities, model.logDensitiesByPattern, model.numFeatures)
    shortfall, gap, strange = measure(model.parameters, mean, seen)
    return replace(memory, shortfall=shortfall, gap=gap, strange=strange)


def _judge(
    model: GaussianMixtureModel,
    updated: GaussianMixtureModel,
    memory: Memory,
    found: Updated,
    evaluations: tuple[Evaluation, Evaluation],
    table: PackedTable,
    units: float,
) -> Verdict:
    """Judge an update by what its passes found, and the evaluations of the mixture before and after it.

    Histograms are in the units of the table's sums.
    """
    old, new = evaluations
    seen = list_by_pattern(new, model.numFeatures)
    today = Today(
        rows=table.moments.weights.effective_rows,
        log_density_before=old.log_likelihood / old.weight_sum,
        log_density=new.log_likelihood / new.weight_sum,
        log_densities_before=list_by_pattern(old, model.numFeatures),
        log_densities=seen,
        incomplete=new.incomplete,
        judged=min(sum(float(one.weights.sum()) for one in seen.values()) / units, 1.0),
        shares=(found.last.resp_sum / found.last.weight_sum).tolist(),
    )
    return judge(model.parameters, updated.parameters, memory, today)
