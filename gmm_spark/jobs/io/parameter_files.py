"""A mixture's parameters, read from a JSON file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ConfigurationError, DataError, ParameterError
from gmm_spark.storage.documents import shorten
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def read_parameters(spark: SparkSession, key: str, path: str) -> MixtureParameters:
    """Read parameters in the form that ``MixtureParameters.to_dict`` gives.

    Parameters
    ----------
    spark : SparkSession
    key : str
        The configuration key that names the file, for messages.
    path : str

    Raises
    ------
    ConfigurationError
        If the file holds no mixture.
    DataError
        If there is no such file.
    """
    try:
        values = json.loads(files_of(spark).read_text(path))
    except DataError:  # a ValueError too
        raise
    except (ValueError, RecursionError) as error:  # also if it is not UTF-8, nests without end, or a number is endless
        raise ConfigurationError(f"{key}: got {path!r}, needs a JSON file: {shorten(str(error))}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{key}: got {path!r}, needs a JSON object in it")
    try:
        return MixtureParameters.from_dict(values)
    except ParameterError as error:
        raise ConfigurationError(f"{key}: got {path!r}, which is not a mixture: {shorten(str(error), 300)}") from error
