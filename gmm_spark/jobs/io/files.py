"""Files and directories as Spark sees them: local disks, HDFS, object stores.

Every call goes through the session's JVM, which knows the cluster's default file system and the credentials. This
also protects published data: if spark-submit is killed, the JVM dies, and a driver that lives on can move nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTLING_SECONDS = 10.0  # the longest wait for cancelled tasks to end


class HadoopFiles:
    """The few operations on paths that publishing needs, done by Hadoop's ``FileSystem``.

    Parameters
    ----------
    spark : SparkSession
        A classic session: a Spark Connect client has no JVM to ask.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._jvm: Any = spark.sparkContext._jvm
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a directory."""
        system, location = self._resolve(path)
        return bool(system.exists(location))

    def rename(self, source: str, target: str) -> None:
        """Move a file or a directory to a free name in the same file system.

        Raises
        ------
        OSError
            If the name is taken or the move fails.
        """
        system, location = self._resolve(source)
        # Hadoop moves *into* an existing directory, and reports most failures by returning false.
        if self.exists(target) or not system.rename(location, self._jvm.org.apache.hadoop.fs.Path(target)):
            raise OSError(f"could not move {source} to {target}; check that nobody else writes there")

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with its contents. Nothing happens if there is none."""
        system, location = self._resolve(path)
        system.delete(location, True)

    def read_text(self, path: str) -> str:
        """Return the contents of a UTF-8 file.

        Raises
        ------
        DataError
            If there is no such file.
        """
        system, location = self._resolve(path)
        if not system.isFile(location):
            raise DataError(f"{path}: no such file; check the path")
        stream = system.open(location)
        try:
            return bytes(stream.readAllBytes()).decode("utf-8")
        finally:
            stream.close()

    def write_text(self, path: str, text: str) -> None:
        """Replace a UTF-8 file, atomically if the file system allows."""
        self.write_bytes(path, text.encode("utf-8"))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Replace a file, atomically if the file system allows."""
        system, location = self._resolve(path)
        if system.getScheme() == "file":
            _replace_local(Path(system.makeQualified(location).toUri().getPath()), data)
            return
        stream = system.create(location, True)  # object stores show a file once it is closed
        try:
            stream.write(data)
        finally:
            stream.close()

    def settle(self) -> None:
        """Cancel all Spark jobs and wait until their tasks have ended and write no more."""
        context = self._spark.sparkContext
        context.cancelAllJobs()
        deadline = time.monotonic() + SETTLING_SECONDS
        while context.statusTracker().getActiveStageIds() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _resolve(self, path: str) -> tuple[Any, Any]:
        """Return the file system of a path, and the path as Hadoop's."""
        location = self._jvm.org.apache.hadoop.fs.Path(path)
        return location.getFileSystem(self._configuration), location


class LocalFiles:
    """Files of the driver's own machine, the only ones that a Spark Connect client can reach."""

    def read_text(self, path: str) -> str:
        """Return the contents of a UTF-8 file.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; check the path") from error

    def write_text(self, path: str, text: str) -> None:
        """Replace a UTF-8 file atomically."""
        self.write_bytes(path, text.encode("utf-8"))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Replace a file atomically.

        Raises
        ------
        ConfigurationError
            If the path is a URL.
        """
        if "://" in path:
            raise ConfigurationError(f"{path}: over Spark Connect this can only be a local file")
        _replace_local(Path(path), data)


def is_remote(session: SparkSession) -> bool:
    """Return whether the session is a Spark Connect client, which has no JVM of its own."""
    from pyspark.sql import SparkSession

    return not isinstance(session, SparkSession)  # a client's class has the same methods, but another base


def files_of(spark: SparkSession) -> HadoopFiles | LocalFiles:
    """Return the files that a session can reach."""
    return LocalFiles() if is_remote(spark) else HadoopFiles(spark)


def _replace_local(path: Path, data: bytes) -> None:
    """Write a local file under another name, then rename it: readers see the old contents or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()
