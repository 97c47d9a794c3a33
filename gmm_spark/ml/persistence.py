"""Models on disk: one JSON line of metadata and one Parquet row per component. Nothing is pickled.

Spark writes and reads the files, so any file system that it knows will do. What they hold, and how it is checked, is in
:mod:`gmm_spark.storage.models`; :class:`gmm_spark.Mixture` reads the same files without Spark.

Estimators are saved by their parameters alone: see :mod:`gmm_spark.ml.metadata`.

The jobs write models into runs, ``<path>/run_id=.../``. Readers find them there: see :mod:`gmm_spark.storage.runs`.

Spark's writers take a path as it is. Its readers take it as a pattern, so that ``run[1]`` would read ``run1``. Every
path is escaped here before it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pyspark.errors import AnalysisException
from pyspark.ml.param import Params
from pyspark.ml.util import DefaultParamsReader, MLReadable, MLReader, MLWriter
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.covariance import CovarianceStructure
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.update.memory import Memory
from gmm_spark.errors import ParameterError
from gmm_spark.ml.metadata import describe_params, literal_path, read_metadata, write_metadata
from gmm_spark.spark.results import collect
from gmm_spark.storage.hadoop import files_of, is_remote
from gmm_spark.storage.models import (
    MODEL_CLASSES,
    SavedModel,
    build_model,
    damaged,
    to_metadata,
    to_table,
)
from gmm_spark.storage.runs import find_model, holds_runs

M = TypeVar("M", bound=MLReadable[Any])


def write_model(spark: SparkSession, path: str, model: SavedModel, overwrite: bool) -> None:
    """Write a model below a path.

    Raises
    ------
    ParameterError
        If there is something at the path, unless ``overwrite``; or if jobs have written runs there.
    """
    if holds_runs(files_of(spark), str(path)):
        raise ParameterError(
            f"path={path!r} holds runs of a job, and load() would take the newest of them; save the model elsewhere"
        )
    if not overwrite and _exists(spark, path):
        raise ParameterError(f"path={path!r} exists already; use write().overwrite().save(path) or another path")
    # Metadata last: a folder without it is no model, so an interrupted save cannot be mistaken for one.
    rows = spark.createDataFrame(to_table(model.parameters))  # of Python objects, Spark would ask its Python workers
    mode = "overwrite" if overwrite else "error"
    rows.coalesce(1).sortWithinPartitions("component").write.mode(mode).parquet(f"{path}/data")
    write_metadata(spark, path, to_metadata(model), overwrite)


def read_model(spark: SparkSession, path: str) -> SavedModel:
    """Read what :func:`write_model` wrote.

    Parameters
    ----------
    spark : SparkSession
    path : str
        The folder that :func:`write_model` wrote, a directory of runs, of which the newest complete one is read, or the
        directory of one run. A run is checked against its manifest first.

    Raises
    ------
    ModelFileError
        If there is no model at the path, its format version is unknown, or it is damaged; or if there are runs, and
        none is complete.
    ResourceError
        If the driver may not receive so much.
    """
    path = find_model(files_of(spark), str(path)).path

    def read_rows(kind: CovarianceStructure) -> list[Any]:
        rows = spark.read.parquet(f"{literal_path(path)}/data").orderBy("component")
        if kind.pooled:  # all rows repeat it: one will do
            rows = rows.withColumn("covariance", F.when(F.col("component") == 0, F.col("covariance")))
        return collect(rows)

    return build_model(path, read_metadata(spark, path, MODEL_CLASSES, "model"), read_rows)


class ModelWriter(MLWriter):
    """Writes one model; ``overwrite()`` replaces what is at the path.

    Parameters
    ----------
    model : Params
        Gives pyspark.ml's metadata.
    parameters : MixtureParameters
    feature_names : list of str or None
    log_densities : LogDensityHistogram or None
    training_profile : TrainingProfile or None
    identities : Identities
    log_densities_by_pattern : mapping of bytes to LogDensityHistogram
    memory : Memory or None
    """

    def __init__(
        self,
        model: Params,
        parameters: MixtureParameters,
        feature_names: list[str] | None,
        log_densities: LogDensityHistogram | None,
        training_profile: TrainingProfile | None,
        identities: Identities,
        log_densities_by_pattern: Mapping[bytes, LogDensityHistogram],
        memory: Memory | None,
    ) -> None:
        super().__init__()
        self._model = model
        self._more = identities, log_densities_by_pattern, memory
        self._parts = parameters, feature_names, log_densities, training_profile

    def save(self, path: str) -> None:
        """Write the model below ``path``; raises ParameterError if the path exists and is not to be overwritten."""
        write_model(self.sparkSession, path, self.describe(), self.shouldOverwrite)

    def describe(self) -> SavedModel:
        """Return what the files will hold."""
        return SavedModel(*self._parts, describe_params(self._model, self.sparkSession), *self._more)


class ModelReader(MLReader[M]):
    """Reads what :class:`ModelWriter` wrote.

    Parameters
    ----------
    build : callable
        The class of the model, called with what :class:`SavedModel` has, in its order, without the metadata.
    """

    def __init__(
        self,
        build: Callable[[MixtureParameters, list[str] | None, LogDensityHistogram | None, TrainingProfile | None], M],
    ) -> None:
        super().__init__()
        self._build = build

    def load(self, path: str) -> M:
        """Read a model that ``save`` wrote, or a job: of several runs of a job, the newest that is complete.

        Raises
        ------
        ModelFileError
            If there is no model at ``path``, its format version is unknown, or it is damaged.
        """
        saved = read_model(self.sparkSession, path)
        metadata = saved.metadata
        try:
            model: Any = self._build(saved.parameters, saved.feature_names, saved.log_densities, saved.training_profile)
            model.identities = saved.identities or Identities.fresh(saved.parameters.n_classes, recorded=False)
            model.logDensitiesByPattern = saved.log_densities_by_pattern
            model.memory = saved.memory
            model._resetUid(metadata["uid"])
            defaults = metadata["defaultParamMap"]
            metadata["defaultParamMap"] = {name: defaults[name] for name in defaults if model.hasParam(name)}
            DefaultParamsReader.getAndSetParams(model, metadata)
            return cast(M, model)
        except Exception as error:  # whatever a key that is missing or has a wrong value leads to
            raise damaged(path, error) from error


def _exists(spark: SparkSession, path: str) -> bool:
    """Whether there is anything at a path; files are listed, not read."""
    if not is_remote(spark):  # without the stack trace that Spark logs if it resolves a path where nothing is
        return files_of(spark).exists(str(path))
    try:
        # Connect resolves the path only when the schema is asked for.
        spark.read.format("binaryFile").load(literal_path(path)).schema  # noqa: B018
    except AnalysisException:
        return False
    return True
