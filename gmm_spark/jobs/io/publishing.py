"""Directories that appear complete or not at all.

Spark's own overwrite deletes the old data first: if the run then fails, nothing is left, and a table cannot be written
over itself. Here a run writes to a staging directory beside its target, and moves it into place once everything is
written. Before that it moves the old data aside, and back again if the second move fails.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gmm_spark.errors import ConfigurationError
from gmm_spark.storage.hadoop import HadoopFiles, files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def require_publishable(spark: SparkSession, key: str, target: str, overwrite: bool, remedy: str) -> None:
    """Refuse, before any work is done, a target that could not be published later.

    Parameters
    ----------
    spark : SparkSession
    key : str
        The configuration key that names the target, for messages.
    target : str
        Directory to publish.
    overwrite : bool
        Whether an existing target may be replaced.
    remedy : str
        The setting that allows to replace it, for messages.

    Raises
    ------
    ConfigurationError
        If the target exists and must not be replaced, or cannot be replaced safely.
    """
    files = files_of(spark)
    if not isinstance(files, HadoopFiles):
        if overwrite:
            raise ConfigurationError(
                f"{key}: got a target to overwrite over Spark Connect, which cannot move directories: a failure "
                "would lose the old one; write to a new path"
            )
    elif not overwrite and files.exists(target):
        raise ConfigurationError(f"{key}: got {target!r}, which is there already; set {remedy} or name another path")


@contextmanager
def publish(spark: SparkSession, target: str) -> Iterator[str]:
    """Yield a directory to write to, and move it to the target if the block ends without an error.

    Parameters
    ----------
    spark : SparkSession
    target : str
        Where the directory goes. An existing one is replaced: call :func:`require_publishable` first.

    Yields
    ------
    str
        The staging directory. It lies beside the target, so that the move stays in one file system and copies
        nothing. Over Spark Connect, which cannot move directories, it is the target itself.
    """
    files = files_of(spark)
    if not isinstance(files, HadoopFiles):
        yield target
        return
    target = target.rstrip("/") or target
    run_id = uuid.uuid4().hex[:12]
    staging, old = f"{target}.staging-{run_id}", f"{target}.old-{run_id}"
    try:
        yield staging
        _swap(files, staging, target, old)
    except BaseException:
        # Raise the first error, not one of cleaning up: if the JVM has died, that fails too.
        with suppress(Exception):
            files.settle()
            files.delete(staging)
        raise


def _swap(files: HadoopFiles, staging: str, target: str, old: str) -> None:
    """Move the staging directory to the target, and remove what it replaces."""
    replaces = files.exists(target)
    if replaces:
        files.rename(target, old)
    try:
        files.rename(staging, target)
    except BaseException:
        if replaces:
            files.rename(old, target)
        raise
    if replaces:
        try:
            files.delete(old)
        except Exception as error:
            warnings.warn(f"the replaced data is still at {old}, remove it by hand: {error}", stacklevel=2)
