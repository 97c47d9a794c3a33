"""The parameters that the estimators and the model share, by pyspark.ml's names and conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasAggregationDepth,
    HasFeaturesCol,
    HasInputCols,
    HasMaxIter,
    HasPredictionCol,
    HasProbabilityCol,
    HasSeed,
    HasTol,
    HasWeightCol,
)

from gmm_spark.core.kernels.plan import PRECISIONS
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.search.starts import START_MODES
from gmm_spark.core.settings import SAMPLE_ROWS
from gmm_spark.errors import ParameterError
from gmm_spark.spark.columns import HANDLE_INVALID
from gmm_spark.spark.scoring import ANOMALY, LOG_DENSITY, PREDICTION, PROBABILITY

P = TypeVar("P", bound="MixtureParams")

_text = TypeConverters.toString


class MixtureParams(
    HasFeaturesCol,
    HasInputCols,
    HasWeightCol,
    HasPredictionCol,
    HasProbabilityCol,
    HasMaxIter,
    HasTol,
    HasSeed,
):
    """Parameters of every estimator and model here; the README tabulates them."""

    nInit: Param[int] = Param(
        Params._dummy(), "nInit", "Starts, of which the best is kept, >= 1.", TypeConverters.toInt
    )
    initMode: Param[str] = Param(Params._dummy(), "initMode", f"How starts are drawn: {', '.join(START_MODES)}.", _text)
    regCovar: Param[float] = Param(
        Params._dummy(),
        "regCovar",
        "Variance added to each feature, as a share of its variance, >= 0.",
        TypeConverters.toFloat,
    )
    sampleRows: Param[int] = Param(
        Params._dummy(),
        "sampleRows",
        "Rows of the sample on which starts are drawn and first run, >= 0; 0: every start on the full table.",
        TypeConverters.toInt,
    )
    accelerate: Param[bool] = Param(
        Params._dummy(),
        "accelerate",
        "Look ahead on the sample after each pass, and extrapolate: the same fixed points in far fewer passes.",
        TypeConverters.toBoolean,
    )
    handleInvalid: Param[str] = Param(
        Params._dummy(),
        "handleInvalid",
        "What a row with a null, NaN, infinity or wrong width does: error; skip (counted and dropped); keep (fit skips "
        "and counts, transform keeps the row with null outputs).",
        _text,
    )
    precision: Param[str] = Param(
        Params._dummy(), "precision", f"Type of the kernel's products: {', '.join(PRECISIONS)}.", _text
    )
    logDensityCol: Param[str] = Param(
        Params._dummy(), "logDensityCol", "Column for log p(row), in nats; empty: not written.", _text
    )
    anomalyCol: Param[str] = Param(
        Params._dummy(),
        "anomalyCol",
        "Column for whether a row is among the least likely, by anomalyFraction; empty: not written.",
        _text,
    )
    anomalyFraction: Param[float] = Param(
        Params._dummy(),
        "anomalyFraction",
        "Share of the training rows, by weight, that count as anomalies: the least likely, in (0, 1).",
        TypeConverters.toFloat,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            maxIter=100,
            tol=1e-4,
            seed=0,  # HasSeed's own default is another number in every process
            nInit=10,
            initMode="k-means++",
            regCovar=1e-6,
            accelerate=True,
            sampleRows=SAMPLE_ROWS,
            handleInvalid="error",
            precision="float64",
            logDensityCol="",
            anomalyCol="",
            anomalyFraction=0.001,
        )

    def getNInit(self) -> int:
        """Return the number of starts."""
        return self.getOrDefault(self.nInit)

    def getInitMode(self) -> str:
        """Return how starts are drawn."""
        return self.getOrDefault(self.initMode)

    def getRegCovar(self) -> float:
        """Return the regularisation, relative to each feature's variance."""
        return self.getOrDefault(self.regCovar)

    def getSampleRows(self) -> int:
        """Return the number of rows that starts are first run on."""
        return self.getOrDefault(self.sampleRows)

    def getAccelerate(self) -> bool:
        """Return whether extrapolated steps are tried."""
        return self.getOrDefault(self.accelerate)

    def getHandleInvalid(self) -> str:
        """Return what a bad row does."""
        return self.getOrDefault(self.handleInvalid)

    def getPrecision(self) -> str:
        """Return the type of the kernel's products."""
        return self.getOrDefault(self.precision)

    def getLogDensityCol(self) -> str:
        """Return the column for log p(row); empty where it is not written."""
        return self.getOrDefault(self.logDensityCol)

    def getAnomalyCol(self) -> str:
        """Return the column for whether a row is an anomaly; empty where it is not written."""
        return self.getOrDefault(self.anomalyCol)

    def getAnomalyFraction(self) -> float:
        """Return the share of the training rows that count as anomalies."""
        return self.getOrDefault(self.anomalyFraction)

    def setFeaturesCol(self: P, value: str) -> P:
        """Set the Vector or array column."""
        return self._set(featuresCol=value)

    def setInputCols(self: P, value: Sequence[str]) -> P:
        """Set the numeric columns, in place of ``featuresCol``."""
        return self._set(inputCols=list(value))

    def setPredictionCol(self: P, value: str) -> P:
        """Set the column for the most probable component; empty: not written."""
        return self._set(predictionCol=value)

    def setProbabilityCol(self: P, value: str) -> P:
        """Set the column for the vector of responsibilities; empty: not written."""
        return self._set(probabilityCol=value)

    def setLogDensityCol(self: P, value: str) -> P:
        """Set the column for log p(row); empty: not written."""
        return self._set(logDensityCol=value)

    def setAnomalyCol(self: P, value: str) -> P:
        """Set the column for whether a row is an anomaly; empty: not written."""
        return self._set(anomalyCol=value)

    def setAnomalyFraction(self: P, value: float) -> P:
        """Set the share of the training rows that count as anomalies."""
        return self._set(anomalyFraction=value)

    def setHandleInvalid(self: P, value: str) -> P:
        """Set what a bad row does."""
        return self._set(handleInvalid=value)

    def setPrecision(self: P, value: str) -> P:
        """Set the type of the kernel's products."""
        return self._set(precision=value)

    def setWeightCol(self: P, value: str) -> P:
        """Set the column of row weights."""
        return self._set(weightCol=value)

    @property
    def input_columns(self) -> list[str] | None:
        """Numeric columns, or None where ``featuresCol`` is meant."""
        return list(self.getInputCols()) if self.isDefined(self.inputCols) else None

    @property
    def weight_column(self) -> str | None:
        """Column of row weights, or None."""
        return self.getWeightCol() if self.isDefined(self.weightCol) and self.getWeightCol() else None

    @property
    def output_columns(self) -> dict[str, str]:
        """Name of each output that is written: pyspark.ml's in its order, then those that it has not."""
        names = {
            PROBABILITY: self.getProbabilityCol(),
            PREDICTION: self.getPredictionCol(),
            LOG_DENSITY: self.getLogDensityCol(),
            ANOMALY: self.getAnomalyCol(),
        }
        return {output: name for output, name in names.items() if name}

    def check_params(self) -> None:
        """Check every value; raises ParameterError that lists all faults."""
        faults = self._faults()
        if faults:
            raise ParameterError("; ".join(faults))

    def _faults(self) -> list[str]:
        faults = self._below_one(self.maxIter, self.nInit)
        if self.getSampleRows() < 0:
            faults.append(f"sampleRows={self.getSampleRows()}; need at least 0")
        faults += [
            f"{number.name}={self.getOrDefault(number)}; need a finite number >= 0"
            for number in (self.tol, self.regCovar)
            if not 0 <= self.getOrDefault(number) < float("inf")
        ]
        if not 0 < self.getAnomalyFraction() < 1:
            faults.append(f"anomalyFraction={self.getAnomalyFraction()}; need a number > 0 and < 1")
        for choice, known in (
            (self.initMode, tuple(START_MODES)),
            (self.handleInvalid, HANDLE_INVALID),
            (self.precision, tuple(PRECISIONS)),
        ):
            if self.getOrDefault(choice) not in known:
                faults.append(f"{choice.name}={self.getOrDefault(choice)!r}; use one of {', '.join(known)}")
        names = list(self.output_columns.values())
        if len({n.lower() for n in names}) < len(names):
            faults.append(f"output columns {names} repeat a name; each needs its own")
        return faults

    def _below_one(self, *counts: Param[int]) -> list[str]:
        found = {param.name: self.getOrDefault(param) for param in counts}
        return [f"{name}={value}; need at least 1" for name, value in found.items() if value < 1]


class GaussianMixtureParams(MixtureParams, HasAggregationDepth):
    """Parameters of :class:`gmm_spark.GaussianMixture` and of the model it fits."""

    k: Param[int] = Param(Params._dummy(), "k", "Number of components, >= 1.", TypeConverters.toInt)
    covarianceType: Param[str] = Param(
        Params._dummy(), "covarianceType", f"Covariance structure: {', '.join(STRUCTURES)}.", _text
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(k=2, covarianceType="full", aggregationDepth=2)

    def getK(self) -> int:
        """Return the number of components."""
        return self.getOrDefault(self.k)

    def getCovarianceType(self) -> str:
        """Return the covariance structure."""
        return self.getOrDefault(self.covarianceType)

    def _faults(self) -> list[str]:
        faults = self._below_one(self.k, self.aggregationDepth)
        if self.getCovarianceType() not in STRUCTURES:
            faults.append(f"covarianceType={self.getCovarianceType()!r}; use one of {', '.join(STRUCTURES)}")
        return faults + super()._faults()
