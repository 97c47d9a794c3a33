"""Files of any file system that Spark knows: HDFS, object stores, local disks.

Every call goes through the session's JVM, which knows the cluster's default file system and the credentials. This
also protects published data: if spark-submit is killed, the JVM dies, and a driver that lives on can publish nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import DataError
from gmm_spark.storage.files import Entry, Files, LocalFiles, is_hidden

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTLING_SECONDS = 10.0  # the longest wait for cancelled tasks to end
# If a file system has this, a file is created only if there is none, decided when it is closed (a conditional put).
_CONDITIONAL_CREATE = "fs.option.create.conditional.overwrite"
# File systems whose names appear before their contents, and that rename a file in one exclusive step.
_RENAMING = frozenset({"hdfs", "webhdfs", "swebhdfs", "viewfs", "o3fs", "ofs"})
_ERRORS: dict[str, type[OSError]] = {
    "FileAlreadyExistsException": FileExistsError,
    "FileNotFoundException": FileNotFoundError,
    "NoSuchFileException": FileNotFoundError,
    "AccessControlException": PermissionError,
    "AccessDeniedException": PermissionError,
}


class HadoopFiles:
    """Operations on paths, done by Hadoop's ``FileSystem``, or by Python if a path is of the driver's own machine.

    Parameters
    ----------
    spark : SparkSession
        A classic session: a Spark Connect client has no JVM to ask.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._jvm: Any = spark.sparkContext._jvm
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()
        self._disk = LocalFiles()

    def qualify(self, path: str) -> str:
        """Return the full name of a path, with its file system."""
        with _translated(path):
            system, location = self._resolve(path)
            return str(system.makeQualified(location).toString())

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a directory."""
        with _translated(path):
            system, location = self._resolve(path)
            return bool(system.exists(location))

    def list_folder(self, path: str) -> list[Entry]:
        """Return what is in a directory, by name."""
        with _translated(path):
            system, location = self._resolve(path)
            if local := _local_path(system, location):
                return self._disk.list_folder(local)
            return sorted(_describe(status) for status in system.listStatus(location))

    def walk(self, path: str) -> list[Entry]:
        """Return the files below a directory that Spark would read, by their names relative to it."""
        with _translated(path):
            system, location = self._resolve(path)
            if local := _local_path(system, location):
                return self._disk.walk(local)
            return sorted(_walk(system, location, ""))

    def read_bytes(self, path: str, limit: int) -> bytes:
        """Return the contents of a file, of which at most ``limit + 1`` bytes are read."""
        with _translated(path):
            system, location = self._resolve(path)
            if local := _local_path(system, location):
                return self._disk.read_bytes(local, limit)
            stream = system.open(location)
            try:
                return bytes(stream.readNBytes(limit + 1))
            finally:
                stream.close()

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

    def checksum(self, path: str) -> str:
        """Return the SHA-256 of a file's contents, as 64 hexadecimal digits; the JVM reads them."""
        with _translated(path):
            system, location = self._resolve(path)
            if local := _local_path(system, location):
                return self._disk.checksum(local)
            digest = self._jvm.java.security.MessageDigest.getInstance("SHA-256")
            stream = self._jvm.java.security.DigestInputStream(system.open(location), digest)
            try:
                stream.transferTo(self._jvm.java.io.OutputStream.nullOutputStream())
            finally:
                stream.close()
            return bytes(byte % 256 for byte in digest.digest()).hex()

    def create(self, path: str, data: bytes) -> None:
        """Write a new file, whole and exclusively; raises FileExistsError if the name is taken.

        On object stores this is exclusive if the store has conditional puts and Hadoop's connector uses them. Elsewhere
        the connector looks first and then writes, so that two writers in the same moment could both succeed.
        """
        with _translated(path):
            system, location = self._resolve(path)
            if local := _local_path(system, location):
                self._disk.create(local, data)
            elif system.getScheme() in _RENAMING:
                self._create_by_rename(system, location, data)
            else:
                _create_by_put(system, location, data)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Replace a file, atomically if the file system allows."""
        with _translated(path):
            system, location = self._resolve(path)
            if local := _local_path(system, location):
                self._disk.write_bytes(local, data)
            else:
                _write(system.create(location, True), data)  # object stores show a file once it is closed

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with its contents. Nothing happens if there is none."""
        with _translated(path):
            system, location = self._resolve(path)
            system.delete(location, True)

    def move(self, source: str, target: str) -> None:
        """Give a file another name, whose folder is made if need be; raises FileExistsError if the name is taken."""
        with _translated(source):
            system, location = self._resolve(source)
            goal = self._jvm.org.apache.hadoop.fs.Path(target)
            if system.exists(goal):
                raise FileExistsError(f"{target} is there already")
            system.mkdirs(goal.getParent())
            if not system.rename(location, goal):  # most failures are told by this alone
                raise OSError(f"could not move {source} to {target}; check that nobody else writes there")

    def delete_if_empty(self, path: str) -> None:
        """Remove a directory if there is nothing in it."""
        with suppress(OSError), _translated(path):
            system, location = self._resolve(path)
            if not system.listStatus(location):
                system.delete(location, False)

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

    def _create_by_rename(self, system: Any, location: Any, data: bytes) -> None:
        """Write a file under a name of its own, then give it its name unless that is taken."""
        hadoop = self._jvm.org.apache.hadoop.fs
        qualified = system.makeQualified(location)
        partial = hadoop.Path(qualified.getParent(), f".{qualified.getName()}.{uuid.uuid4().hex}")
        try:
            _write(system.create(partial, False), data)
            context = hadoop.FileContext.getFileContext(qualified.toUri(), self._configuration)
            options = self._spark.sparkContext._gateway.new_array(hadoop.Options.Rename, 0)  # type: ignore[union-attr]
            context.rename(partial, qualified, options)
        finally:
            with suppress(Exception):
                system.delete(partial, False)


def has_directories(name: str) -> bool:
    """Return whether the file system of a path, named in full, has directories; object stores have prefixes."""
    scheme, separator, _ = name.partition(":")
    return not separator or "/" in scheme or scheme in _RENAMING | {"file"}


def is_remote(session: SparkSession) -> bool:
    """Return whether the session is a Spark Connect client, which has no JVM of its own."""
    from pyspark.sql import SparkSession

    return not isinstance(session, SparkSession)  # a client's class has the same methods, but another base


def files_of(spark: SparkSession) -> Files:
    """Return the files that a session can reach."""
    return LocalFiles() if is_remote(spark) else HadoopFiles(spark)


def _create_by_put(system: Any, location: Any, data: bytes) -> None:
    """Write a file by one exclusive put, if the file system has such."""
    builder = system.createFile(location).recursive()
    if system.hasPathCapability(location, _CONDITIONAL_CREATE):
        builder = builder.must(_CONDITIONAL_CREATE, True)
    _write(builder.overwrite(False).build(), data)


def _write(stream: Any, data: bytes) -> None:
    try:
        stream.write(data)
    finally:
        stream.close()


def _describe(status: Any) -> Entry:
    """Return a listing's entry of Hadoop as ours."""
    name, modified = status.getPath().getName(), status.getModificationTime() / 1000
    return Entry(name, bool(status.isDirectory()), int(status.getLen()), modified)


def _walk(system: Any, folder: Any, prefix: str) -> Iterator[Entry]:
    for status in system.listStatus(folder):
        entry = _describe(status)
        if is_hidden(entry.name):
            continue
        if entry.is_directory:
            yield from _walk(system, status.getPath(), f"{prefix}{entry.name}/")
        else:
            yield entry._replace(name=prefix + entry.name)


def _local_path(system: Any, location: Any) -> str | None:
    """Return a path of the driver's own machine as Python's, None if it is elsewhere."""
    if system.getScheme() != "file":
        return None
    return str(system.makeQualified(location).toUri().getPath())


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn what Java says of a file into an OSError of one line."""
    from py4j.protocol import Py4JJavaError

    try:
        yield
    except Py4JJavaError as error:
        kind = error.java_exception.getClass()
        if not {"IOException", "IllegalArgumentException"} & _names_of_bases(kind):  # the latter for no path at all
            raise
        said = str(error.java_exception.getMessage() or kind.getSimpleName()).splitlines()[0][:300]
        raise _ERRORS.get(kind.getSimpleName(), OSError)(f"{path}: {said}") from error


def _names_of_bases(kind: Any) -> set[str]:
    """Return the simple names of a Java class and of those that it extends."""
    found = set()
    while kind is not None:
        found.add(str(kind.getSimpleName()))
        kind = kind.getSuperclass()
    return found
