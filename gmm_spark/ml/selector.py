"""GaussianMixtureSelector: chooses the number of components and the covariance structure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pyspark import keyword_only
from pyspark.ml.base import Estimator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.settings import SAMPLE_ROWS
from gmm_spark.errors import DataError, DegenerateComponentError, GmmSparkError
from gmm_spark.ml.comparison import SIGNS, Selection, SelectionRow
from gmm_spark.ml.fitting import Fitted, MixtureFitting, fit_together
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.spark.held_out import held_out_split
from gmm_spark.spark.packing.table import PackedTable


class GaussianMixtureSelector(
    Estimator[GaussianMixtureModel],
    MixtureFitting,
    DefaultParamsReadable["GaussianMixtureSelector"],
    DefaultParamsWritable,
):
    """Fits mixtures of several k and structures in shared passes over one packed table; ``fit`` returns the best.

    The model is one of :class:`gmm_spark.GaussianMixture`'s, and ``model.summary.selection`` lists every mixture that
    was tried with its criteria; one that could not be fitted is listed with the reason. Of each mixture's ``nInit``
    starts the best on a sample of up to 100,000 rows goes on over the table.

    Parameters
    ----------
    ks : list of int
        Numbers of components to try, >= 1.
    covarianceTypes : list of {"full", "tied", "diag", "spherical"}
        Structures to try, each with every k.
    criterion : {"bic", "aic", "icl", "heldout"}
        What decides: the smallest of the first three, taken on the rows that were fitted, or the largest mean
        log-likelihood of the rows held out.
    validationFraction : float
        Share of the rows to hold out, from 0 (none) to below 1. Which rows follows from their feature values and
        the seed, whatever the partitions. No mixture is fitted to them, the returned one included; to have it fitted
        to all rows, ``GaussianMixture().setInitialModel(best).fit(table)``.
    featuresCol, inputCols, weightCol, predictionCol, probabilityCol, logDensityCol, anomalyCol, anomalyFraction, \
maxIter, tol, seed, nInit, initMode, regCovar, sampleRows, accelerate, handleInvalid, precision
        As of :class:`gmm_spark.GaussianMixture`, for every mixture.

    Examples
    --------
    >>> from gmm_spark import GaussianMixtureSelector
    >>> selector = GaussianMixtureSelector(inputCols=["x", "y"], ks=[1, 2, 3], covarianceTypes=["full", "diag"])
    >>> selector.getKs(), selector.getCriterion()
    ([1, 2, 3], 'bic')
    """

    ks: Param[list[int]] = Param(Params._dummy(), "ks", "Numbers of components to try, >= 1.", TypeConverters.toListInt)
    covarianceTypes: Param[list[str]] = Param(
        Params._dummy(),
        "covarianceTypes",
        f"Covariance structures to try: {', '.join(STRUCTURES)}.",
        TypeConverters.toListString,
    )
    criterion: Param[str] = Param(
        Params._dummy(), "criterion", f"What decides: {', '.join(SIGNS)}.", TypeConverters.toString
    )
    validationFraction: Param[float] = Param(
        Params._dummy(), "validationFraction", "Share of the rows to hold out, in [0, 1).", TypeConverters.toFloat
    )

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        ks: Sequence[int] | None = None,
        covarianceTypes: Sequence[str] | None = None,
        criterion: str = "bic",
        validationFraction: float = 0.0,
        featuresCol: str = "features",
        inputCols: Sequence[str] | None = None,
        weightCol: str | None = None,
        predictionCol: str = "prediction",
        probabilityCol: str = "probability",
        logDensityCol: str = "",
        anomalyCol: str = "",
        anomalyFraction: float = 0.001,
        maxIter: int = 100,
        tol: float = 1e-4,
        seed: int | None = None,
        nInit: int = 10,
        initMode: str = "k-means++",
        regCovar: float = 1e-6,
        sampleRows: int = SAMPLE_ROWS,
        accelerate: bool = True,
        handleInvalid: str = "error",
        precision: str = "float64",
    ) -> None:
        super().__init__()
        self._setDefault(covarianceTypes=["full"], criterion="bic", validationFraction=0.0)
        self.setParams(**self._input_kwargs)

    def getKs(self) -> list[int]:
        """Return the numbers of components to try."""
        return self.getOrDefault(self.ks)

    def getCovarianceTypes(self) -> list[str]:
        """Return the structures to try."""
        return self.getOrDefault(self.covarianceTypes)

    def getCriterion(self) -> str:
        """Return what decides."""
        return self.getOrDefault(self.criterion)

    def getValidationFraction(self) -> float:
        """Return the share of the rows to hold out."""
        return self.getOrDefault(self.validationFraction)

    def setKs(self, value: Sequence[int]) -> GaussianMixtureSelector:
        """Set the numbers of components to try."""
        return self._set(ks=value)

    def setCovarianceTypes(self, value: Sequence[str]) -> GaussianMixtureSelector:
        """Set the structures to try."""
        return self._set(covarianceTypes=value)

    def setCriterion(self, value: str) -> GaussianMixtureSelector:
        """Set what decides."""
        return self._set(criterion=value)

    def setValidationFraction(self, value: float) -> GaussianMixtureSelector:
        """Set the share of the rows to hold out."""
        return self._set(validationFraction=value)

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        self.check_params()
        features = self._resolve(dataset)
        fraction = self.getValidationFraction()
        train = dataset
        with ExitStack() as stack:
            # Both are packed before the first pass: a bad row is not to end a long fit.
            held_out: PackedTable | None = None
            if fraction:
                train, rest = held_out_split(dataset, features, fraction, self.getSeed())
                try:
                    held_out = stack.enter_context(self._pack(rest, features))
                except DataError as error:
                    raise DataError(f"validationFraction={fraction}, rows held out: {error}") from error
            table = stack.enter_context(self._pack(train, features))
            grid = [(k, kind) for kind in self.getCovarianceTypes() for k in self.getKs()]
            outcomes = fit_together(table, [self._settings(k, kind) for k, kind in grid], self._callback)
            judged = _judged(held_out, table, outcomes)
            rows = [
                SelectionRow.of_failure(k, kind, features.width, outcome)
                if isinstance(outcome, GmmSparkError)
                else SelectionRow.of_fit(outcome.result, outcome.evaluation, judgement)
                for (k, kind), outcome, judgement in zip(grid, outcomes, judged, strict=True)
            ]
            selection = Selection(self.getCriterion(), tuple(rows), held_out.rows if held_out else 0)
            if selection.best is None:
                raise _none_left(selection, outcomes)
            best = outcomes[selection.best]
            assert isinstance(best, Fitted)
            # A pass for the best alone: the histograms of a whole grid would be most of what a pass sends.
            log_densities = table.evaluate(best.result.parameters).log_densities
            certified = Fitted(best.result, replace(best.evaluation, log_densities=log_densities))
            model = self._model(train, table, certified)
            model.summary.selection = selection
            if held_out is not None:
                model.summary.skipped = dict(table.bad + held_out.bad)
        return model

    def _faults(self) -> list[str]:
        faults = super()._faults()
        ks = self.getKs() if self.isDefined(self.ks) else []
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            faults.append(f"ks={ks}; need at least one number of components, each >= 1 and none twice")
        kinds = self.getCovarianceTypes()
        if not kinds or not set(kinds) <= set(STRUCTURES) or len(set(kinds)) < len(kinds):
            faults.append(f"covarianceTypes={kinds}; need at least one of {', '.join(STRUCTURES)}, none twice")
        criterion, fraction = self.getCriterion(), self.getValidationFraction()
        if criterion not in SIGNS:
            faults.append(f"criterion={criterion!r}; use one of {', '.join(SIGNS)}")
        if not 0 <= fraction < 1:
            faults.append(f"validationFraction={fraction}; need a number >= 0 and < 1")
        if criterion == "heldout" and fraction == 0:
            faults.append("criterion='heldout' but validationFraction=0.0 holds no row out; set it, to 0.2 say")
        return faults


def _judged(
    held_out: PackedTable | None, table: PackedTable, outcomes: Sequence[Fitted | GmmSparkError]
) -> list[Evaluation | None]:
    """How well each mixture explains the rows held out, all in one pass; None where there is none."""
    fitted = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, Fitted)}
    found: list[Evaluation | None] = [None] * len(outcomes)
    if held_out is not None and fitted:
        moved = table.moments.mean - held_out.moments.mean
        evaluations = held_out.evaluate_all([one.result.parameters.shifted(moved) for one in fitted.values()])
        for i, evaluation in zip(fitted, evaluations, strict=True):
            found[i] = evaluation
    return found


def _none_left(selection: Selection, outcomes: Sequence[Fitted | GmmSparkError]) -> GmmSparkError:
    """Say why there is nothing to choose from."""
    told = "; ".join(f"k={row.k} {row.covarianceType}: {row.failure}" for row in selection.rows[:3])
    more = len(selection.rows) - 3
    kind = DataError if all(isinstance(one, DataError) for one in outcomes) else DegenerateComponentError
    others = f"; and {more} more" if more > 0 else ""
    return kind(f"none of the {len(selection.rows)} mixture(s) could be fitted: {told}{others}")
