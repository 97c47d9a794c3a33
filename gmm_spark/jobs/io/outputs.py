"""Checks of where a job writes, made before it works: paths that cannot be written, or that are its own input's."""

from __future__ import annotations

import uuid

from gmm_spark.errors import ConfigurationError
from gmm_spark.storage.documents import describe_os_error
from gmm_spark.storage.files import Files
from gmm_spark.storage.hadoop import has_directories


def require_apart(files: Files, key: str, path: str, other: str, folder: str | None) -> None:
    """Refuse a path that is another one's directory or lies in it, where it would be taken for a part of that.

    Parameters
    ----------
    files : Files
    key : str
        The configuration key that names the path, for messages.
    path : str
    other : str
        The key that names the directory.
    folder : str or None
        The directory; None if there is none, as of an input that is not given by a path.

    Raises
    ------
    ConfigurationError
        If it does.
    """
    if folder is None:
        return
    try:
        inner, outer = (files.qualify(one).rstrip("/") for one in (path, folder))
    except OSError:  # no path at all: whoever uses it says so
        return
    if inner == outer or inner.startswith(f"{outer}/"):
        raise ConfigurationError(f"{key}: got {path!r}, which is or lies in {other} ({folder!r}); name another path")


def require_writable_file(files: Files, key: str, path: str) -> None:
    """Refuse a file that cannot be written later, by writing one of another name beside it.

    Raises
    ------
    ConfigurationError
        If it cannot, or there is a directory of that name.
    """
    parent, name = _split(path)
    try:
        _probe(files, parent)
        siblings = files.list_folder(parent) if files.exists(parent) else []
    except OSError as error:
        raise ConfigurationError(
            f"{key}: got {path!r}, which cannot be written: {describe_os_error(error)}; name another file"
        ) from error
    if any(one.is_directory and one.name == name for one in siblings):
        raise ConfigurationError(f"{key}: got {path!r}, which is a directory; name a file")


def require_writable_folder(files: Files, key: str, path: str, beside: bool = False) -> None:
    """Refuse a directory that cannot be made or written to later, by writing an empty file there.

    Parameters
    ----------
    files : Files
    key : str
        The configuration key that names the path, for messages.
    path : str
    beside : bool
        Write the file beside the directory, as jobs do before they replace what is in it.

    Raises
    ------
    ConfigurationError
        If so.
    """
    try:
        _probe(files, _split(path)[0] if beside else path.rstrip("/") or path)
    except OSError as error:
        raise ConfigurationError(
            f"{key}: got {path!r}, which cannot be written: {describe_os_error(error)}; name another path"
        ) from error


def _probe(files: Files, folder: str) -> None:
    """Write an empty file in a directory, and remove it; if there is no such directory, in the nearest above it.

    So no directory is made, nor removed while another process puts its first file there. An object store has no
    directories, and may allow names of one prefix alone: there the file is written at its place.
    """
    if has_directories(files.qualify(folder)):
        while not files.exists(folder) and _split(folder)[0] != folder:
            folder, _ = _split(folder)
    probe = f"{folder.rstrip('/')}/.{uuid.uuid4().hex}"
    files.create(probe, b"")
    files.delete(probe)


def _split(path: str) -> tuple[str, str]:
    """Return the directory that a path lies in, and its name there."""
    parent, _, name = path.rstrip("/").rpartition("/")
    if not parent or parent.endswith(("/", ":")):  # the root, of a file system perhaps, or the working directory
        return (f"{parent}/" if path.startswith("/") or parent else "."), name
    return parent, name
