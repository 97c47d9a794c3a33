"""GaussianMixtureModel: a fitted mixture as a pyspark.ml model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
from pyspark.ml.base import Model
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.histogram import LogDensityHistogram, find_threshold
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.listing import draw_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.update.memory import Memory
from gmm_spark.errors import ParameterError
from gmm_spark.local.names import require_names
from gmm_spark.ml.defaults import Defaults
from gmm_spark.ml.deriving import DerivingModel
from gmm_spark.ml.exchange import ExchangedModel
from gmm_spark.ml.measures import MeasuringModel
from gmm_spark.ml.persistence import ModelReader, ModelWriter
from gmm_spark.ml.rows import RowScoringModel
from gmm_spark.ml.summary import GaussianMixtureSummary
from gmm_spark.spark.generation import sample_rows
from gmm_spark.spark.observing import Watch
from gmm_spark.spark.scoring import append_scores


class GaussianMixtureModel(
    Model,
    RowScoringModel,
    MeasuringModel,
    DerivingModel,
    ExchangedModel,
    MLReadable["GaussianMixtureModel"],
    MLWritable,
):
    """A Gaussian mixture that scores tables and draws rows.

    Parameters
    ----------
    parameters : MixtureParameters
        Weights, means and covariances, and noise if there is any.
    featureNames : sequence of str, optional
        A name for each feature, for reports.
    logDensities : LogDensityHistogram, optional
        Distribution of log p(row) over the training rows. ``anomalyCol`` and ``logDensityQuantile`` need it.
    trainingProfile : TrainingProfile, optional
        What the training rows were like. Drift is judged by it.
    identities : Identities, optional
        Ids and names of the components; by default ids from 0, and no names.

    Examples
    --------
    >>> from gmm_spark import MixtureParameters
    >>> model = GaussianMixtureModel(MixtureParameters([0.5, 0.5], [[-9.0], [9.0]], [1.0, 1.0], "spherical"))
    >>> model.predict([8.0]), model.getK(), model.numFeatures
    (1, 2, 1)
    """

    def __init__(
        self,
        parameters: MixtureParameters,
        featureNames: Sequence[str] | None = None,
        logDensities: LogDensityHistogram | None = None,
        trainingProfile: TrainingProfile | None = None,
        identities: Identities | None = None,
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.featureNames = require_names("featureNames", featureNames, parameters.n_features)
        self.logDensities = logDensities
        if trainingProfile is not None:
            trainingProfile.require_fits(parameters.n_classes, parameters.n_features)
        self.trainingProfile = trainingProfile
        self.logDensitiesByPattern = {}
        self.identities = identities or Identities.fresh(parameters.n_classes)
        self.memory: Memory | None = None
        self._summary: GaussianMixtureSummary | None = None
        self._set(k=parameters.n_components, covarianceType=parameters.covariance_type)
        if parameters.noise is not None:
            self._set(noise=True)

    def __repr__(self) -> str:
        """Describe the model as pyspark.ml does."""
        return f"{type(self).__name__}: uid={self.uid}, k={self.getK()}, numFeatures={self.numFeatures}"

    def _repr_html_(self) -> str:
        """Describe the model for a notebook: its components as a table."""
        drawn = draw_components(self.parameters, self.featureNames, self._sizes, self.identities)
        return f"<p>{escape(repr(self))}</p>{drawn}"

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy take: everything but the summary, which holds the training table."""
        return self.__dict__ | {"_summary": None}

    def __copy__(self) -> GaussianMixtureModel:
        """Return a shallow copy with the same summary, as :meth:`copy` needs."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def sample(
        self,
        spark: SparkSession,
        n: int,
        seed: int | None = None,
        outputCols: Sequence[str] | None = None,
        featuresCol: str | None = None,
        componentCol: str = "component",
        numPartitions: int | None = None,
        precision: str = Defaults.precision,
    ) -> DataFrame:
        """Sample rows from the mixture.

        By default the features are in the columns that ``transform`` reads: a column for each feature if ``inputCols``
        is set, else one array column named ``featuresCol``.

        Parameters
        ----------
        spark : SparkSession
        n : int
            Rows to draw.
        seed : int, optional
            The same seed gives the same rows on any number of partitions. By default the model's own ``seed``, which is
            that of its fit, or 0.
        outputCols : sequence of str, optional
            A column for each feature, in place of the columns that ``transform`` reads.
        featuresCol : str, optional
            Name of one array column, in place of the columns that ``transform`` reads. Not used if ``outputCols`` is
            given.
        componentCol : str
            Column for the component that a row was drawn from; k is noise.
        numPartitions : int, optional
            Partitions of the result; Spark's own number by default.
        precision : {"float64", "float32"}
            With "float32" the features are float, not double.

        Returns
        -------
        DataFrame
            Rows are ordered by component.
        """
        if outputCols is None and featuresCol is None:
            outputCols = self.input_columns
        return sample_rows(
            spark,
            self.parameters,
            n,
            self.getSeed() if seed is None else seed,
            output_cols=outputCols,
            features_col=self.getFeaturesCol() if featuresCol is None else featuresCol,
            component_col=componentCol,
            partitions=numPartitions,
            precision=precision,
        )

    def impute(self, dataset: DataFrame, suffix: str = "_imputed") -> DataFrame:
        """Fill in missing values, null and NaN, by what the mixture expects given the row's other features.

        The value is the conditional mean: each component's regression on the observed features, weighted by its
        responsibility for them, as if no row were noise. An observed value stays as it is, in float64.

        Parameters
        ----------
        dataset : DataFrame
        suffix : str
            The columns that are read stay as they are; what is filled in goes to columns of their names and this
            suffix: a double column for each feature, or one Vector or array column, as the features are.

        Returns
        -------
        DataFrame
            All columns of the table, and those filled in. A row without any value, with an infinite one or of another
            width is bad: it is treated as ``handleInvalid`` says, and kept with nulls if that is "marginal".

        Raises
        ------
        DataError
            If a column is missing, or the table has one of a name that is appended.
        ParameterError
            If the suffix is empty.
        """
        self.check_params()
        if not suffix:
            raise ParameterError("suffix=''; need a text, so that the columns with missing values stay")
        features = replace(self._features(dataset, weight=None), missing=True)
        return append_scores(
            dataset, self.parameters, features, {}, self.getHandleInvalid(), self.getPrecision(), imputed=suffix
        )

    def write(self) -> ModelWriter:
        """Return a writer: ``model.write().overwrite().save(path)``."""
        parts = self.parameters, self.featureNames, self.logDensities, self.trainingProfile, self.identities
        return ModelWriter(self, *parts, self.logDensitiesByPattern, self.memory)

    @classmethod
    def read(cls) -> ModelReader[GaussianMixtureModel]:
        """Return a reader: ``GaussianMixtureModel.read().load(path)``."""
        return ModelReader(cls)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return self._append(dataset, None)

    def _append(self, dataset: DataFrame, watch: Watch | None, imputed: str | None = None) -> DataFrame:
        """Append the outputs to a table; what its rows are like is collected if there is a watch."""
        self.check_params()
        return append_scores(
            dataset,
            self.parameters,
            self._features(dataset, weight=None),
            self.output_columns,
            self.getHandleInvalid(),
            self.getPrecision(),
            self._find_threshold() if self.getAnomalyCol() or self.getReasonsCol() else -np.inf,
            watch,
            self.input_columns or self.featureNames,
            self.identities.ids,
            imputed,
        )

    def _find_threshold(self) -> float | Thresholds:
        """Find the log-density, nats, below which a row is an anomaly; or what finds it for each pattern."""
        share, known = self.getAnomalyFraction(), self.logDensitiesByPattern
        if self.parameters.noise is not None and self.logDensities is not None and not self._scores_missing:
            return find_threshold(self.logDensities, share, self.parameters.noise)
        if not self._scores_missing or (self.logDensities is None and not known):
            return self.logDensityQuantile(share)
        marginals = Marginals(self.parameters, self.getPrecision())
        return Thresholds.of_training(marginals, share, self.logDensities, known)
