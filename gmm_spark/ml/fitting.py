"""The steps that the estimators share: resolve the columns, pack the table, build the model from what EM found."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyspark import keyword_only
from pyspark.ml.util import MLWritable
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.core.checks.check import SEVERITIES, Check
from gmm_spark.core.checks.evidence import Evidence, Grid, HeldOut
from gmm_spark.core.checks.registry import run_checks
from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.missing.counts import Missing
from gmm_spark.core.missing.known import incomplete
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.portrait.frame import LEAST_LIKELY, Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.core.settings import Settings
from gmm_spark.core.update.memory import Memory
from gmm_spark.errors import DataError, ParameterError, ResourceError
from gmm_spark.ml.identifying import HasPreviousModel
from gmm_spark.ml.inputs import require_table
from gmm_spark.ml.metadata import ParamsReader, ParamsWriter
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.ml.params import HasPacking, HasPortrait, HasVerbose, MixtureParams
from gmm_spark.ml.progress import Callback, show_fit
from gmm_spark.ml.summary import Fitted, GaussianMixtureSummary
from gmm_spark.spark.columns import Features, require_distinct, resolve_features
from gmm_spark.spark.decoding import MARGINAL, describe_bad
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.spark.packing.answers import AnswerStore
from gmm_spark.spark.packing.limits import require_memory
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.ranges import require_float32_range
from gmm_spark.spark.worker import one_blas_thread

E = TypeVar("E", bound="MixtureFitting")

RowsCheck: TypeAlias = Callable[[Features, int, Mapping[str, int]], None]
"""Looks at a packed table: its features, the number of usable rows, and the numbers of bad ones by reason."""

# Checks that packing the table has warned of: that is before a long fit.
_WARNED_BEFORE = ("column-rounded",)
# Checks of one code that a warning tells of.
_WARNED_OF = 3


class MixtureFitting(MixtureParams, HasPreviousModel, HasPacking, HasPortrait, HasVerbose, MLWritable):
    """Base of the estimators: setters of the parameters that only a fit reads, and the steps of a fit."""

    _callback: Callback | None = None
    _answers: AnswerStore | None = None
    _rows_check: RowsCheck | None = None

    @keyword_only
    def setParams(self: E, **kwargs: Any) -> E:
        """Set any parameters of the constructor; None sets a parameter back to its default."""
        return self._set(**kwargs)

    def setMaxIter(self: E, value: int) -> E:
        """Set how many passes EM makes over the full table at most."""
        return self._set(maxIter=value)

    def setTol(self: E, value: float) -> E:
        """Set the change of the mean log-likelihood, nats per row, below which EM has converged."""
        return self._set(tol=value)

    def setSeed(self: E, value: int) -> E:
        """Set the seed of everything random."""
        return self._set(seed=value)

    def setNInit(self: E, value: int) -> E:
        """Set the number of starts."""
        return self._set(nInit=value)

    def setInitMode(self: E, value: str) -> E:
        """Set how starts are drawn."""
        return self._set(initMode=value)

    def setRegCovar(self: E, value: float) -> E:
        """Set the least variance along each feature, as a share of the feature's variance; 0 for none."""
        return self._set(regCovar=value)

    def setVarianceFloor(self: E, value: Sequence[float]) -> E:
        """Set the least variance along each feature, in the feature's squared units."""
        return self._set(varianceFloor=value)

    def setSampleRows(self: E, value: int) -> E:
        """Set the number of rows that starts are drawn from and first run on; with 0 they run on the full table."""
        return self._set(sampleRows=value)

    def setAccelerate(self: E, value: bool) -> E:
        """Set whether extrapolated steps are tried."""
        return self._set(accelerate=value)

    def setPacking(self: E, value: str) -> E:
        """Set what reads the rows of a fit: "auto", "spark" or "parquet"."""
        return self._set(packing=value)

    def setPortrait(self: E, value: bool) -> E:
        """Set whether a fit ends with a pass that takes a portrait of the rows."""
        return self._set(portrait=value)

    def setVerbose(self: E, value: bool) -> E:
        """Set whether a fit shows its progress."""
        return self._set(verbose=value)

    def setCallback(self: E, callback: Callback | None) -> E:
        """Call ``callback`` on the driver after each pass over the table; None removes it."""
        self._callback = callback
        return self

    def setAnswerStore(self: E, store: AnswerStore | None) -> E:
        """Keep the sums of every pass in ``store``: a fit to the same rows that has it does not make them again."""
        self._answers = store
        return self

    def setRowsCheck(self: E, check: RowsCheck | None) -> E:
        """Call ``check`` once the table is packed, before the first pass. An error that it raises ends the fit."""
        self._rows_check = check
        return self

    def write(self) -> ParamsWriter:
        """Return a writer: ``estimator.write().overwrite().save(path)``."""
        return ParamsWriter(self)

    @classmethod
    def read(cls) -> ParamsReader:
        """Return a reader: ``GaussianMixture.read().load(path)``."""
        return ParamsReader(cls)

    def _settings(self, k: int, covariance_type: str, noise: bool = Settings.noise) -> Settings:
        """Return the parameters under the names that core knows them by."""
        return Settings(
            k=k,
            covariance_type=covariance_type,
            max_iter=self.getMaxIter(),
            tol=self.getTol(),
            seed=self.getSeed(),
            n_init=self.getNInit(),
            init_mode=self.getInitMode(),
            reg_covar=self.getRegCovar(),
            variance_floor=tuple(self.getVarianceFloor()) if self.isDefined(self.varianceFloor) else None,
            accelerate=self.getAccelerate(),
            sample_rows=self.getSampleRows(),
            weight_kind=self.getWeightKind(),
            noise=noise,
        )

    def _named(self, dataset: DataFrame) -> AbstractContextManager[None]:
        """Describe Spark's jobs by this estimator, unless the user has described them."""
        return describe_jobs(dataset.sparkSession, f"{type(self).__name__} fit", unless_named=True)

    def _shown(self) -> AbstractContextManager[Callback | None]:
        """Show the fit if it is verbose; gives what is to hear of each pass."""
        return show_fit(self.getVerbose(), self.getMaxIter(), self._callback)

    def _resolve(self, dataset: DataFrame, width: int | None = None) -> Features:
        """Find the features in the table's columns; raises DataError or ParameterError if they cannot be used."""
        require_table(dataset)
        require_distinct(dataset.sparkSession, list(self.output_columns.values()))  # not after a long fit
        features = resolve_features(dataset, self.getFeaturesCol(), self.input_columns, self.weight_column, width=width)
        if features is None:
            raise DataError(f"featuresCol={self.getFeaturesCol()!r} is null in every row; check the filter")
        self._require_previous(features)
        return replace(features, missing=self.getHandleInvalid() == MARGINAL)

    def _pack(self, dataset: DataFrame, features: Features) -> PackedTable:
        """Read the table once, into blocks on the executors' disks."""
        strict = self.getHandleInvalid() == "error"
        return PackedTable(
            dataset,
            features,
            strict=strict,
            precision=self.getPrecision(),
            weight_kind=self.getWeightKind(),
            packing=self.getPacking(),
            answers=self._answers,
            held_rows=self.getSampleRows(),
        )

    def _check_rows(self, features: Features, *tables: PackedTable) -> None:
        """Let the check of rows see what was packed."""
        if self._rows_check is not None:
            bad = sum((table.bad for table in tables), Counter[str]())
            self._rows_check(features, sum(table.rows for table in tables), bad)

    def _build_model(
        self,
        dataset: DataFrame,
        table: PackedTable,
        fitted: Fitted,
        skipped: Mapping[str, int] | None = None,
        grid: Grid | None = None,
        held_out: HeldOut | None = None,
    ) -> GaussianMixtureModel:
        """Return what EM found as a model, in the table's own coordinates, with this estimator's parameters.

        It checks itself; what is serious becomes a warning.

        Parameters
        ----------
        dataset : DataFrame
            What was fitted, for the summary.
        table : PackedTable
            The same, packed.
        fitted : Fitted
        skipped : mapping of str to int, optional
            Rows left out, by reason; by default those of the table.
        grid : Grid, optional
            What a selector has chosen from.
        held_out : HeldOut, optional
        """
        parameters = fitted.result.parameters
        moved = parameters.shifted(table.moments.mean)
        skipped = dict(table.bad if skipped is None else skipped)
        portrait = _portray(table, fitted) if self.getPortrait() else None
        missing = Missing.of(table.patterns, table.features.names)
        profile = TrainingProfile.of(fitted.evaluation, table.moments, fitted.profile, sum(skipped.values()))
        log_densities = fitted.evaluation.log_densities
        with one_blas_thread():
            identities, changes = self._identify(moved, table.features)
        model = GaussianMixtureModel(moved, list(table.features.names), log_densities, profile, identities)
        model.logDensitiesByPattern = incomplete(fitted.evaluation.log_densities_by_pattern)
        model.memory = Memory(fitted.evaluation.weight_sum, fitted.floor, parameters.weights)
        self._copyValues(model)
        model._resetUid(self.uid)
        evidence = Evidence(
            names=table.features.names,
            settings=self._settings(parameters.n_components, parameters.covariance_type, parameters.noise is not None),
            result=fitted.result,
            evaluation=fitted.evaluation,
            moments=table.moments,
            sample=fitted.sample,
            profile=fitted.profile,
            floor=fitted.floor,
            precision=table.precision,
            skipped=skipped,
            rounded=table.rounded,
            grid=grid,
            held_out=held_out,
        )
        with one_blas_thread():
            checks = run_checks(evidence)
        score = partial(model.transform, dataset)
        model._summary = GaussianMixtureSummary(fitted, skipped, checks, model, score, table.blocks.record, missing)
        model._summary.changes = changes
        if self.getPortrait():
            model._summary.portrait = portrait
            with one_blas_thread():
                model._summary.mergeTree = MergeTree.of(moved, *fitted.sample)
        _warn_of(checks)
        return model


def require_holdable(spark: SparkSession, settings: Sequence[Settings], d: int, initial: bool = False) -> None:
    """Refuse, before any task, mixtures of d features of which none can be held in memory.

    Parameters
    ----------
    spark : SparkSession
    settings : sequence of Settings
        One for each mixture.
    d : int
    initial : bool
        Whether the start is given: then none are drawn.

    Raises
    ------
    ResourceError
        The error of the first.
    """
    refusals = []
    for one in settings:
        try:
            require_memory(spark, one.covariance_type, one.k, d, 1 if initial else one.n_init)
        except ResourceError as error:
            refusals.append(error)
    if refusals and len(refusals) == len(settings):
        raise refusals[0]


def _portray(table: PackedTable, fitted: Fitted) -> Portrait | None:
    """Take the portrait of a packed table; None, with a warning, if it cannot be taken: the fit stands."""
    candidate, profile, histogram = fitted.result.parameters, fitted.profile, fitted.evaluation.log_densities
    threshold = None if histogram is None else histogram.quantile(LEAST_LIKELY)
    moved = candidate.shifted(table.moments.mean)
    with one_blas_thread():
        frame = Frame.of(moved, profile.quartiles, profile.step, profile.mode, threshold)
    try:
        return table.portray(candidate, frame)
    except ResourceError as error:
        warnings.warn(f"the fit has no portrait: {error}", RuntimeWarning, stacklevel=3)
        return None


def _warn_of(checks: Sequence[Check]) -> None:
    """Warn of serious checks, once for each code: a wide table may have hundreds of one."""
    serious = [one for one in checks if one.severity == SEVERITIES[0] and one.code not in _WARNED_BEFORE]
    for code, group in groupby(serious, key=lambda check: check.code):
        of_code = list(group)
        told = " ".join(check.meaning for check in of_code[:_WARNED_OF])
        more = f" And {len(of_code) - _WARNED_OF} more of {code}." if len(of_code) > _WARNED_OF else ""
        warnings.warn(f"{told}{more} {of_code[0].remedy}", RuntimeWarning, stacklevel=3)


def require_fittable(table: PackedTable, settings: Settings) -> None:
    """Refuse, before the first pass, a table that no mixture can be fitted to.

    Raises
    ------
    ParameterError
        If the floor under variances is not one number for each feature.
    DataError
        If there are fewer rows than components, a feature is constant, or a variance leaves the range of float64 or
        of the precision.
    """
    floor = settings.variance_floor
    if floor is not None and len(floor) != table.features.width:
        raise ParameterError(
            f"varianceFloor has {len(floor)} number(s) and the table {table.features.width} feature(s); "
            "give one for each feature"
        )
    if table.rows < settings.k:
        skipped = f" ({describe_bad(table.bad)})" if table.bad else ""
        raise DataError(
            f"k={settings.k} but the input has {table.rows} valid row(s){skipped}; lower k or check the filter"
        )
    unobserved = ~(table.moments.observed > 0)
    if unobserved.any():
        raise DataError(
            f"{unobserved.sum()} feature(s) have no value in any row that has weight: {_name_some(table, unobserved)}; "
            "drop them"
        )
    constant = table.moments.constant
    # Noise has a box, and a constant feature no width.
    fits_constant = structure(settings.covariance_type).fits_constant_features and not settings.noise
    if constant.all() or (constant.any() and not fits_constant):
        named = _name_some(table, constant, [f" ({value:g})" for value in table.moments.low])
        raise DataError(
            f"{constant.sum()} feature(s) have one value in all {table.rows} row(s) that have weight: "
            f"{named}; drop them, they carry no information"
        )
    require_range(table)
    vanishing = ~constant & (table.moments.variance < np.finfo(float).tiny)
    if (constant | vanishing).all() or (vanishing.any() and not fits_constant):
        raise DataError(
            f"the variance of {vanishing.sum()} feature(s) underflows float64, whose least is about 1e-308: "
            f"{_name_some(table, vanishing)}; multiply them by a constant"
        )


def require_range(table: PackedTable) -> None:
    """Refuse, before the first pass, rows whose variances leave the range of float64 or of the precision.

    Raises
    ------
    DataError
        If so.
    """
    if not np.isfinite(table.moments.variance).all():
        raise DataError("a feature's variance overflows float64; rescale the features")
    if table.precision == "float32":
        require_float32_range(table.features.names, np.sqrt(table.moments.variance), table.rows)


def _name_some(table: PackedTable, wanted: NDArray[np.bool_], remarks: Sequence[str] = ()) -> str:
    """Name up to five of the features that are wanted, each with a remark if there are remarks."""
    found = np.flatnonzero(wanted)
    named = [f"{table.features.names[i]!r}{remarks[i] if remarks else ''}" for i in found[:5]]
    return ", ".join(named) + (", ..." if len(found) > 5 else "")
