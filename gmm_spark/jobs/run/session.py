"""The Spark session of a job: started for it and stopped after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.storage.hadoop import is_remote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def open_session(configuration: JobConfiguration) -> Iterator[SparkSession]:
    """Start a session, and stop it when the block ends.

    The configuration's Spark settings override those of spark-submit. If no master is set anywhere, as when a job is
    run by Python alone, Spark chooses ``local[*]``.
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
        with suppress(Exception):  # the JVM may have died; whatever was published stays published
            session.stop()


def _prepare(session: SparkSession) -> None:
    """Choose the workers' Python, and keep Spark's log quiet, unless the user has set these."""
    context = session.sparkContext
    # By default, local workers run the first `python3` on PATH, which may lack pyarrow. Clusters are left alone: there
    # the driver's path means nothing, and the operator chooses.
    if (context.master or "").startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable
    if not context.getConf().contains("spark.log.level"):
        context.setLogLevel("WARN")
