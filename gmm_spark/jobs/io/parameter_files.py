"""A mixture's parameters, written down in a JSON file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gmm_spark.errors import ConfigurationError, ParameterError
from gmm_spark.jobs.io.files import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark import MixtureParameters


def read_parameters(spark: SparkSession, key: str, path: str) -> MixtureParameters:
    """Read what ``MixtureParameters.to_dict`` says.

    Parameters
    ----------
    spark : SparkSession
    key : str
        Of the configuration, for messages.
    path : str

    Raises
    ------
    ConfigurationError
        Where the file holds no mixture.
    DataError
        Where there is no such file.
    """
    # Here, not above: faults in a configuration are told before Spark is loaded.
    from gmm_spark import MixtureParameters

    try:
        values = json.loads(files_of(spark).read_text(path))
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{key}: got {path!r}, needs a JSON file: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{key}: got {path!r}, needs a JSON object in it")
    try:
        return MixtureParameters.from_dict(values)
    except ParameterError as error:
        raise ConfigurationError(f"{key}: got {path!r}, which is not a mixture: {error}") from error
