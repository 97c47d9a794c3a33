"""Fitted mixtures of this package, of pyspark.ml and of scikit-learn as parameters to start from.

Those of other libraries are known by their attributes, so that scikit-learn need not be installed.
"""

from __future__ import annotations

from typing import Any

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from gmm_spark.interop.fitted import convert_pyspark, convert_sklearn
from gmm_spark.local.rows import describe_type
from gmm_spark.ml.model import GaussianMixtureModel


def to_parameters(model: Any) -> MixtureParameters:
    """Return the parameters of a fitted mixture.

    Parameters
    ----------
    model : GaussianMixtureModel, MixtureParameters, or a fitted mixture of pyspark.ml or scikit-learn

    Raises
    ------
    ParameterError
        If it is something else, or its covariances cannot be those of a mixture.
    """
    if isinstance(model, MixtureParameters):
        return model
    if isinstance(model, GaussianMixtureModel):
        return model.parameters
    if _has(model, "weights_", "means_", "covariances_", "covariance_type"):  # scikit-learn
        return convert_sklearn(model)
    if _has(model, "weights", "gaussians"):  # pyspark.ml
        return convert_pyspark(model)
    remedy = " (fit it first)" if hasattr(model, "fit") else ""
    raise ParameterError(
        f"the initial model is {describe_type(model)}; need a GaussianMixtureModel of gmm_spark or pyspark.ml, a "
        f"GaussianMixture that scikit-learn fitted, MixtureParameters, or None{remedy}"
    )


def _has(model: object, *names: str) -> bool:
    return all(hasattr(model, name) for name in names)
