"""Ways from a model to scikit-learn, ONNX and rows in memory, and from models of scikit-learn and pyspark.ml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gmm_spark.errors import ParameterError
from gmm_spark.extras import require_extra
from gmm_spark.interop.fitted import convert_pyspark, read_sklearn
from gmm_spark.local.mixture import Mixture
from gmm_spark.ml.fitted import FittedMixture

if TYPE_CHECKING:
    from onnx import ModelProto
    from sklearn.mixture import GaussianMixture as SklearnMixture

M = TypeVar("M", bound="ExchangedModel")


class ExchangedModel(FittedMixture):
    """A model that comes from other libraries, and goes to them."""

    def local(self) -> Mixture:
        """Return the mixture without Spark: it scores rows of numpy, pandas and Arrow.

        ``inputCols``, ``featuresCol``, ``anomalyFraction``, ``handleInvalid`` and ``seed`` go with it.
        """
        self.check_params()
        columns = self.input_columns
        return Mixture(
            self.parameters,
            self.featureNames if columns is None else columns,
            self.logDensities,
            features_col=self.getFeaturesCol() if columns is None else None,
            anomaly_fraction=self.getAnomalyFraction(),
            handle_invalid=self.getHandleInvalid(),
            seed=self.getSeed(),
            identities=self.identities,
            log_densities_by_pattern=self.logDensitiesByPattern,
        )

    @classmethod
    def from_local(cls: type[M], mixture: Mixture) -> M:
        """Return a mixture without Spark as a model: the other way of :meth:`local`."""
        names = mixture.feature_names
        model = cls(mixture.parameters, names, mixture.log_densities)
        model.identities = mixture.identities
        model.logDensitiesByPattern = mixture.log_densities_by_pattern
        model._set(anomalyFraction=mixture.anomaly_fraction, handleInvalid=mixture.handle_invalid, seed=mixture.seed)
        if mixture.features_col is not None:
            return model._set(featuresCol=mixture.features_col)
        return model if names is None else model._set(inputCols=names)

    def to_sklearn(self, plain: bool = False) -> SklearnMixture:
        """Return the mixture as scikit-learn would have fitted it; needs the extra ``sklearn``.

        Its scores are those of this model. ``tol``, ``max_iter`` and ``random_state`` are this model's ``tol``,
        ``maxIter`` and ``seed``. ``feature_names_in_`` is there if ``inputCols`` is set.

        Parameters
        ----------
        plain : bool
            By default the result is of a subclass that subtracts means before it multiplies, and so keeps the digits
            that scikit-learn loses far from zero. With True it is of scikit-learn's own class, for pickles that are
            read without this package.

        Returns
        -------
        sklearn.mixture.GaussianMixture
            ``converged_``, ``n_iter_`` and ``lower_bounds_`` are those of the fit if the model has a summary, else
            False, 0 and empty. ``lower_bound_`` is NaN if the model does not know it.

        Raises
        ------
        MissingExtraError
            If scikit-learn is not installed.
        ParameterError
            If ``plain``, and scikit-learn's formula would lose more than 1e-6 nats near the components.
        """
        require_extra("sklearn", "sklearn", "to_sklearn()")
        from gmm_spark.interop.scikit_learn import to_sklearn

        summary, profile = self._summary, self.trainingProfile
        settings = {"tol": self.getTol(), "max_iter": self.getMaxIter(), "random_state": self.getSeed() % 2**32}
        return to_sklearn(
            self.parameters,
            self.input_columns,
            plain=plain,
            settings=settings,
            converged=summary is not None and summary.converged,
            lower_bound=float("nan") if profile is None else profile.mean_log_density,
            lower_bounds=[] if summary is None else [record.lower_bound for record in summary.history],
        )

    @classmethod
    def from_sklearn(cls: type[M], mixture: SklearnMixture) -> M:
        """Return a mixture that scikit-learn fitted as a model; its scores are the same.

        ``inputCols`` is set to ``feature_names_in_``, if the mixture has them. The model does not know how likely its
        training rows are, so ``anomalyCol`` cannot be used.

        Raises
        ------
        ParameterError
            If it is not fitted, Bayesian, of another class, or edited so that its covariances are not those that it
            scores by.
        """
        parameters = read_sklearn(mixture)
        names = getattr(mixture, "feature_names_in_", None)
        if names is None:
            return cls(parameters)
        columns = [str(name) for name in names]
        return cls(parameters, columns)._set(inputCols=columns)

    @classmethod
    def from_pyspark(cls: type[M], model: Any) -> M:
        """Return a mixture that pyspark.ml fitted as a model, with the columns of that one.

        pyspark.ml adds 2.2e-16 to each density before it compares them, and this package does not: labels and
        probabilities are the same unless every component's density is about so small, and then pyspark.ml's tend to
        be equal for all components.

        Parameters
        ----------
        model : pyspark.ml.clustering.GaussianMixtureModel

        Raises
        ------
        ParameterError
            If it is something else, or a covariance is not positive definite.
        """
        found = cls(convert_pyspark(model))
        columns = {param.name: model.getOrDefault(param) for param in model.params if model.isDefined(param)}
        kept = ("featuresCol", "predictionCol", "probabilityCol")
        return found._set(**{name: columns[name] for name in kept if name in columns})

    def to_onnx(self, path: str | Path | None = None, columns: bool = False) -> ModelProto:
        """Return the mixture as an ONNX graph, in float64; needs the extra ``onnx``.

        Parameters
        ----------
        path : str or Path, optional
            A file of the driver's machine to write it to.
        columns : bool
            Whether each feature is an input of its own, (n, 1), under its name. By default there is one input,
            ``features`` (n, d).

        Returns
        -------
        onnx.ModelProto
            Outputs are ``label`` (n,), ``probabilities`` (n, k) and ``log_density`` (n,), nats. A row with a value that
            is NaN or infinite has label -1, and NaN in the others. Metadata: ``feature_names`` (JSON),
            ``covariance_type``, ``anomaly_fraction`` and ``anomaly_threshold``, the log-density below which a row is an
            anomaly, if the model knows its training rows' log-densities.

        Raises
        ------
        MissingExtraError
            If onnx is not installed.
        ParameterError
            If ``columns``, and the features have no names or names of outputs; if the graph is too large for ONNX; or
            if ``handleInvalid`` is "marginal".
        """
        require_extra("onnx", "onnx", "to_onnx()")
        from gmm_spark.interop.onnx import to_onnx

        self.check_params()
        if self._scores_missing:
            raise ParameterError(
                "handleInvalid='marginal', but an ONNX graph scores complete rows only; set it to 'keep': the graph "
                "gives a row with missing values the label -1, and NaN"
            )
        return to_onnx(
            self.parameters, self.featureNames, self.logDensities, self.getAnomalyFraction(), path=path, columns=columns
        )
