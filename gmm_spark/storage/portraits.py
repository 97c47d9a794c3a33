"""The portrait of a run: a JSON file beside the model, listed in the manifest."""

from __future__ import annotations

import hashlib

from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ModelFileError, ParameterError
from gmm_spark.storage.documents import LARGEST, read_document, write_document
from gmm_spark.storage.files import Files
from gmm_spark.storage.manifest import Manifest

PORTRAIT = "portrait.json"


def write_portrait(files: Files, folder: str, portrait: Portrait) -> None:
    """Write a portrait into the folder of a run that is not complete yet."""
    files.write_bytes(f"{folder}/{PORTRAIT}", write_document(portrait.to_dict(), indent=None))


def read_portrait(files: Files, run: str, manifest: Manifest) -> Portrait | None:
    """Read the portrait of a complete run.

    Parameters
    ----------
    files : Files
    run : str
        Directory of the run.
    manifest : Manifest
        Of the run.

    Returns
    -------
    Portrait or None
        None if the run has none: it was written by an older version, or ``output.portrait`` was false.

    Raises
    ------
    ModelFileError
        If the file is not what the manifest says, or not a portrait.
    """
    listed = [one for one in manifest.files if one.path.rpartition("/")[2] == PORTRAIT]
    if not listed:
        return None
    path = f"{run}/{listed[0].path}"
    try:
        data = files.read_bytes(path, LARGEST)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != listed[0].checksum:
        raise ModelFileError(f"{path} is damaged: its contents have changed since the run was completed")
    try:
        return Portrait.from_dict(read_document(files, path))
    except ParameterError as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
