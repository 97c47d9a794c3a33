"""Gaussian mixtures for tables that do not fit one machine: fit by EM, score and sample, on Spark.

Public names are imported when they are first used. Executors need the kernels alone, so they load neither pyspark.ml
nor the packages that it imports.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gmm_spark import errors
from gmm_spark._version import __version__

if TYPE_CHECKING:
    from gmm_spark.core.mixture.parameters import MixtureParameters
    from gmm_spark.local.mixture import Mixture
    from gmm_spark.ml.estimator import GaussianMixture
    from gmm_spark.ml.model import GaussianMixtureModel
    from gmm_spark.ml.selector import GaussianMixtureSelector
    from gmm_spark.ml.summary import GaussianMixtureSummary

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who runs the program decides what is written, and where

_HOMES = {
    "GaussianMixture": "gmm_spark.ml.estimator",
    "GaussianMixtureModel": "gmm_spark.ml.model",
    "GaussianMixtureSelector": "gmm_spark.ml.selector",
    "GaussianMixtureSummary": "gmm_spark.ml.summary",
    "Mixture": "gmm_spark.local.mixture",
    "MixtureParameters": "gmm_spark.core.mixture.parameters",
}

__all__ = [
    "GaussianMixture",
    "GaussianMixtureModel",
    "GaussianMixtureSelector",
    "GaussianMixtureSummary",
    "Mixture",
    "MixtureParameters",
    "__version__",
    "errors",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


# Files saved by earlier versions name classes by the modules that held them then, and pyspark.ml imports a class by the
# name in its file. Each of these modules gives the public names, and loads nothing before one is asked for.
for _former in ("estimator", "model", "selector"):
    _module = globals()[_former] = sys.modules[f"{__name__}.{_former}"] = ModuleType(f"{__name__}.{_former}")
    vars(_module)["__getattr__"] = __getattr__
