"""Files: what runs and reports need of a file system, and the one of the driver's own machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from gmm_spark.errors import ConfigurationError, DataError


def is_hidden(name: str) -> bool:
    """Return whether Spark's readers skip a file or a directory of this name."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


class Entry(NamedTuple):
    """A file or a directory, as a listing has it."""

    name: str
    is_directory: bool
    size: int
    modified: float  # seconds since 1970, by the file system's clock


class Files(Protocol):
    """The operations on paths that runs and reports need.

    Whatever goes wrong is an OSError; a missing path is a FileNotFoundError.
    """

    def qualify(self, path: str) -> str:
        """Return the full name of a path: two names of one path are equal."""

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a directory."""

    def list_folder(self, path: str) -> list[Entry]:
        """Return what is in a directory, by name. Symbolic links of the driver's own disk are left out."""

    def walk(self, path: str) -> list[Entry]:
        """Return the files below a directory that Spark would read, by their names relative to it."""

    def read_bytes(self, path: str, limit: int) -> bytes:
        """Return the contents of a file, of which at most ``limit + 1`` bytes are read."""

    def read_text(self, path: str) -> str:
        """Return the contents of a UTF-8 file; raises DataError if there is none."""

    def checksum(self, path: str) -> str:
        """Return the SHA-256 of a file's contents, as 64 hexadecimal digits."""

    def create(self, path: str, data: bytes) -> None:
        """Write a new file, whole and exclusively; raises FileExistsError if the name is taken."""

    def write_bytes(self, path: str, data: bytes) -> None:
        """Replace a file, atomically if the file system allows."""

    def move(self, source: str, target: str) -> None:
        """Give a file another name, whose folder is made if need be; raises FileExistsError if the name is taken."""

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with its contents. Nothing happens if there is none."""

    def delete_if_empty(self, path: str) -> None:
        """Remove a directory if there is nothing in it."""


class LocalFiles:
    """Files of the driver's own machine, the only ones that a Spark Connect client can reach."""

    def qualify(self, path: str) -> str:
        """Return the absolute path; a URL is returned as it is."""
        return path if "://" in path else str(_local(path).absolute())

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a directory."""
        return os.path.lexists(_local(path))

    def list_folder(self, path: str) -> list[Entry]:
        """Return what is in a directory, by name, without symbolic links."""
        return [entry for _, entry in _scan(_local(path))]

    def walk(self, path: str) -> list[Entry]:
        """Return the files below a directory that Spark would read, by their names relative to it."""
        return sorted(_walk(_local(path), ""))

    def read_bytes(self, path: str, limit: int) -> bytes:
        """Return the contents of a file, of which at most ``limit + 1`` bytes are read."""
        with _local(path).open("rb") as file:
            return file.read(limit + 1)

    def read_text(self, path: str) -> str:
        """Return the contents of a UTF-8 file.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        try:
            return _local(path).read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; check the path") from error

    def checksum(self, path: str) -> str:
        """Return the SHA-256 of a file's contents, as 64 hexadecimal digits."""
        found = hashlib.sha256()
        with _local(path).open("rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
        return found.hexdigest()

    def create(self, path: str, data: bytes) -> None:
        """Write a new file, whole and exclusively; raises FileExistsError if the name is taken."""
        target = _local(path)
        with _partial_file(target, data) as partial:
            os.link(partial, target)  # fails if the name is taken, and readers see the whole file or none

    def write_bytes(self, path: str, data: bytes) -> None:
        """Replace a file atomically."""
        target = _local(path)
        with _partial_file(target, data) as partial:
            partial.replace(target)

    def move(self, source: str, target: str) -> None:
        """Give a file another name, whose folder is made if need be; raises FileExistsError if the name is taken."""
        place = _local(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(_local(source), place)
        _local(source).unlink()

    def delete_if_empty(self, path: str) -> None:
        """Remove a directory if there is nothing in it."""
        with suppress(OSError):
            _local(path).rmdir()

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with its contents. Nothing happens if there is none."""
        target = _local(path)
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(target.lstat().st_mode):
                shutil.rmtree(target)
            else:
                target.unlink()


def _local(path: str) -> Path:
    """Return a path of this machine.

    Raises
    ------
    ConfigurationError
        If it is a URL, which only a session with a JVM can resolve.
    """
    if "://" in path:
        raise ConfigurationError(f"{path}: over Spark Connect this can only be on the client's own disk")
    return Path(path.removeprefix("file:"))


def _scan(folder: Path) -> Iterator[tuple[Path, Entry]]:
    """Yield the files and directories in a folder, without links: they lead out of it."""
    with os.scandir(folder) as found:
        for one in sorted(found, key=lambda one: one.name):
            about = one.stat(follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode) or stat.S_ISREG(about.st_mode):
                is_directory = stat.S_ISDIR(about.st_mode)
                yield Path(one), Entry(one.name, is_directory, about.st_size, about.st_mtime)


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    for path, entry in _scan(folder):
        if is_hidden(entry.name):
            continue
        if entry.is_directory:
            yield from _walk(path, f"{prefix}{entry.name}/")
        else:
            yield entry._replace(name=prefix + entry.name)


@contextmanager
def _partial_file(target: Path, data: bytes) -> Iterator[Path]:
    """Yield a new file beside the target, with its contents on the disk, and remove it afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as file:  # a name that nobody can guess, and no link is followed
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        with suppress(OSError):
            partial.unlink()
