"""The Spark session of a job, begun and ended with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.jobs.config.sections import JobConfiguration
from gmm_spark.jobs.io.files import is_remote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Seconds that a failed job may wait for Spark's JVM and for pyspark's threads to end: both take about one.
_LEAVE = 15.0


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
        _stop(session)


def _stop(session: SparkSession) -> None:
    """Stop a session as far as its JVM still answers; what was published stays published."""
    # Where the JVM has died, a first call fails at asking it, and a second stops what pyspark runs in this process.
    for _ in range(2):
        with suppress(Exception):
            session.stop()


@dataclass(frozen=True)
class Surroundings:
    """What this process had before a job began: the connection to a JVM, if there was one, and threads."""

    gateway: Any
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> Surroundings:
        """Look around."""
        return cls(_gateway(), frozenset(threading.enumerate()))

    def restore(self) -> None:
        """End the JVM that was begun since, if it is ours, and pyspark's threads, and wait for them.

        Each may write to stderr at any time: the JVM until its last hook has run, for itself and for its Python
        workers, whose stderr it copies; and, once the JVM has died, py4j's thread that releases Java's objects.
        Errors of Spark's have no text any more afterwards: they ask the JVM for it.
        """
        gateway = _gateway()
        if gateway is None or gateway is self.gateway:
            return
        from pyspark import SparkContext

        SparkContext._gateway = SparkContext._jvm = None  # a later session would begin a JVM of its own
        deadline = time.monotonic() + _LEAVE
        process = gateway.proc
        if process is not None:  # None where spark-submit's JVM began this process
            with suppress(OSError):
                process.stdin.close()  # which the JVM takes as its end
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE)
        gateway.shutdown()
        for thread in set(threading.enumerate()) - self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _gateway() -> Any:
    """The connection to the JVM; None where there is none, and over Spark Connect."""
    if "pyspark" not in sys.modules:  # which a faulty configuration is told without
        return None
    from pyspark import SparkContext

    return SparkContext._gateway


def _prepare(session: SparkSession) -> None:
    context = session.sparkContext
    # Local workers would be whatever `python3` is first on PATH, perhaps without pyarrow. On a cluster the
    # driver's path means nothing, and the choice is the operator's.
    if (context.master or "").startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable
    if not context.getConf().contains("spark.log.level"):
        context.setLogLevel("WARN")
