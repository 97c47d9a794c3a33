"""The Spark session of a job, begun and ended with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gmm_spark.pipeline.configuration import JobConfiguration
from gmm_spark.pipeline.secrets import reveal

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def open_session(configuration: JobConfiguration) -> Iterator[SparkSession]:
    """Begin a session with spark-submit's settings under the configuration's own, and stop it at the end.

    Run as ``python jobs/….py`` with no master set anywhere, Spark itself chooses ``local[*]``.
    """
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    name = configuration.run.app_name
    if name is None and "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit has a --name of its own
        name = f"gmm-spark {configuration.job}"
    if name is not None:
        builder = builder.appName(name)
    for key, value in reveal(configuration.run.spark).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    try:
        if not is_remote(session):
            _prepare(session)
        yield session
    finally:
        with suppress(Exception):  # a JVM that has died cannot be stopped; what was published stays published
            session.stop()


def is_remote(session: SparkSession) -> bool:
    """Whether the session is a Spark Connect client, which has no JVM of its own."""
    from pyspark.sql import SparkSession

    return not isinstance(session, SparkSession)  # the client's class shares the interface, not the base


def _prepare(session: SparkSession) -> None:
    context = session.sparkContext
    # Local workers would be whatever `python3` is first on PATH, perhaps without pyarrow. On a cluster the
    # driver's path means nothing, and the choice is the operator's.
    if (context.master or "").startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable
    if not context.getConf().contains("spark.log.level"):
        context.setLogLevel("WARN")
