"""Gaussian mixtures for tables that do not fit one machine: fit by EM, score and sample, on Spark.

Public names are imported when first used, so that an executor, which needs only the kernels, loads
neither pyspark.ml nor what it brings along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmm_spark import errors
from gmm_spark._version import __version__

if TYPE_CHECKING:
    from gmm_spark.core.mixture.parameters import MixtureParameters
    from gmm_spark.ml.estimator import GaussianMixture
    from gmm_spark.ml.model import GaussianMixtureModel
    from gmm_spark.ml.selector import GaussianMixtureSelector

_HOMES = {
    "GaussianMixture": "gmm_spark.ml.estimator",
    "GaussianMixtureModel": "gmm_spark.ml.model",
    "GaussianMixtureSelector": "gmm_spark.ml.selector",
    "MixtureParameters": "gmm_spark.core.mixture.parameters",
}

__all__ = [
    "GaussianMixture",
    "GaussianMixtureModel",
    "GaussianMixtureSelector",
    "MixtureParameters",
    "__version__",
    "errors",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
