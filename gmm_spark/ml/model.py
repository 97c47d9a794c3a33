"""GaussianMixtureModel: a fitted mixture as a pyspark.ml model."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyspark.ml.base import Model
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vector, Vectors
from pyspark.ml.stat import MultivariateGaussian
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.core.arrays import Array
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture import criteria, density
from gmm_spark.core.mixture.listing import draw_components, list_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import LEAST_LIKELY, Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.local.names import require_names
from gmm_spark.local.rows import describe_bad_value, read_row
from gmm_spark.ml.defaults import Defaults
from gmm_spark.ml.exchange import ExchangedModel
from gmm_spark.ml.inputs import require_table
from gmm_spark.ml.persistence import ModelReader, ModelWriter
from gmm_spark.ml.summary import GaussianMixtureSummary
from gmm_spark.spark.columns import Features, resolve_features
from gmm_spark.spark.generation import sample_rows
from gmm_spark.spark.observing import Watch
from gmm_spark.spark.portraying import portray
from gmm_spark.spark.scoring import append_scores, evaluate

if TYPE_CHECKING:
    import pandas as pd


class GaussianMixtureModel(Model, ExchangedModel, MLReadable["GaussianMixtureModel"], MLWritable):
    """A Gaussian mixture that scores tables and draws rows.

    Parameters
    ----------
    parameters : MixtureParameters
        Weights, means and covariances.
    featureNames : sequence of str, optional
        A name for each feature, for reports.
    logDensities : LogDensityHistogram, optional
        Distribution of log p(row) over the training rows. ``anomalyCol`` and ``logDensityQuantile`` need it.
    trainingProfile : TrainingProfile, optional
        What the training rows were like. Drift is judged by it.

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
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.featureNames = require_names("featureNames", featureNames, parameters.n_features)
        self.logDensities = logDensities
        if trainingProfile is not None:
            trainingProfile.require_fits(parameters.n_components, parameters.n_features)
        self.trainingProfile = trainingProfile
        self._summary: GaussianMixtureSummary | None = None
        self._set(k=parameters.n_components, covarianceType=parameters.covariance_type)

    def __repr__(self) -> str:
        """Describe the model as pyspark.ml does."""
        return f"{type(self).__name__}: uid={self.uid}, k={self.getK()}, numFeatures={self.numFeatures}"

    def _repr_html_(self) -> str:
        """Describe the model for a notebook: its components as a table."""
        return f"<p>{escape(repr(self))}</p>{draw_components(self.parameters, self.featureNames, self._sizes)}"

    def describe(self) -> pd.DataFrame:
        """Return the components as a table.

        Returns
        -------
        pandas.DataFrame
            A row for each component. Columns: ``weight``; ``rows``, the training rows whose most probable component it
            is, if the model knows them; ``mean of x`` and ``sd of x`` for each feature x.

        Examples
        --------
        >>> from gmm_spark import MixtureParameters
        >>> parameters = MixtureParameters([0.25, 0.75], [[-9.0], [9.0]], [1.0, 4.0], "spherical")
        >>> GaussianMixtureModel(parameters, ["x"]).describe().loc[1].to_dict()
        {'weight': 0.75, 'mean of x': 9.0, 'sd of x': 2.0}
        """
        import pandas as pd  # a moment's work, which a job can do without

        found = pd.DataFrame(list_components(self.parameters, self.featureNames, self._sizes))
        return found.rename_axis("component")

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy take: everything but the summary, which holds the training table."""
        return self.__dict__ | {"_summary": None}

    def __copy__(self) -> GaussianMixtureModel:
        """Return a shallow copy with the same summary, as :meth:`copy` needs."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

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
        # DenseMatrix is column-major; a covariance is symmetric, so it needs no transpose.
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
        """True if the model was fitted in this process; a summary is neither saved nor pickled."""
        return self._summary is not None

    @property
    def summary(self) -> GaussianMixtureSummary:
        """Summary of the fit; raises RuntimeError if there is none."""
        if self._summary is None:
            raise RuntimeError("no summary: this model was loaded, unpickled or built from parameters, not fitted here")
        return self._summary

    def predict(self, value: Vector | ArrayLike) -> int | None:
        """Return the most probable component of one row of d features.

        A null, NaN or infinite value is treated as ``handleInvalid`` says. If it is "skip" or "keep", the result is
        None. For a table use ``transform``.

        Raises
        ------
        DataError
            If it is not one row of d numbers, or one is not finite and ``handleInvalid`` is "error".
        """
        row = self._read_row(value)
        return None if row is None else int(density.responsibilities(self.parameters, row).argmax())

    def predictProbability(self, value: Vector | ArrayLike) -> DenseVector:
        """Return the responsibilities of the k components for one row of d features.

        Values that are not finite are treated as by :meth:`predict`; the result is NaN in place of None.
        """
        row = self._read_row(value)
        if row is None:
            return Vectors.dense(np.full(self.getK(), np.nan))
        return Vectors.dense(density.responsibilities(self.parameters, row)[:, 0])

    def logDensity(self, value: Vector | ArrayLike) -> float:
        """Return log p(row), nats, of one row of d features.

        Values that are not finite are treated as by :meth:`predict`; the result is NaN in place of None.
        """
        row = self._read_row(value)
        return float("nan") if row is None else float(density.log_density(self.parameters, row)[0])

    def logDensityQuantile(self, q: float) -> float:
        """Return the log p(row), in nats, below which a share q of the training rows lies, by weight.

        It comes from a histogram. Its error is at most 1/32 nat near the densest point, and 0.2 % of the distance from
        that point, in nats, far away.

        Raises
        ------
        ParameterError
            If q is not within [0, 1], or the model does not know the log-densities of its training rows.
        """
        if self.logDensities is None:
            raise ParameterError(
                "this model does not know how likely its training rows are: it was built from parameters, or saved by "
                "an older gmm_spark; fit it again (setInitialModel starts from it), or leave anomalyCol and reasonsCol "
                "empty"
            )
        return self.logDensities.quantile(q)

    def logLikelihood(self, dataset: DataFrame) -> float:
        """Return the weighted sum of log p(row) over a table, nats.

        Importance weights count for the effective number of rows: it is their weighted mean times that number.
        """
        return self._evaluate(dataset).log_likelihood

    def aic(self, dataset: DataFrame) -> float:
        """Return Akaike's criterion on a table; smaller is better."""
        return criteria.aic(self._evaluate(dataset).log_likelihood, self.parameters.n_parameters)

    def bic(self, dataset: DataFrame) -> float:
        """Return Schwarz's criterion (BIC) on a table; smaller is better."""
        found = self._evaluate(dataset)
        return criteria.bic(found.log_likelihood, self.parameters.n_parameters, found.weight_sum)

    def icl(self, dataset: DataFrame) -> float:
        """Return BIC plus twice the entropy of the responsibilities on a table; smaller is better."""
        found = self._evaluate(dataset)
        return criteria.icl(found.log_likelihood, self.parameters.n_parameters, found.weight_sum, found.entropy)

    def portray(self, dataset: DataFrame, frame: Frame | None = None) -> Portrait:
        """Take a portrait of a table's rows beside the mixture, by one read of the table.

        Rows are used, and counted, as by :meth:`logLikelihood`.

        Parameters
        ----------
        dataset : DataFrame
        frame : Frame, optional
            Bins and features; that of another portrait makes the two comparable. By default it follows from the mixture
            and from what it knows of its training rows.

        Returns
        -------
        Portrait
            Histograms by feature, in pairs and by component, responsibilities that rows share, the least likely rows.
            Its size depends on the mixture alone.

        Raises
        ------
        DataError
            If a row is bad and ``handleInvalid`` is "error", or no row is left.
        """
        self.check_params()
        features = self._features(dataset, self.weight_column)
        strict = self.getHandleInvalid() == "error"
        frame = self._choose_frame() if frame is None else frame
        parameters, precision, kind = self.parameters, self.getPrecision(), self.getWeightKind()
        return portray(dataset, parameters, features, frame, strict, precision, kind)

    def _choose_frame(self) -> Frame:
        """Choose the bins of a portrait: those of the fit's own, if it has one."""
        if self._summary is not None and self._summary.portrait is not None:
            return self._summary.portrait.frame
        quartiles = None if self.trainingProfile is None else self.trainingProfile.quartiles
        threshold = None if self.logDensities is None else self.logDensities.quantile(LEAST_LIKELY)
        return Frame.of(self.parameters, quartiles, threshold=threshold)

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
            Column for the component that a row was drawn from.
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

    def write(self) -> ModelWriter:
        """Return a writer: ``model.write().overwrite().save(path)``."""
        return ModelWriter(self, self.parameters, self.featureNames, self.logDensities, self.trainingProfile)

    @classmethod
    def read(cls) -> ModelReader[GaussianMixtureModel]:
        """Return a reader: ``GaussianMixtureModel.read().load(path)``."""
        return ModelReader(cls)

    @property
    def _sizes(self) -> Array | None:
        """Training rows by most probable component, (k,); None if they are not known."""
        profile = self.trainingProfile
        return None if profile is None else profile.shares * profile.rows

    def _read_row(self, value: Vector | ArrayLike) -> Array | None:
        """Return one row as a block, (d, 1); None if it has a bad value and ``handleInvalid`` is not "error"."""
        row = read_row(value, self.numFeatures)
        bad = describe_bad_value(row, self.featureNames)
        if bad is None:
            return row
        self.check_params()
        if self.getHandleInvalid() == "error":
            raise DataError(f"{bad}; need finite values, or set handleInvalid to 'skip' or 'keep'")
        return None

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return self._append(dataset, None)

    def _append(self, dataset: DataFrame, watch: Watch | None) -> DataFrame:
        """Append the outputs to a table; what its rows are like is collected if there is a watch."""
        self.check_params()
        judged = self.getAnomalyCol() or self.getReasonsCol()
        return append_scores(
            dataset,
            self.parameters,
            self._features(dataset, weight=None),
            self.output_columns,
            self.getHandleInvalid(),
            self.getPrecision(),
            self.logDensityQuantile(self.getAnomalyFraction()) if judged else -np.inf,
            watch,
            self.input_columns or self.featureNames,
        )

    def _evaluate(self, dataset: DataFrame) -> Evaluation:
        self.check_params()
        features = self._features(dataset, self.weight_column)
        strict = self.getHandleInvalid() == "error"
        return evaluate(dataset, self.parameters, features, strict, self.getPrecision(), self.getWeightKind())

    def _features(self, dataset: DataFrame, weight: str | None) -> Features:
        require_table(dataset)
        features = resolve_features(
            dataset, self.getFeaturesCol(), self.input_columns, weight, width=self.parameters.n_features
        )
        assert features is not None  # None only if the width is unknown
        return features
