"""The table: what Spark, Python workers, py4j, Arrow and the JVM can say, what it means, and what to do.

Rows are tried from the first to the last, each on all the errors that a text tells of, from the innermost to the
outermost. So what names a cause stands before what names a consequence: a full disk before a lost executor, a lost
executor before a closed connection.
"""

from __future__ import annotations

from gmm_spark.jobs.causes.cause import Cause
from gmm_spark.jobs.causes.execution import CLUSTER, RESOURCES, WORKERS
from gmm_spark.jobs.causes.requests import SETTINGS, TABLES
from gmm_spark.jobs.causes.stores import CLASSES, CREDENTIALS, STORES

TABLE: tuple[Cause, ...] = (
    *WORKERS,
    *RESOURCES,
    *CREDENTIALS,
    *CLASSES,
    *STORES,
    *TABLES,
    *SETTINGS,
    *CLUSTER,
)
