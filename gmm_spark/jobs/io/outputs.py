"""Checks of where a job writes, made before it works: paths that cannot be written, or that are its own input's."""

from __future__ import annotations

import uuid

from gmm_spark.errors import ConfigurationError
from gmm_spark.storage.documents import describe_os_error
from gmm_spark.storage.files import Files


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
    parent, _, name = path.rpartition("/")
    probe = f"{parent}/" * bool(parent or path.startswith("/")) + f".{name[:100]}.{uuid.uuid4().hex}"
    try:
        files.create(probe, b"")
        files.delete(probe)
        siblings = files.list_folder(parent or ("/" if path.startswith("/") else "."))
    except OSError as error:
        raise ConfigurationError(
            f"{key}: got {path!r}, which cannot be written: {describe_os_error(error)}; name another file"
        ) from error
    if any(one.is_directory and one.name == name for one in siblings):
        raise ConfigurationError(f"{key}: got {path!r}, which is a directory; name a file")
