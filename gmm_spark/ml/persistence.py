"""Models on disk: one JSON line of metadata and one Parquet row a component. Nothing is pickled.

Layout, written and read through Spark so that any file system it knows will do::

    <path>/metadata   pyspark.ml's own layout, with formatVersion, covarianceType, featureNames and logDensities added
    <path>/data       component int, weight double, mean array<double>, covariance array<double>

A covariance is flattened in C order from the structure's shape for one component: full and tied d x d (tied
repeats it), diag d, spherical 1. ``logDensities`` is the training rows' histogram as
:class:`.LogDensityHistogram` writes itself out, or null; files of before it was added lack it.
``formatVersion`` rises when an older reader would misread the files: other bins of that histogram would be a reason.
Keys that a reader does not know, and defaults of parameters that it does not have, it passes over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.errors import AnalysisException
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader, MLWriter
from pyspark.sql import SparkSession

from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ModelFileError, ParameterError

if TYPE_CHECKING:
    from gmm_spark.ml.model import GaussianMixtureModel

FORMAT_VERSION = 1
# The class that files name: the public path, which no move within the package changes; before it the module's.
_CLASS = "gmm_spark.GaussianMixtureModel"
_FORMER_CLASS = "gmm_spark.model.GaussianMixtureModel"
_DATA_SCHEMA = "component int, weight double, mean array<double>, covariance array<double>"


class ModelWriter(MLWriter):
    """Writes one model; ``overwrite()`` replaces what is there, without which that is an error."""

    def __init__(self, model: GaussianMixtureModel) -> None:
        super().__init__()
        self._model = model

    def save(self, path: str) -> None:
        """Write the model below ``path``."""
        spark, mode = self.sparkSession, "overwrite" if self.shouldOverwrite else "error"
        if not self.shouldOverwrite and _exists(spark, path):
            raise ParameterError(f"path={path!r} exists already; use write().overwrite().save(path) or another path")
        parameters, log_densities = self._model.parameters, self._model.logDensities
        # Metadata last: a folder without it is no model, so an interrupted save cannot be mistaken for one.
        rows = spark.createDataFrame(_rows(parameters), _DATA_SCHEMA)
        rows.coalesce(1).sortWithinPartitions("component").write.mode(mode).parquet(f"{path}/data")
        extra = {
            "class": _CLASS,
            "formatVersion": FORMAT_VERSION,
            "covarianceType": parameters.covariance_type,
            "featureNames": self._model.featureNames,
            "logDensities": None if log_densities is None else log_densities.to_dict(),
        }
        metadata = DefaultParamsWriter._get_metadata_to_save(self._model, spark, extra)
        spark.createDataFrame([(metadata,)], "value string").coalesce(1).write.mode(mode).text(f"{path}/metadata")


class ModelReader(MLReader["GaussianMixtureModel"]):
    """Reads what :class:`ModelWriter` wrote, as the class it is given."""

    def __init__(self, kind: type[GaussianMixtureModel]) -> None:
        super().__init__()
        self._kind = kind

    def load(self, path: str) -> GaussianMixtureModel:
        """Read a model.

        Raises
        ------
        ModelFileError
            Where there is no model at ``path``, its format version is unknown, or it is damaged.
        """
        spark = self.sparkSession
        metadata = _read_metadata(spark, path)
        version = metadata.get("formatVersion")
        if version != FORMAT_VERSION:
            raise ModelFileError(
                f"{path} has model format version {version!r}; this gmm_spark reads version {FORMAT_VERSION}: "
                "install the gmm_spark that wrote it, or a later one"
            )
        try:
            rows = spark.read.parquet(f"{path}/data").orderBy("component").collect()
            parameters, histogram = _parameters(rows, metadata["covarianceType"]), metadata.get("logDensities")
            log_densities = None if histogram is None else LogDensityHistogram.from_dict(histogram)
            model = self._kind(parameters, metadata["featureNames"], log_densities)
            model._resetUid(metadata["uid"])
            defaults = metadata["defaultParamMap"]
            metadata["defaultParamMap"] = {name: defaults[name] for name in defaults if model.hasParam(name)}
            DefaultParamsReader.getAndSetParams(model, metadata)
        except Exception as error:  # a torn Parquet file comes as whatever the reader within Spark threw
            raise ModelFileError(f"the model at {path} is damaged: {_first_line(error)}; save it again") from error
        return model


def _rows(parameters: MixtureParameters) -> list[tuple[int, float, list[float], list[float]]]:
    covariances = parameters.covariances
    if parameters.structure.pooled:
        covariances = np.broadcast_to(covariances, (parameters.n_components, *covariances.shape))
    columns = zip(parameters.weights.tolist(), parameters.means.tolist(), covariances, strict=True)
    return [(j, weight, mean, covariance.ravel().tolist()) for j, (weight, mean, covariance) in enumerate(columns)]


def _parameters(rows: list[Any], covariance_type: str) -> MixtureParameters:
    if [r["component"] for r in rows] != list(range(len(rows))) or not rows:
        raise ParameterError(f"data holds components {[r['component'] for r in rows]}")
    means = np.array([r["mean"] for r in rows])
    kind = structure(covariance_type)
    stored = np.array([r["covariance"] for r in rows])
    covariances = (stored[0] if kind.pooled else stored).reshape(kind.shape(*means.shape))
    return MixtureParameters([r["weight"] for r in rows], means, covariances, covariance_type)


def _read_metadata(spark: SparkSession, path: str) -> dict[str, Any]:
    try:
        line = spark.read.text(f"{path}/metadata").first()
        if line is None:
            raise ValueError("its metadata is empty")
        metadata = json.loads(line["value"])
    except (AnalysisException, ValueError) as error:
        raise ModelFileError(f"no model at {path}: {_first_line(error)}; give the folder that save() wrote") from error
    if not isinstance(metadata, dict) or metadata.get("class") not in (_CLASS, _FORMER_CLASS):
        raise ModelFileError(f"{path} holds something else than a gmm_spark model; give the folder that save() wrote")
    return metadata


def _exists(spark: SparkSession, path: str) -> bool:
    """Whether there is anything at a path: a reader of any file looks for it without reading it."""
    try:
        spark.read.format("binaryFile").load(path).schema  # noqa: B018 - Connect resolves the path only when asked
    except AnalysisException:
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
