"""Mixtures that scikit-learn or pyspark.ml fitted, as parameters.

They are known by their names and attributes: neither library is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

# Classes that score by weights_, means_ and precisions_cholesky_. A subclass may do something else.
_SKLEARN_CLASSES = (
    "sklearn.mixture._gaussian_mixture.GaussianMixture",
    "gmm_spark.interop.scikit_learn.CentredGaussianMixture",
)
_FITTED = ("weights_", "means_", "covariances_", "precisions_cholesky_")
# A covariance that its precision factor whitens differs from the identity by less than this, if both are of one fit.
_WHITE = 1e-3


def read_sklearn(mixture: Any) -> MixtureParameters:
    """Read a mixture that scikit-learn fitted, if its weights, means and covariances say how it scores.

    Parameters
    ----------
    mixture : sklearn.mixture.GaussianMixture

    Raises
    ------
    ParameterError
        If it is something else, Bayesian, a subclass, or not fitted; or if its covariances are not those of the
        precisions that it scores by, as after one of the two was edited.
    """
    kind = type(mixture)
    given = f"mixture is a {kind.__module__.partition('.')[0]} {kind.__name__}"
    if hasattr(mixture, "weight_concentration_prior"):
        raise ParameterError(
            f"{given}, whose scores are averages over what its parameters may be: no mixture has the same. Need a "
            "GaussianMixture; or start a fit from this one, with setInitialModel(mixture)"
        )
    if f"{kind.__module__}.{kind.__qualname__}" not in _SKLEARN_CLASSES:
        raise ParameterError(
            f"{given}; need a sklearn.mixture.GaussianMixture itself. If this one scores by its parameters alone, use "
            "MixtureParameters(mixture.weights_, mixture.means_, mixture.covariances_, mixture.covariance_type)"
        )
    if missing := [name for name in _FITTED if not hasattr(mixture, name)]:
        raise ParameterError(f"{given} without {', '.join(missing)}: it is not fitted; call fit(X) first")
    if mixture.covariance_type not in STRUCTURES:
        raise ParameterError(
            f"{given} of covariance_type={mixture.covariance_type!r}; need one of {', '.join(STRUCTURES)}"
        )
    parameters = convert_sklearn(mixture)
    _require_factors(parameters, np.asarray(mixture.precisions_cholesky_, dtype=np.float64), given)
    return parameters


def convert_sklearn(mixture: Any) -> MixtureParameters:
    """Return the weights, means and covariances of a mixture that scikit-learn fitted, Bayesian or not.

    Raises
    ------
    ParameterError
        If they cannot be those of a mixture.
    """
    weights, covariances = np.asarray(mixture.weights_), np.asarray(mixture.covariances_)
    if weights.dtype == np.float32:  # to whose rounding the sum of the weights is 1
        weights = weights.astype(np.float64)
        weights /= weights.sum()
    if covariances.dtype == np.float32 and mixture.covariance_type in ("full", "tied"):
        # Rounding leaves them skew; scikit-learn reads the lower triangle.
        covariances = np.tril(covariances) + np.swapaxes(np.tril(covariances, -1), -1, -2)
    return MixtureParameters(weights, mixture.means_, covariances, mixture.covariance_type)


def convert_pyspark(model: Any) -> MixtureParameters:
    """Return the parameters of a mixture that pyspark.ml fitted.

    Parameters
    ----------
    model : pyspark.ml.clustering.GaussianMixtureModel

    Raises
    ------
    ParameterError
        If it is something else, or a covariance is not positive definite: pyspark.ml then scores by a pseudo-inverse,
        for which there is no density.
    """
    kind = type(model)
    if not (hasattr(model, "weights") and hasattr(model, "gaussians")):
        remedy = "; fit it first" if hasattr(model, "fit") else ""
        raise ParameterError(
            f"model is a {kind.__module__.partition('.')[0]} {kind.__name__}; need a GaussianMixtureModel of pyspark.ml"
            f"{remedy}"
        )
    gaussians = model.gaussians
    means = [gaussian.mean.toArray() for gaussian in gaussians]
    covariances = [gaussian.cov.toArray() for gaussian in gaussians]
    try:
        return MixtureParameters(model.weights, means, covariances)
    except ParameterError as error:
        raise ParameterError(
            f"the model of pyspark.ml cannot be used: {error}. If a covariance is not positive definite, pyspark.ml "
            "scores by a pseudo-inverse, which is no density: fit the table here, where variances have a floor"
        ) from error


def _require_factors(parameters: MixtureParameters, factors: Array, given: str) -> None:
    """Refuse precision factors that are not those of the covariances."""
    shape = parameters.covariances.shape
    if factors.shape != shape:
        raise ParameterError(f"{given} whose precisions_cholesky_ has shape {factors.shape}; need {shape}, refit it")
    if parameters.structure.axis_aligned:
        error = parameters.covariances * factors**2 - 1
    else:
        error = np.swapaxes(factors, -1, -2) @ parameters.covariances @ factors - np.eye(parameters.n_features)
    if not np.abs(error).max() < _WHITE:
        raise ParameterError(
            f"{given} whose covariances_ are not those of precisions_cholesky_, by which it scores: one of the two was "
            "changed after the fit. Refit it, or use MixtureParameters with the covariances that you mean"
        )
