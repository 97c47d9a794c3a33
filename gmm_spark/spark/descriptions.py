"""Descriptions of Spark's jobs, which its pages and its event log show: what is being done, and for whom.

This is the only module outside :mod:`gmm_spark.jobs` and :mod:`gmm_spark.storage` that asks for a SparkContext. Spark
Connect has neither a context nor descriptions, and fits go on without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DESCRIPTION, GROUP = "spark.job.description", "spark.jobGroup.id"


@contextmanager
def describe_jobs(
    spark: SparkSession, text: str, unless_named: bool = False, group: str | None = None
) -> Iterator[None]:
    """Describe the jobs that this thread runs within the block, after what their description says already.

    Within "GaussianMixture fit" the jobs of a pass are "GaussianMixture fit: pass 4 of at most 100". A description that
    the user has set stays in front, and is as it was when the block ends.

    Parameters
    ----------
    spark : SparkSession
    text : str
    unless_named : bool
        Leave a description as it is if there is one.
    group : str, optional
        Group of the jobs, by which they can be found and cancelled.
    """
    context = _find_context(spark)
    given = {name: _read(context, name) for name in (DESCRIPTION, GROUP)}
    described = given[DESCRIPTION]
    if context is None or (unless_named and described):
        yield
        return
    _write(context, DESCRIPTION, f"{described}: {text}" if described else text)
    if group is not None:
        _write(context, GROUP, group)
    try:
        yield
    finally:
        for name, value in given.items():
            _write(context, name, value)


def _find_context(spark: SparkSession) -> Any:
    """Return the session's SparkContext; None if it has none, or does not let it be used."""
    try:
        return spark.sparkContext
    except Exception:
        return None


def _read(context: Any, name: str) -> str | None:
    try:
        return None if context is None else context.getLocalProperty(name)
    except Exception:  # a description is not worth a failure
        return None


def _write(context: Any, name: str, value: str | None) -> None:
    try:
        context.setLocalProperty(name, value)
    except Exception:  # the JVM may have ended: the error that matters is another
        return
