"""Defaults of the parameters that are not settings of EM.

Those of EM's settings are in :class:`gmm_spark.core.settings.Settings`. Both modules import nothing of Spark, so that
code which runs before Spark is loaded can read them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gmm_spark.core.settings import ANOMALY_FRACTION


@dataclass(frozen=True)
class Defaults:
    """One field for each parameter, under the parameter's name; :mod:`gmm_spark.ml.params` documents them."""

    featuresCol: str = "features"
    predictionCol: str = "prediction"
    probabilityCol: str = "probability"
    componentIdCol: str = ""
    logDensityCol: str = ""
    anomalyCol: str = ""
    anomalyFraction: float = ANOMALY_FRACTION
    reasonsCol: str = ""
    handleInvalid: str = "error"
    precision: str = "float64"
    packing: str = "auto"
    aggregationDepth: int = 2
    updateMaxIter: int = 10
    criterion: str = "bic"
    validationFraction: float = 0.0
    portrait: bool = False
    verbose: bool = False
