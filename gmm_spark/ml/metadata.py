"""Metadata of saved estimators and models: one JSON line in pyspark.ml's layout. An estimator has nothing else.

The line names a class. pyspark.ml's own readers import it by that name, and call it: a file that anybody may have
written would choose what runs. The readers here compare the name with the class that was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.ml.param import Params
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLWriter
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from gmm_spark.errors import ModelFileError
from gmm_spark.storage.models import LONGEST, first_line, missing, parse_metadata

_FORMER_MODULES = ("model.", "estimator.", "selector.")  # of earlier versions, whose files name them


def describe_params(instance: Params, spark: SparkSession) -> dict[str, Any]:
    """Return pyspark.ml's metadata of an estimator or a model, with its class under the public path."""
    found: dict[str, Any] = json.loads(DefaultParamsWriter._get_metadata_to_save(instance, spark))
    kind = type(instance)
    if kind.__module__.startswith("gmm_spark."):  # a subclass in a user's module keeps its own path
        found["class"] = f"gmm_spark.{kind.__name__}"
    return found


class ParamsWriter(MLWriter):
    """Writes the parameters of an estimator, as pyspark.ml's ``DefaultParamsWriter`` but with the public class path."""

    def __init__(self, instance: Params) -> None:
        super().__init__()
        self._instance = instance

    def save(self, path: str) -> None:
        """Write the parameters below ``path``."""
        # pyspark.ml empties a folder through a local JVM. Over Spark Connect only the metadata is replaced.
        if self.shouldOverwrite and not is_remote():
            self._handleOverwrite(path)
        spark = self.sparkSession
        write_metadata(spark, path, describe_params(self._instance, spark), self.shouldOverwrite)


class ParamsReader(DefaultParamsReader[Any]):
    """Reads what :class:`ParamsWriter` wrote.

    pyspark.ml's ``DefaultParamsReader`` imports the class that the file names, and calls it. This one compares the name
    with the class that was asked for, and imports nothing.

    Parameters
    ----------
    kind : type
        The class of the estimator.
    """

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind)
        self._kind = kind

    def load(self, path: str) -> Any:
        """Read an estimator from the folder ``path``.

        Raises
        ------
        ModelFileError
            If there is no estimator of this class at ``path``, or it is damaged.
        """
        name = self._kind.__name__
        metadata = read_metadata(self.sparkSession, path, list_names(self._kind), name)
        try:
            instance = self._kind()
            instance._resetUid(metadata["uid"])
            DefaultParamsReader.getAndSetParams(instance, metadata)
            return instance
        except Exception as error:  # whatever a key that is missing or has a wrong value leads to
            raise ModelFileError(f"the {name} at {path} is damaged: {first_line(error)}; save it again") from error


def list_names(kind: type[Any]) -> set[str]:
    """Return the names that files have for a class: for ours also the public path and the modules of old versions."""
    names = {f"{kind.__module__}.{kind.__name__}"}
    if kind.__module__.startswith("gmm_spark."):
        names |= {f"gmm_spark.{home}{kind.__name__}" for home in ("", *_FORMER_MODULES)}
    return names


def write_metadata(spark: SparkSession, path: str, metadata: dict[str, Any], overwrite: bool) -> None:
    """Write metadata below a path."""
    line = json.dumps(metadata, separators=(",", ":"))
    rows = spark.createDataFrame(pa.table({"value": [line]}))  # of Python objects, Spark would ask its Python workers
    rows.coalesce(1).write.mode("overwrite" if overwrite else "error").text(f"{path}/metadata")


def read_metadata(spark: SparkSession, path: str, classes: Collection[str], kind: str) -> dict[str, Any]:
    """Return the metadata of a saved object whose class has one of these names; the class is not imported.

    Parameters
    ----------
    spark : SparkSession
    path : str
    classes : collection of str
        Names that are accepted.
    kind : str
        What was asked for, as messages name it.

    Raises
    ------
    ModelFileError
        If there is nothing of the kind at the path.
    """
    try:
        # What is too long does not reach the driver.
        value = F.when(F.length("value") <= LONGEST, F.col("value")).alias("value")
        line = spark.read.text(f"{literal_path(path)}/metadata").select(value).first()
        if line is None:
            raise ValueError("its metadata is empty")
        if line["value"] is None:
            raise ValueError(f"its metadata has more than {LONGEST:,} characters")
    except (AnalysisException, ValueError) as error:
        raise missing(path, kind, error) from error
    return parse_metadata(path, line["value"], classes, kind)


def literal_path(path: str) -> str:
    """Escape the characters of a path that Spark's readers would take as a pattern."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", str(path))  # a pathlib.Path works too
