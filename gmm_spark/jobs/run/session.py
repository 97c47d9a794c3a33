"""The Spark session of a job: started for it and stopped after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.secrets import SENSITIVE, is_sensitive, reveal
from gmm_spark.jobs.config.sections import RunSection
from gmm_spark.jobs.run.details import Details
from gmm_spark.jobs.run.termination import passed_on_by_jvm
from gmm_spark.storage.hadoop import is_remote

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

# Values of such keys are struck out of the event log.
_REDACTION = f"(?i){SENSITIVE}"
_UMASK = "spark.hadoop.fs.permissions.umask-mode"


@contextmanager
def open_session(configuration: JobConfiguration, details: Details) -> Iterator[SparkSession]:
    """Start a session whose log goes to the details, and stop it when the block ends.

    The configuration's Spark settings override those of spark-submit. If no master is set anywhere, as when a job is
    run by Python alone, Spark chooses ``local[*]``.
    """
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    name = configuration.run.app_name
    if name is None and "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit has a --name of its own
        name = f"gmm-spark {configuration.job}"
    if name is not None:
        builder = builder.appName(name)
    settings = reveal(configuration.run.spark)
    for key, value in settings.items():
        builder = builder.config(key, value)
    if _launch_jvm(settings, name, details):
        for key, value in _choose_settings(configuration.run, SparkConf()).items():
            if key not in settings:
                builder = builder.config(key, value)
    session = builder.getOrCreate()
    try:
        if not is_remote(session):
            details.take_over(session)
            _prepare(session)
        with passed_on_by_jvm(session):
            yield session
    finally:
        with suppress(Exception):  # the JVM may have died; whatever was published stays published
            session.stop()


def _launch_jvm(settings: Mapping[str, str], name: str | None, details: Details) -> bool:
    """Start the JVM here, so that its stderr can be chosen, if pyspark would start one now.

    Returns
    -------
    bool
        Whether this process has a JVM; a Spark Connect client has none.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    connects = any(key in settings for key in ("spark.remote", "spark.api.mode"))
    connects = connects or any(key in os.environ for key in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"))
    if connects:
        return False
    if SparkContext._gateway is not None or "PYSPARK_GATEWAY_PORT" in os.environ:
        SparkContext._ensure_initialized()
        return True
    conf = SparkConf()
    for key, value in {**({} if name is None else {"spark.app.name": name}), **settings}.items():
        if not is_sensitive(key):  # these stand on the JVM's command line, which other users can read
            conf.set(key, value)
    launch: Any = launch_gateway  # which has no types
    SparkContext._ensure_initialized(gateway=launch(conf, details.launch_options()))
    return True


def _choose_settings(run: RunSection, theirs: SparkConf) -> dict[str, str]:
    """Choose what the event log redacts, and the umask of Hadoop's files, unless spark-submit or its files say it.

    A ``run.umask`` that was given stands before theirs.
    """
    found = {"spark.redaction.regex": str(theirs.get("spark.redaction.regex", _REDACTION))}
    if run.umask is not None and ("umask" in run.model_fields_set or not theirs.contains(_UMASK)):
        found[_UMASK] = run.umask
    return found


def _prepare(session: SparkSession) -> None:
    """Choose the workers' Python, and keep Spark's log quiet, unless the user has set these."""
    context = session.sparkContext
    # By default, local workers run the first `python3` on PATH, which may lack pyarrow. Clusters are left alone: there
    # the driver's path means nothing, and the operator chooses.
    if (context.master or "").startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable
    if not context.getConf().contains("spark.log.level"):
        context.setLogLevel("WARN")
