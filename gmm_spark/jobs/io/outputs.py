"""Checks of where a job writes, made before it works: paths that cannot be written, or that are its own input's."""

from __future__ import annotations

import uuid

from gmm_spark.errors import ConfigurationError
from gmm_spark.storage.documents import describe_os_error
from gmm_spark.storage.files import Files


def require_apart(files: Files, key: str, path: str, source: str | None) -> None:
    """Refuse an output that is the input's directory or lies in it: the table would have other files from then on.

    Parameters
    ----------
    files : Files
    key : str
        The configuration key that names the output, for messages.
    path : str
    source : str or None
        Path of the input, None if it is not given by a path.

    Raises
    ------
    ConfigurationError
        If it does.
    """
    if source is None:
        return
    try:
        inner, outer = (files.qualify(one).rstrip("/") for one in (path, source))
    except OSError:  # no path at all: whoever uses it says so
        return
    if inner == outer or inner.startswith(f"{outer}/"):
        raise ConfigurationError(f"{key}: got {path!r}, which is or lies in input.path ({source!r}); name another path")


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
