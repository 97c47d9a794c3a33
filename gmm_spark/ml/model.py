"""GaussianMixtureModel: a fitted mixture as a pyspark.ml model, and the summary of its fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyspark.ml.base import Model
from pyspark.ml.linalg import DenseMatrix, DenseVector, SparseVector, Vector, Vectors
from pyspark.ml.stat import MultivariateGaussian
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.reseeding import degenerate_components
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture import criteria, density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.ml.comparison import Selection
from gmm_spark.ml.params import GaussianMixtureParams
from gmm_spark.ml.persistence import ModelReader, ModelWriter
from gmm_spark.spark.columns import Features, resolve_features
from gmm_spark.spark.generation import sample_rows
from gmm_spark.spark.scoring import append_scores, evaluate


class GaussianMixtureModel(Model, GaussianMixtureParams, MLReadable["GaussianMixtureModel"], MLWritable):
    """A Gaussian mixture that scores tables and draws rows.

    Parameters
    ----------
    parameters : MixtureParameters
    featureNames : sequence of str, optional
        A name for each feature, for reports.
    logDensities : LogDensityHistogram, optional
        Distribution of log p(row) over the training rows; ``anomalyCol`` and ``logDensityQuantile`` need it.

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
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.featureNames = None if featureNames is None else list(featureNames)
        self.logDensities = logDensities
        self._summary: GaussianMixtureSummary | None = None
        self._set(k=parameters.n_components, covarianceType=parameters.covariance_type)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Mixing weights, (k,)."""
        return self.parameters.weights

    @property
    def means(self) -> Array:
        """Means, (k, d)."""
        return self.parameters.means

    @property
    def covariances(self) -> Array:
        """Covariances in the structure's shape: full (k, d, d), tied (d, d), diag (k, d), spherical (k,)."""
        return self.parameters.covariances

    @property
    def gaussians(self) -> list[MultivariateGaussian]:
        """Each component as pyspark.ml's MultivariateGaussian, its covariance a full matrix."""
        d = self.numFeatures
        dense = self.parameters.dense_covariances
        # Symmetric, so that DenseMatrix's column-major order needs no transpose.
        return [
            MultivariateGaussian(DenseVector(mean), DenseMatrix(d, d, cov.ravel().tolist()))
            for mean, cov in zip(self.means, dense, strict=True)
        ]

    @property
    def gaussiansDF(self) -> DataFrame:
        """Components as a DataFrame with the columns mean (Vector) and cov (Matrix)."""
        rows = [(g.mean, g.cov) for g in self.gaussians]
        return SparkSession.active().createDataFrame(rows, ["mean", "cov"])

    @property
    def numFeatures(self) -> int:
        """Number of features, d."""
        return self.parameters.n_features

    @property
    def hasSummary(self) -> bool:
        """True on a model that was fitted in this process; a summary is not saved."""
        return self._summary is not None

    @property
    def summary(self) -> GaussianMixtureSummary:
        """Summary of the fit; raises RuntimeError where there is none."""
        if self._summary is None:
            raise RuntimeError("no summary: this model was loaded or built from parameters, not fitted here")
        return self._summary

    def predict(self, value: Vector | ArrayLike) -> int:
        """Most probable component of one row."""
        return int(density.weighted_log_prob(self.parameters, _row(value)).argmax())

    def predictProbability(self, value: Vector | ArrayLike) -> DenseVector:
        """Responsibilities of the k components for one row."""
        return Vectors.dense(density.responsibilities(self.parameters, _row(value))[:, 0])

    def logDensity(self, value: Vector | ArrayLike) -> float:
        """Log p(row), nats."""
        return float(density.log_density(self.parameters, _row(value))[0])

    def logDensityQuantile(self, q: float) -> float:
        """Log p(row), nats, that a share q of the training rows' weight lies below.

        Within 1/32 nat of the exact one where rows are near the densest point, within 0.2 % of their distance from it,
        in nats, where they are far.

        Raises
        ------
        ParameterError
            Where q is not within [0, 1], or the model does not know its training rows' log-densities.
        """
        if self.logDensities is None:
            raise ParameterError(
                "this model does not know how likely its training rows are: it was built from parameters, or saved by "
                "an older gmm_spark; fit it again (setInitialModel starts from it), or leave anomalyCol empty"
            )
        return self.logDensities.quantile(q)

    def logLikelihood(self, dataset: DataFrame) -> float:
        """Weighted sum of log p(row) over a table, nats."""
        return self._evaluate(dataset).log_likelihood

    def aic(self, dataset: DataFrame) -> float:
        """Akaike's criterion on a table; smaller is better."""
        return criteria.aic(self._evaluate(dataset).log_likelihood, self.parameters.n_parameters)

    def bic(self, dataset: DataFrame) -> float:
        """Schwarz's criterion on a table; smaller is better."""
        found = self._evaluate(dataset)
        return criteria.bic(found.log_likelihood, self.parameters.n_parameters, found.weight_sum)

    def icl(self, dataset: DataFrame) -> float:
        """BIC plus twice the responsibilities' entropy on a table; smaller is better."""
        found = self._evaluate(dataset)
        return criteria.icl(found.log_likelihood, self.parameters.n_parameters, found.weight_sum, found.entropy)

    def sample(
        self,
        spark: SparkSession,
        n: int,
        seed: int,
        outputCols: Sequence[str] | None = None,
        featuresCol: str = "features",
        componentCol: str = "component",
        numPartitions: int | None = None,
        precision: str = "float64",
    ) -> DataFrame:
        """Sample n rows, ordered by component; the same seed gives the same rows on any number of partitions.

        ``outputCols`` names a column for each feature; without it they come as one array column. With the precision
        "float32" features are float, not double.
        """
        return sample_rows(
            spark,
            self.parameters,
            n,
            seed,
            output_cols=outputCols,
            features_col=featuresCol,
            component_col=componentCol,
            partitions=numPartitions,
            precision=precision,
        )

    def write(self) -> ModelWriter:
        """Return a writer: ``model.write().overwrite().save(path)``."""
        return ModelWriter(self)

    @classmethod
    def read(cls) -> ModelReader:
        """Return a reader: ``GaussianMixtureModel.read().load(path)``."""
        return ModelReader(cls)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.check_params()
        return append_scores(
            dataset,
            self.parameters,
            self._features(dataset, weight=None),
            self.output_columns,
            self.getHandleInvalid(),
            self.getPrecision(),
            self.logDensityQuantile(self.getAnomalyFraction()) if self.getAnomalyCol() else -np.inf,
        )

    def _evaluate(self, dataset: DataFrame) -> Evaluation:
        self.check_params()
        features = self._features(dataset, self.weight_column)
        return evaluate(dataset, self.parameters, features, self.getHandleInvalid() == "error", self.getPrecision())

    def _features(self, dataset: DataFrame, weight: str | None) -> Features:
        features = resolve_features(
            dataset, self.getFeaturesCol(), self.input_columns, weight, width=self.parameters.n_features
        )
        if features is None:
            raise DataError("the table's width is unknown")
        return features


class GaussianMixtureSummary:
    """What a fit did, as pyspark.ml's summary with the history added.

    Attributes
    ----------
    logLikelihood : float
        Of the returned parameters on the training rows, nats.
    numIter : int
        Passes that EM made.
    converged : bool
        Whether the last pass changed the lower bound by less than ``tol``.
    clusterSizes : list of int
        Training rows by most probable component.
    degenerateComponents : list of int
        Components without weight: they starved or collapsed, and putting them anew did not help.
    history : tuple of PassRecord
    numRows : int
        Rows used: those that are good and have weight.
    skipped : dict
        Rows left out, by reason.
    aic, bic, icl : float
        On the training rows; smaller is better.
    selection : Selection or None
        All mixtures that a :class:`gmm_spark.GaussianMixtureSelector` chose this one from.
    """

    def __init__(
        self,
        model: GaussianMixtureModel,
        dataset: DataFrame,
        result: EMResult,
        evaluation: Evaluation,
        skipped: dict[str, int],
    ) -> None:
        n_parameters = model.parameters.n_parameters
        self._model, self._dataset = model, dataset
        self.logLikelihood = evaluation.log_likelihood
        self.lowerBound = evaluation.log_likelihood / evaluation.weight_sum
        self.numIter = len(result.history)
        self.converged = result.converged
        self.degenerateComponents: list[int] = list(degenerate_components(model.parameters))
        self.history: tuple[PassRecord, ...] = result.history
        self.clusterSizes: list[int] = evaluation.cluster_sizes.astype(int).tolist()
        self.numRows = int(evaluation.rows)
        self.skipped = skipped
        self.selection: Selection | None = None
        self.k = model.parameters.n_components
        self.featuresCol = model.getFeaturesCol()
        self.predictionCol = model.getPredictionCol()
        self.probabilityCol = model.getProbabilityCol()
        self.aic = criteria.aic(evaluation.log_likelihood, n_parameters)
        self.bic = criteria.bic(evaluation.log_likelihood, n_parameters, evaluation.weight_sum)
        self.icl = criteria.icl(evaluation.log_likelihood, n_parameters, evaluation.weight_sum, evaluation.entropy)

    @property
    def predictions(self) -> DataFrame:
        """The training table with the model's outputs."""
        return self._model.transform(self._dataset)

    @property
    def cluster(self) -> DataFrame:
        """Most probable component of each training row."""
        return self.predictions.select(self.predictionCol)

    @property
    def probability(self) -> DataFrame:
        """Responsibilities for each training row."""
        return self.predictions.select(self.probabilityCol)


def _row(value: Vector | ArrayLike) -> Array:
    """One row as a block, (d, 1)."""
    dense = value.toArray() if isinstance(value, (DenseVector, SparseVector)) else value
    return np.asarray(dense, dtype=np.float64).reshape(-1, 1)
