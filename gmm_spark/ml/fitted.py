"""What a model knows of its mixture without a table: parameters, names, components, and the summary of its fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.stat import MultivariateGaussian
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.core.arrays import Array
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.listing import list_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.update.memory import Memory
from gmm_spark.errors import ParameterError
from gmm_spark.ml.params import GaussianMixtureParams
from gmm_spark.ml.summary import GaussianMixtureSummary
from gmm_spark.spark.decoding import MARGINAL

if TYPE_CHECKING:
    import pandas as pd


F = TypeVar("F", bound="FittedMixture")


class FittedMixture(GaussianMixtureParams):
    """A mixture with the parameters of an estimator, and what is known of its fit."""

    parameters: MixtureParameters
    featureNames: list[str] | None
    logDensities: LogDensityHistogram | None
    logDensitiesByPattern: Mapping[bytes, LogDensityHistogram]
    """Of training rows with missing values, by pattern; see :mod:`gmm_spark.core.missing.patterns`."""
    trainingProfile: TrainingProfile | None
    identities: Identities
    memory: Memory | None
    _summary: GaussianMixtureSummary | None

    @property
    def _scores_missing(self) -> bool:
        """True if null and NaN are missing values, and rows are scored by their other features."""
        return self.getHandleInvalid() == MARGINAL

    @property
    def weights(self) -> NDArray[np.float64]:
        """Mixing weights of the Gaussians, (k,). They sum to 1, or to what ``noiseWeight`` leaves."""
        return self.parameters.weights

    @property
    def noiseWeight(self) -> float:
        """Mixing weight of the noise component; 0 if the mixture has none."""
        return 0.0 if self.parameters.noise is None else self.parameters.noise.weight

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
    def componentIds(self) -> list[int]:
        """Id of each component, noise last. A component's number may be another after a refit; its id stays."""
        return list(self.identities.ids)

    @property
    def componentNames(self) -> list[str | None]:
        """What a user calls each component, None if nothing; see :meth:`setComponentNames`."""
        return list(self.identities.names)

    def setComponentNames(self: F, names: Mapping[int, str | None] | Sequence[str | None]) -> F:
        """Name components. The names are saved with the model, and go with the ids to later models.

        Parameters
        ----------
        names : mapping of int to str, or sequence of str
            By id, or one for each component in the model's order. None takes a name away.

        Raises
        ------
        ParameterError
            If there is no component of such an id, or a name is empty or another component's.
        """
        if not isinstance(names, Mapping):
            if isinstance(names, str) or len(names) != len(self.identities.ids):
                raise ParameterError(
                    f"component names are {names!r}; need one for each of {len(self.identities.ids)} components, or a "
                    "mapping from ids to names"
                )
            names = dict(zip(self.identities.ids, names, strict=True))
        self.identities = self.identities.rename(names)
        return self

    @property
    def hasSummary(self) -> bool:
        """True if the model was fitted in this process; a summary is neither saved nor pickled."""
        return self._summary is not None

    @property
    def summary(self) -> GaussianMixtureSummary:
        """Summary of the fit; raises RuntimeError if there is none."""
        if self._summary is None:
            raise RuntimeError(
                "no summary: this model was loaded, unpickled or built from parameters or a model, not fitted here"
            )
        return self._summary

    def describe(self) -> pd.DataFrame:
        """Return the components as a table.

        Returns
        -------
        pandas.DataFrame
            A row for each component. Columns: ``id`` and ``name``, if ids are not the components' numbers, or one has a
            name; ``weight``; ``rows``, the training rows whose most probable component it is, if the model knows them;
            ``mean of x`` and ``sd of x`` for each feature x. Noise, if there is any, is the last row, without these.

        Examples
        --------
        >>> from gmm_spark import GaussianMixtureModel, MixtureParameters
        >>> parameters = MixtureParameters([0.25, 0.75], [[-9.0], [9.0]], [1.0, 4.0], "spherical")
        >>> GaussianMixtureModel(parameters, ["x"]).describe().loc[1].to_dict()
        {'weight': 0.75, 'mean of x': 9.0, 'sd of x': 2.0}
        """
        import pandas as pd  # a moment's work, which a job can do without

        found = pd.DataFrame(list_components(self.parameters, self.featureNames, self._sizes, self.identities))
        return found.rename_axis("component")

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
                "this model does not know how likely its training rows are: it was built from parameters, is a "
                "marginal or conditional of another, was fitted to a table without complete rows, or saved by an older "
                "gmm_spark; fit it again (setInitialModel starts from it), or leave anomalyCol and reasonsCol empty"
            )
        return self.logDensities.quantile(q)

    @property
    def _sizes(self) -> Array | None:
        """Training rows by most probable component, noise last if there is any; None if they are not known."""
        profile = self.trainingProfile
        return None if profile is None else profile.shares * profile.rows
