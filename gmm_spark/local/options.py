"""What a saved model says besides its mixture: columns, what becomes of bad rows, the share of anomalies, the seed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import ANOMALY_FRACTION
from gmm_spark.errors import ParameterError
from gmm_spark.local.names import require_names
from gmm_spark.spark.decoding import HANDLE_INVALID
from gmm_spark.storage.documents import show
from gmm_spark.storage.models import SavedModel

# Spark's version in files that no Spark wrote: their layout is that of the oldest that is supported.
_LAYOUT_OF = "4.1.0"


def read_options(saved: SavedModel) -> dict[str, Any]:
    """Return what else a mixture is made of, from the parameters that a model was saved with.

    Raises
    ------
    TypeError, KeyError, ParameterError
        If something cannot be right.
    """
    given, defaults = saved.metadata["paramMap"], saved.metadata["defaultParamMap"]
    if not isinstance(given, dict) or not isinstance(defaults, dict):
        raise TypeError("its parameters are no JSON objects")
    found = {**defaults, **given}
    columns, seed = found.get("inputCols"), found.get("seed", 0)
    d = saved.parameters.n_features
    names = require_names("featureNames", saved.feature_names, d)
    features_col = found.get("featuresCol")
    if not isinstance(features_col, str | None) or not isinstance(seed, int):
        raise TypeError(f"featuresCol is {show(features_col)} and seed {show(seed)}")
    return {
        "feature_names": names if columns is None else require_names("inputCols", columns, d),
        "features_col": None if columns is not None else features_col,
        "anomaly_fraction": found.get("anomalyFraction", ANOMALY_FRACTION),
        "handle_invalid": found.get("handleInvalid", HANDLE_INVALID[0]),
        "seed": seed,
    }


def to_saved(
    parameters: MixtureParameters,
    feature_names: list[str] | None,
    log_densities: LogDensityHistogram | None,
    *,
    features_col: str | None,
    anomaly_fraction: float,
    handle_invalid: str,
    seed: int,
    identities: Identities,
    log_densities_by_pattern: Mapping[bytes, LogDensityHistogram],
) -> SavedModel:
    """Return what is saved of a mixture in memory."""
    params: dict[str, Any] = {
        "k": parameters.n_components,
        "covarianceType": parameters.covariance_type,
        "anomalyFraction": anomaly_fraction,
        "handleInvalid": handle_invalid,
        "seed": seed,
    }
    if features_col is not None:
        params["featuresCol"] = features_col
    elif feature_names is not None:
        params["inputCols"] = feature_names
    metadata = {
        "uid": f"GaussianMixture_{uuid.uuid4().hex[:12]}",
        "timestamp": int(time.time() * 1000),
        "sparkVersion": _LAYOUT_OF,
        "paramMap": params,
        "defaultParamMap": {},
    }
    return SavedModel(parameters, feature_names, log_densities, None, metadata, identities, log_densities_by_pattern)


def require_fraction(name: str, value: Any) -> float:
    """Return a share as a float; raises ParameterError, which names it, if it is not in (0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ParameterError(f"{name}={show(value)}; need a number > 0 and < 1")
    return float(value)
