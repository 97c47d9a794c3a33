"""Outputs that appear whole or not at all.

Spark's own overwrite deletes the old data first: a run that fails leaves nothing, and a table cannot be written
over itself. Here a run writes to a directory beside its target and moves it into place once all is written. The
old data is moved aside before, and back again should the second move fail.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.io.files import HadoopFiles, files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def require_publishable(spark: SparkSession, key: str, target: str, overwrite: bool, remedy: str) -> None:
    """Refuse a target that could not be published later, before any work is done.

    Parameters
    ----------
    spark : SparkSession
    key : str
        The configuration key that names the target.
    target : str
        Directory to publish.
    overwrite : bool
        Whether what is there may be replaced.
    remedy : str
        What allows to replace it, for the message.

    Raises
    ------
    ConfigurationError
        When the target is there and must not be replaced, or cannot safely be.
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
def published(spark: SparkSession, target: str) -> Iterator[str]:
    """Yield a directory to write to; move it to the target when the block ends without an error.

    Parameters
    ----------
    spark : SparkSession
    target : str
        Where the directory goes. What is there is replaced: :func:`require_publishable` asks first.

    Yields
    ------
    str
        The staging directory, a sibling of the target: a move within one file system copies nothing. Over
        Spark Connect, where nothing can be moved, the target itself.
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
        # The first error is the one to tell: a JVM that has died can clean nothing up either.
        with suppress(Exception):
            files.settle()
            files.delete(staging)
        raise


def _swap(files: HadoopFiles, staging: str, target: str, old: str) -> None:
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
