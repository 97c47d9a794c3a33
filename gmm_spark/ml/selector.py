"""GaussianMixtureSelector: chooses the number of components and the covariance structure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pyspark import keyword_only
from pyspark.ml.base import Estimator
from pyspark.ml.param import Param, TypeConverters
from pyspark.ml.util import DefaultParamsReadable
from pyspark.sql import DataFrame

from gmm_spark.core.checks.evidence import HeldOut
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.settings import Settings
from gmm_spark.errors import DataError, DegenerateComponentError, GmmSparkError
from gmm_spark.ml.comparison import SIGNS, Selection, SelectionRow
from gmm_spark.ml.defaults import Defaults
from gmm_spark.ml.fitting import MixtureFitting, require_holdable
from gmm_spark.ml.joint_fitting import fit_alone, fit_together
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.ml.progress import Callback
from gmm_spark.ml.scoring_params import declare, to_flags, to_names
from gmm_spark.ml.summary import Fitted
from gmm_spark.spark.columns import Features
from gmm_spark.spark.held_out import held_out_split
from gmm_spark.spark.packing.table import PackedTable


class GaussianMixtureSelector(
    Estimator[GaussianMixtureModel],
    MixtureFitting,
    DefaultParamsReadable["GaussianMixtureSelector"],
):
    """Chooses the number of components and the covariance structure of a Gaussian mixture, and whether it has noise.

    ``fit`` fits a mixture for every combination of these in shared passes over one packed table, and returns the best
    as a :class:`gmm_spark.GaussianMixtureModel`. ``model.summary.selection`` lists every mixture that was tried with
    its criteria; one that could not be fitted is listed with the reason. Of the ``nInit`` starts of a mixture, the best
    on a sample of up to 100,000 rows goes on over the table; if the sample is the whole table, the three best do. In a
    larger table the mixture that is chosen is fitted once more by a search of its own, as by
    :class:`gmm_spark.GaussianMixture`, and the one that the criterion prefers is kept.

    Parameters
    ----------
    ks : list of int
        Numbers of components to try, each >= 1 and none twice. Required.
    covarianceTypes : list of {"full", "tied", "diag", "spherical"}, default ["full"]
        Structures to try, each with every k, none twice.
    noises : list of bool, default [False]
        Whether to try mixtures without a noise component, with one, or both: [False, True]. Each is tried with every k
        and structure. See ``noise`` of :class:`gmm_spark.GaussianMixture`.
    criterion : {"bic", "aic", "icl", "heldout"}, default "bic"
        What decides. For the first three the smallest is best, on the rows that were fitted. For "heldout" the largest
        mean log-likelihood of the rows held out is best.
    validationFraction : float, default 0.0
        Share of the rows to hold out, in [0, 1). Which rows these are follows from their feature values and the seed,
        not from the partitions. No mixture is fitted to them, and neither is the one returned. To fit that one to all
        rows: ``GaussianMixture().setInitialModel(best).fit(table)``.
    featuresCol, inputCols, weightCol, weightKind, predictionCol, componentIdCol, probabilityCol, logDensityCol, \
anomalyCol, anomalyFraction, reasonsCol, maxIter, tol, seed, nInit, initMode, regCovar, varianceFloor, sampleRows, \
accelerate, handleInvalid, precision, packing, portrait, verbose
        As of :class:`gmm_spark.GaussianMixture`, with the same defaults, for every mixture.

    Examples
    --------
    >>> from gmm_spark import GaussianMixtureSelector
    >>> selector = GaussianMixtureSelector(inputCols=["x", "y"], ks=[1, 2, 3], covarianceTypes=["full", "diag"])
    >>> selector.getKs(), selector.getCriterion()
    ([1, 2, 3], 'bic')
    """

    ks: Param[list[int]] = declare(
        "ks", "Numbers of components to try, each >= 1 and none twice.", TypeConverters.toListInt
    )
    covarianceTypes: Param[list[str]] = declare(
        "covarianceTypes",
        f"Structures of the covariances to try, each with every k, none twice: {', '.join(STRUCTURES)}.",
        to_names,
    )
    noises: Param[list[bool]] = declare(
        "noises",
        "Whether to try mixtures without a noise component, with one, or both, each with every k and structure: a list "
        "of False and True, none twice.",
        to_flags,
    )
    criterion: Param[str] = declare(
        "criterion",
        f"What decides: {', '.join(SIGNS)}. For heldout the largest mean log-likelihood of the rows held out is best; "
        "for the others the smallest is best, on the rows that were fitted.",
        TypeConverters.toString,
    )
    validationFraction: Param[float] = declare(
        "validationFraction",
        "Share of the rows to hold out, in [0, 1). No mixture is fitted to them.",
        TypeConverters.toFloat,
    )

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        ks: Sequence[int] | None = None,
        covarianceTypes: Sequence[str] | None = (Settings.covariance_type,),
        noises: Sequence[bool] | None = (Settings.noise,),
        criterion: str = Defaults.criterion,
        validationFraction: float = Defaults.validationFraction,
        featuresCol: str = Defaults.featuresCol,
        inputCols: Sequence[str] | None = None,
        weightCol: str | None = None,
        weightKind: str = Settings.weight_kind,
        predictionCol: str = Defaults.predictionCol,
        componentIdCol: str = Defaults.componentIdCol,
        probabilityCol: str = Defaults.probabilityCol,
        logDensityCol: str = Defaults.logDensityCol,
        anomalyCol: str = Defaults.anomalyCol,
        anomalyFraction: float = Defaults.anomalyFraction,
        reasonsCol: str = Defaults.reasonsCol,
        maxIter: int = Settings.max_iter,
        tol: float = Settings.tol,
        seed: int | None = Settings.seed,
        nInit: int = Settings.n_init,
        initMode: str = Settings.init_mode,
        regCovar: float = Settings.reg_covar,
        varianceFloor: Sequence[float] | None = Settings.variance_floor,
        sampleRows: int = Settings.sample_rows,
        accelerate: bool = Settings.accelerate,
        handleInvalid: str = Defaults.handleInvalid,
        precision: str = Defaults.precision,
        packing: str = Defaults.packing,
        portrait: bool = Defaults.portrait,
        verbose: bool = Defaults.verbose,
    ) -> None:
        super().__init__()
        self._setDefault(
            covarianceTypes=[Settings.covariance_type],
            noises=[Settings.noise],
            criterion=Defaults.criterion,
            validationFraction=Defaults.validationFraction,
        )
        self.setParams(**self._input_kwargs)

    def getKs(self) -> list[int]:
        """Return the numbers of components to try."""
        return self.getOrDefault(self.ks)

    def getCovarianceTypes(self) -> list[str]:
        """Return the structures to try."""
        return self.getOrDefault(self.covarianceTypes)

    def getNoises(self) -> list[bool]:
        """Return whether mixtures without noise are tried, with noise, or both."""
        return self.getOrDefault(self.noises)

    def getCriterion(self) -> str:
        """Return the criterion that decides."""
        return self.getOrDefault(self.criterion)

    def getValidationFraction(self) -> float:
        """Return the share of the rows that are held out."""
        return self.getOrDefault(self.validationFraction)

    def setKs(self, value: Sequence[int]) -> GaussianMixtureSelector:
        """Set the numbers of components to try."""
        return self._set(ks=value)

    def setCovarianceTypes(self, value: Sequence[str]) -> GaussianMixtureSelector:
        """Set the structures to try."""
        return self._set(covarianceTypes=value)

    def setNoises(self, value: Sequence[bool]) -> GaussianMixtureSelector:
        """Set whether to try mixtures without noise, with noise, or both."""
        return self._set(noises=value)

    def setCriterion(self, value: str) -> GaussianMixtureSelector:
        """Set the criterion that decides: "bic", "aic", "icl" or "heldout"."""
        return self._set(criterion=value)

    def setValidationFraction(self, value: float) -> GaussianMixtureSelector:
        """Set the share of the rows to hold out, in [0, 1)."""
        return self._set(validationFraction=value)

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        self.check_params()
        features = self._resolve(dataset)
        kinds, ks = self.getCovarianceTypes(), self.getKs()
        grid = [(k, kind, noise) for noise in self.getNoises() for kind in kinds for k in ks]
        settings = [self._settings(*member) for member in grid]
        require_holdable(dataset.sparkSession, settings, features.width)
        with ExitStack() as stack:
            stack.enter_context(self._named(dataset))
            callback = stack.enter_context(self._shown())
            train, rest = self._split(dataset, features)
            # Both tables are packed before the first pass, so that a bad row does not end a long fit.
            held_out = None if rest is None else stack.enter_context(self._pack_held_out(rest, features))
            table = stack.enter_context(self._pack(train, features))
            self._check_rows(features, table, *([held_out] if held_out else []))
            outcomes = fit_together(table, settings, callback)
            selection = self._compare(grid, outcomes, table, held_out)
            selection = self._polish_best(selection, settings, outcomes, table, held_out, callback)
            skipped = table.bad + held_out.bad if held_out else table.bad
            seen = selection.grid, self._describe_held_out(selection, held_out)
            model = self._build_model(train, table, _best(selection, outcomes, table), skipped, *seen)
            model.summary.selection = selection
            if held_out is not None:
                model.summary.packing += held_out.blocks.record
        return model

    def _split(self, dataset: DataFrame, features: Features) -> tuple[DataFrame, DataFrame | None]:
        """Return the rows to fit and the rows held out, None if none are."""
        fraction = self.getValidationFraction()
        return held_out_split(dataset, features, fraction, self.getSeed()) if fraction else (dataset, None)

    def _pack_held_out(self, rows: DataFrame, features: Features) -> PackedTable:
        """Pack the rows held out; an error says that it is about these."""
        try:
            return self._pack(rows, features)
        except DataError as error:
            fraction = self.getValidationFraction()
            raise DataError(f"validationFraction={fraction}, rows held out: {error}") from error

    def _compare(
        self,
        grid: Sequence[tuple[int, str, bool]],
        outcomes: Sequence[Fitted | GmmSparkError],
        table: PackedTable,
        held_out: PackedTable | None,
    ) -> Selection:
        """List every mixture of the grid with its criteria, or with the reason why there is none."""
        unseen = _evaluate_held_out(held_out, table, outcomes)
        rows = [
            SelectionRow.of_failure(k, kind, table.features.width, outcome, noise)
            if isinstance(outcome, GmmSparkError)
            else SelectionRow.of_fit(outcome.result, outcome.evaluation, evaluation)
            for (k, kind, noise), outcome, evaluation in zip(grid, outcomes, unseen, strict=True)
        ]
        return Selection(self.getCriterion(), tuple(rows), held_out.rows if held_out else 0)

    def _describe_held_out(self, selection: Selection, held_out: PackedTable | None) -> HeldOut | None:
        """Describe the rows held out to the checks; None if none were."""
        if held_out is None or selection.best is None:
            return None
        effective_rows = held_out.moments.weights.effective_rows
        lower_bound = selection.rows[selection.best].heldout
        return HeldOut(self.getValidationFraction(), held_out.rows, effective_rows, lower_bound)

    def _polish_best(
        self,
        selection: Selection,
        settings: Sequence[Settings],
        outcomes: list[Fitted | GmmSparkError],
        table: PackedTable,
        held_out: PackedTable | None,
        callback: Callback | None,
    ) -> Selection:
        """Fit the best mixture once more, alone, and put it in its place if the criterion prefers it.

        Members of a grid compare their starts on the sample alone; a search of its own compares them on the table too.
        """
        best = selection.best
        # If the table fits the sample, its starts have been compared on the table.
        if best is None or table.rows <= settings[best].rows_to_draw:
            return selection
        member, row = outcomes[best], selection.rows[best]
        assert isinstance(member, Fitted)
        alone = fit_alone(table, settings[best], member, callback)
        polished = self._compare([(row.k, row.covarianceType, row.noise)], [alone], table, held_out)
        both = replace(selection, rows=(row, *polished.rows))
        if both.best != 1:
            return selection
        outcomes[best] = alone
        return replace(selection, rows=(*selection.rows[:best], both.rows[1], *selection.rows[best + 1 :]))

    def _faults(self) -> list[str]:
        faults = super()._faults()
        ks = self.getKs() if self.isDefined(self.ks) else []
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            faults.append(f"ks={ks}; need at least one number of components, each >= 1 and none twice")
        kinds = self.getCovarianceTypes()
        if not kinds or not set(kinds) <= set(STRUCTURES) or len(set(kinds)) < len(kinds):
            faults.append(f"covarianceTypes={kinds}; need at least one of {', '.join(STRUCTURES)}, none twice")
        noises = self.getNoises()
        if not noises or len(set(noises)) < len(noises):
            faults.append(f"noises={noises}; need False, True or both, none twice")
        faults += self._noise_faults(any(noises))
        criterion, fraction = self.getCriterion(), self.getValidationFraction()
        if criterion not in SIGNS:
            faults.append(f"criterion={criterion!r}; use one of {', '.join(SIGNS)}")
        if not 0 <= fraction < 1:
            faults.append(f"validationFraction={fraction}; need a number >= 0 and < 1")
        if criterion == "heldout" and fraction == 0:
            faults.append("criterion='heldout' but validationFraction=0.0 holds no row out; set it, to 0.2 say")
        return faults


def _evaluate_held_out(
    held_out: PackedTable | None, table: PackedTable, outcomes: Sequence[Fitted | GmmSparkError]
) -> list[Evaluation | None]:
    """Evaluate each mixture on the rows held out, all in one pass; None if there is no mixture or no such row."""
    fitted = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, Fitted)}
    found: list[Evaluation | None] = [None] * len(outcomes)
    if held_out is not None and fitted:
        # Each packed table has its own mean as the origin.
        moved = table.moments.mean - held_out.moments.mean
        evaluations = held_out.evaluate_all([one.result.parameters.shifted(moved) for one in fitted.values()])
        for i, evaluation in zip(fitted, evaluations, strict=True):
            found[i] = evaluation
    return found


def _best(selection: Selection, outcomes: Sequence[Fitted | GmmSparkError], table: PackedTable) -> Fitted:
    """Return the mixture that the selection prefers, with its log-densities; raises if every fit failed."""
    if selection.best is None:
        raise _none_left(selection, outcomes)
    best = outcomes[selection.best]
    assert isinstance(best, Fitted)
    # A pass for the best alone: the histograms of a whole grid would be most of what a pass sends.
    found = table.evaluate(best.result.parameters)
    by_pattern = found.log_densities_by_pattern
    evaluation = replace(best.evaluation, log_densities=found.log_densities, log_densities_by_pattern=by_pattern)
    return replace(best, evaluation=evaluation)


def _none_left(selection: Selection, outcomes: Sequence[Fitted | GmmSparkError]) -> GmmSparkError:
    """Return the error that says why no mixture could be fitted."""
    told = "; ".join(f"{row.label}: {row.failure}" for row in selection.rows[:3])
    more = len(selection.rows) - 3
    kind = DataError if all(isinstance(one, DataError) for one in outcomes) else DegenerateComponentError
    others = f"; and {more} more" if more > 0 else ""
    return kind(f"none of the {len(selection.rows)} mixture(s) could be fitted: {told}{others}")
