"""The parameters that fitting and scoring both read: columns, bad rows, precision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasFeaturesCol, HasInputCols, HasPredictionCol, HasProbabilityCol, HasWeightCol

from gmm_spark.core.kernels.plan import PRECISIONS
from gmm_spark.core.kernels.weight_kinds import WEIGHT_KINDS
from gmm_spark.core.settings import Settings
from gmm_spark.errors import ParameterError
from gmm_spark.ml.defaults import Defaults
from gmm_spark.spark.decoding import HANDLE_INVALID
from gmm_spark.spark.score_task import ANOMALY, COMPONENT_ID, LOG_DENSITY, PREDICTION, PROBABILITY, REASONS

T = TypeVar("T")
P = TypeVar("P", bound="ScoringParams")


def declare(name: str, doc: str, convert: Callable[[Any], T]) -> Param[T]:
    """Declare a parameter in the body of a class.

    Parameters
    ----------
    name : str
        Of the attribute that it is assigned to.
    doc : str
        What the parameter does and which values it takes. pyspark.ml shows the default beside it.
    convert : callable
        One of pyspark.ml's ``TypeConverters``.
    """
    return Param(Params._dummy(), name, doc, convert)


def to_int64(value: Any) -> int:
    """Convert as ``TypeConverters.toInt`` does; raise ValueError if a signed 64-bit integer cannot hold the value."""
    found = TypeConverters.toInt(value)
    if not -(1 << 63) <= found < 1 << 63:
        raise ValueError("need an integer >= -2**63 and < 2**63")
    return found


def to_flag(value: Any) -> bool:
    """Convert a bool, or a number from 0 as scikit-learn's ``verbose`` has; raise TypeError for anything else."""
    if isinstance(value, (bool, int, np.bool_, np.integer)) and value >= 0:
        return bool(value)
    raise TypeError(f"{value!r}; need True or False")


def to_flags(value: Any) -> list[bool]:
    """Convert any ordered collection of bools to a list; raise TypeError for anything else."""
    ordered = isinstance(value, Collection) and not isinstance(value, str | bytes | set | frozenset)
    if ordered and all(isinstance(one, (bool, np.bool_)) for one in value):
        return [bool(one) for one in value]
    raise TypeError(f"{value!r}; need a list of False and True")


def to_names(value: Any) -> list[str]:
    """Convert any ordered collection of texts to a list; raise TypeError for anything else, and for a text."""
    if isinstance(value, Collection) and not isinstance(value, str | bytes | set | frozenset):
        value = list(value)
    return TypeConverters.toListString(value)


class ScoringParams(HasFeaturesCol, HasInputCols, HasWeightCol, HasPredictionCol, HasProbabilityCol):
    """Parameters that both a fit and a model's ``transform`` read."""

    featuresCol: Param[str] = declare(
        "featuresCol",
        "Vector (dense or sparse) or array column that holds the features. Not used if inputCols is set.",
        TypeConverters.toString,
    )
    inputCols: Param[list[str]] = declare(
        "inputCols",
        "Numeric columns, one for each feature, in place of featuresCol. No name may come twice.",
        to_names,
    )
    weightCol: Param[str] = declare(
        "weightCol",
        "Column of row weights, >= 0. A row of weight 0 is left out. If not set, every row weighs 1.",
        TypeConverters.toString,
    )
    weightKind: Param[str] = declare(
        "weightKind",
        f"What a row's weight means: {' or '.join(WEIGHT_KINDS)}. frequency: it counts, and weight 2 is the row twice. "
        "importance: it says how much the row matters beside the others, and only ratios count; criteria take the "
        "effective number of rows, (sum w)^2 / sum w^2.",
        TypeConverters.toString,
    )
    predictionCol: Param[str] = declare(
        "predictionCol",
        "Output column for the most probable component, an int from 0. Not written if empty.",
        TypeConverters.toString,
    )
    componentIdCol: Param[str] = declare(
        "componentIdCol",
        "Output column for the id of the most probable component, an int. Unlike its number, a component's id survives "
        "refits and updates. Not written if empty.",
        TypeConverters.toString,
    )
    probabilityCol: Param[str] = declare(
        "probabilityCol",
        "Output column for the responsibilities of the k components, a vector that sums to 1. Not written if empty.",
        TypeConverters.toString,
    )
    logDensityCol: Param[str] = declare(
        "logDensityCol",
        "Output column for the log-density log p(row), in nats. Not written if empty.",
        TypeConverters.toString,
    )
    anomalyCol: Param[str] = declare(
        "anomalyCol",
        "Output column, true if a row is an anomaly by anomalyFraction. Not written if empty.",
        TypeConverters.toString,
    )
    anomalyFraction: Param[float] = declare(
        "anomalyFraction",
        "Share of the training rows, by weight, in (0, 1). A row is an anomaly if its density is below the quantile of "
        "the training rows' densities at this share.",
        TypeConverters.toFloat,
    )
    reasonsCol: Param[str] = declare(
        "reasonsCol",
        "Output column that says why a row is an anomaly by anomalyFraction, null if it is none: the three features "
        "that contribute most, as an array of structs (feature, z). z is by how many standard deviations the feature "
        "is off, given the others. Not written if empty.",
        TypeConverters.toString,
    )
    handleInvalid: Param[str] = declare(
        "handleInvalid",
        "What to do with a row that has a null, NaN or infinite value or weight, or the wrong number of features: "
        "error (stop), skip (leave the row out and count it) or keep (a fit does as skip does; transform keeps the "
        "row, with null outputs), or marginal: null and NaN are missing values, and a row is fitted, or scored, by its "
        "other features; a row without any, or with an infinite value, is left out of a fit and counted, and transform "
        "keeps it with null outputs.",
        TypeConverters.toString,
    )
    precision: Param[str] = declare(
        "precision",
        f"Type of the matrix products over rows: {' or '.join(PRECISIONS)}. Sums are float64 with both.",
        TypeConverters.toString,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            featuresCol=Defaults.featuresCol,
            weightKind=Settings.weight_kind,
            predictionCol=Defaults.predictionCol,
            probabilityCol=Defaults.probabilityCol,
            componentIdCol=Defaults.componentIdCol,
            logDensityCol=Defaults.logDensityCol,
            anomalyCol=Defaults.anomalyCol,
            anomalyFraction=Defaults.anomalyFraction,
            reasonsCol=Defaults.reasonsCol,
            handleInvalid=Defaults.handleInvalid,
            precision=Defaults.precision,
        )

    def _set(self: P, **kwargs: Any) -> P:
        """Set parameters, and those that are None back to their defaults; every setter comes here.

        Raises
        ------
        TypeError
            If a value has the wrong type, as pyspark.ml does.
        ParameterError
            If an integer does not fit 64 bits.
        """
        for name, value in kwargs.items():
            if value is None:
                self.clear(getattr(self, name))
                continue
            try:
                super()._set(**{name: value})
            except (ValueError, OverflowError) as error:
                raise ParameterError(f"{name}={value!r}; {error}") from error
        return self

    def set(self, param: Param[Any], value: Any) -> None:
        """Set one parameter, as its setter does."""
        self._shouldOwn(param)
        self._set(**{param.name: value})

    def getWeightKind(self) -> str:
        """Return what a row's weight means."""
        return self.getOrDefault(self.weightKind)

    def getHandleInvalid(self) -> str:
        """Return what happens to a bad row."""
        return self.getOrDefault(self.handleInvalid)

    def getPrecision(self) -> str:
        """Return the type of the matrix products."""
        return self.getOrDefault(self.precision)

    def getComponentIdCol(self) -> str:
        """Return the column for the component's id; empty if it is not written."""
        return self.getOrDefault(self.componentIdCol)

    def getLogDensityCol(self) -> str:
        """Return the column for log p(row); empty if it is not written."""
        return self.getOrDefault(self.logDensityCol)

    def getAnomalyCol(self) -> str:
        """Return the column that marks anomalies; empty if it is not written."""
        return self.getOrDefault(self.anomalyCol)

    def getAnomalyFraction(self) -> float:
        """Return the share of the training rows that count as anomalies."""
        return self.getOrDefault(self.anomalyFraction)

    def getReasonsCol(self) -> str:
        """Return the column that says why rows are anomalies; empty if it is not written."""
        return self.getOrDefault(self.reasonsCol)

    def setFeaturesCol(self: P, value: str) -> P:
        """Set the Vector or array column that holds the features."""
        return self._set(featuresCol=value)

    def setInputCols(self: P, value: Sequence[str]) -> P:
        """Set the numeric columns, one for each feature, in place of ``featuresCol``."""
        return self._set(inputCols=value)

    def setWeightCol(self: P, value: str) -> P:
        """Set the column of row weights."""
        return self._set(weightCol=value)

    def setWeightKind(self: P, value: str) -> P:
        """Set what a row's weight means: "frequency" or "importance"."""
        return self._set(weightKind=value)

    def setPredictionCol(self: P, value: str) -> P:
        """Set the column for the most probable component; empty leaves it out."""
        return self._set(predictionCol=value)

    def setProbabilityCol(self: P, value: str) -> P:
        """Set the column for the responsibilities; empty leaves it out."""
        return self._set(probabilityCol=value)

    def setComponentIdCol(self: P, value: str) -> P:
        """Set the column for the id of the most probable component; empty leaves it out."""
        return self._set(componentIdCol=value)

    def setLogDensityCol(self: P, value: str) -> P:
        """Set the column for log p(row), in nats; empty leaves it out."""
        return self._set(logDensityCol=value)

    def setAnomalyCol(self: P, value: str) -> P:
        """Set the column that marks anomalies; empty leaves it out."""
        return self._set(anomalyCol=value)

    def setAnomalyFraction(self: P, value: float) -> P:
        """Set the share of the training rows that count as anomalies, in (0, 1)."""
        return self._set(anomalyFraction=value)

    def setReasonsCol(self: P, value: str) -> P:
        """Set the column that says why rows are anomalies; empty leaves it out."""
        return self._set(reasonsCol=value)

    def setHandleInvalid(self: P, value: str) -> P:
        """Set what happens to a bad row: "error", "skip", "keep" or "marginal"."""
        return self._set(handleInvalid=value)

    def setPrecision(self: P, value: str) -> P:
        """Set the type of the matrix products: "float64" or "float32"."""
        return self._set(precision=value)

    @property
    def input_columns(self) -> list[str] | None:
        """Numeric columns; None if the features are in ``featuresCol``."""
        return list(self.getInputCols()) if self.isDefined(self.inputCols) else None

    @property
    def weight_column(self) -> str | None:
        """Column of row weights; None if every row weighs 1."""
        return self.getWeightCol() if self.isDefined(self.weightCol) and self.getWeightCol() else None

    @property
    def output_columns(self) -> dict[str, str]:
        """Name of each output that is written: first pyspark.ml's, in its order, then ours."""
        names = {
            PROBABILITY: self.getProbabilityCol(),
            PREDICTION: self.getPredictionCol(),
            COMPONENT_ID: self.getComponentIdCol(),
            LOG_DENSITY: self.getLogDensityCol(),
            ANOMALY: self.getAnomalyCol(),
            REASONS: self.getReasonsCol(),
        }
        return {output: name for output, name in names.items() if name}

    def check_params(self) -> None:
        """Check the value of every parameter.

        Raises
        ------
        ParameterError
            If a value is out of range; the message lists all that are.
        """
        faults = self._faults()
        if faults:
            raise ParameterError("; ".join(faults))

    def _faults(self) -> list[str]:
        """Describe each value that is out of range; subclasses add those of their own parameters."""
        faults = []
        if not 0 < self.getAnomalyFraction() < 1:
            faults.append(f"anomalyFraction={self.getAnomalyFraction()}; need a number > 0 and < 1")
        faults += self._unknown(self.handleInvalid, HANDLE_INVALID) + self._unknown(self.precision, PRECISIONS)
        faults += self._unknown(self.weightKind, WEIGHT_KINDS)
        names = list(self.output_columns.values())
        if len(set(names)) < len(names):  # if case does not matter, only a session can tell
            faults.append(f"output columns {names} repeat a name; each needs its own")
        return faults

    def _unknown(self, choice: Param[str], known: Collection[str]) -> list[str]:
        """Describe the fault if a parameter's value is none of those known."""
        value = self.getOrDefault(choice)
        return [] if value in known else [f"{choice.name}={value!r}; use one of {', '.join(known)}"]
