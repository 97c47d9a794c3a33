"""What the estimators share: from a table to packed blocks, and from what EM found to a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pyspark import keyword_only
from pyspark.sql import DataFrame

from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.settings import Settings
from gmm_spark.errors import DataError, GmmSparkError
from gmm_spark.ml.model import GaussianMixtureModel, GaussianMixtureSummary
from gmm_spark.ml.params import MixtureParams
from gmm_spark.spark.columns import Features, describe_bad, resolve_features
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import one_blas_thread

E = TypeVar("E", bound="MixtureFitting")


@dataclass(frozen=True, eq=False)
class Fitted:
    """What EM found for one setting, and how well it explains the table."""

    result: EMResult
    evaluation: Evaluation


class MixtureFitting(MixtureParams):
    """An estimator of mixtures: setters of what only fitting reads, and its steps."""

    _callback: Callable[[PassRecord], None] | None = None

    @keyword_only
    def setParams(self: E, **kwargs: Any) -> E:
        """Set any of the constructor's parameters; None leaves one as it is."""
        return self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def setMaxIter(self: E, value: int) -> E:
        """Set the largest number of passes."""
        return self._set(maxIter=value)

    def setTol(self: E, value: float) -> E:
        """Set the convergence tolerance, nats per row."""
        return self._set(tol=value)

    def setSeed(self: E, value: int) -> E:
        """Set the seed."""
        return self._set(seed=value)

    def setNInit(self: E, value: int) -> E:
        """Set the number of starts."""
        return self._set(nInit=value)

    def setInitMode(self: E, value: str) -> E:
        """Set how starts are drawn."""
        return self._set(initMode=value)

    def setRegCovar(self: E, value: float) -> E:
        """Set the regularisation, as a share of each feature's variance."""
        return self._set(regCovar=value)

    def setSampleRows(self: E, value: int) -> E:
        """Set the number of rows that starts are first run on; 0: the full table."""
        return self._set(sampleRows=value)

    def setAccelerate(self: E, value: bool) -> E:
        """Set whether extrapolated steps are tried."""
        return self._set(accelerate=value)

    def setCallback(self: E, callback: Callable[[PassRecord], None] | None) -> E:
        """Have ``callback`` called on the driver after each pass over the table; None stops that."""
        self._callback = callback
        return self

    def _settings(self, k: int, covariance_type: str) -> Settings:
        return Settings(
            k=k,
            covariance_type=covariance_type,
            max_iter=self.getMaxIter(),
            tol=self.getTol(),
            seed=self.getSeed(),
            n_init=self.getNInit(),
            init_mode=self.getInitMode(),
            reg_covar=self.getRegCovar(),
            accelerate=self.getAccelerate(),
            sample_rows=self.getSampleRows(),
        )

    def _resolve(self, dataset: DataFrame, width: int | None = None) -> Features:
        features = resolve_features(dataset, self.getFeaturesCol(), self.input_columns, self.weight_column, width=width)
        if features is None:
            raise DataError(f"featuresCol={self.getFeaturesCol()!r} is null in every row; check the filter")
        return features

    def _pack(self, dataset: DataFrame, features: Features) -> PackedTable:
        strict = self.getHandleInvalid() == "error"
        return PackedTable(dataset, features, strict=strict, precision=self.getPrecision())

    def _model(self, dataset: DataFrame, table: PackedTable, fitted: Fitted) -> GaussianMixtureModel:
        parameters = fitted.result.parameters.shifted(table.moments.mean)
        model = GaussianMixtureModel(parameters, list(table.features.names), fitted.evaluation.log_densities)
        self._copyValues(model)
        model._resetUid(self.uid)
        model._summary = GaussianMixtureSummary(model, dataset, fitted.result, fitted.evaluation, dict(table.bad))
        if degenerate := model._summary.degenerateComponents:
            warnings.warn(
                f"component(s) {', '.join(map(str, degenerate))} of k={parameters.n_components} have no weight: they "
                "starved or collapsed; lower k, or raise regCovar or nInit",
                RuntimeWarning,
                stacklevel=2,
            )
        return model


def require_fittable(table: PackedTable, settings: Settings) -> None:
    """Refuse what no fit could come from, before the first pass; raises DataError."""
    if table.rows < settings.k:
        skipped = f" ({describe_bad(table.bad)})" if table.bad else ""
        raise DataError(
            f"k={settings.k} but the input has {table.rows} valid row(s){skipped}; lower k or check the filter"
        )
    constant = table.moments.variance <= 0
    if constant.all() or (constant.any() and not structure(settings.covariance_type).fits_constant_features):
        named = [
            f"{name!r} ({value:g})"
            for name, value, same in zip(table.features.names, table.moments.low, constant, strict=True)
            if same
        ]
        raise DataError(
            f"{len(named)} feature(s) have one value in all {table.rows} row(s) that have weight: "
            f"{', '.join(named[:5])}{', ...' if len(named) > 5 else ''}; drop them, they carry no information"
        )
    if not np.isfinite(table.moments.variance).all():
        raise DataError("a feature's variance overflows float64; rescale the features")


def fit_together(
    table: PackedTable,
    settings: Sequence[Settings],
    callback: Callable[[PassRecord], None] | None,
    log_densities: bool = False,
) -> list[Fitted | GmmSparkError]:
    """Fit a mixture for each of several settings, in shared passes; the reason in place of one that has none.

    Evaluations have the distribution of the log-densities only if asked for.
    """
    outcomes: dict[int, Fitted | GmmSparkError] = {}
    for i, member in enumerate(settings):
        try:
            require_fittable(table, member)
        except DataError as error:
            outcomes[i] = error
    able = [i for i in range(len(settings)) if i not in outcomes]
    with one_blas_thread():
        found = sweep(table, table.sample, [settings[i] for i in able], callback)
    results = {i: one for i, one in zip(able, found, strict=True) if isinstance(one, EMResult)}
    outcomes.update({i: one for i, one in zip(able, found, strict=True) if not isinstance(one, EMResult)})
    if results:
        evaluations = table.evaluate_all([result.parameters for result in results.values()], log_densities)
        for (i, result), evaluation in zip(results.items(), evaluations, strict=True):
            outcomes[i] = Fitted(result, evaluation)
    return [outcomes[i] for i in range(len(settings))]
