"""The manifest of a run: written last, and what makes a run complete.

It lists the files of the run with their sizes and checksums, and says what was fitted, from what and by which versions.
Readers check a run against it before they use it. Nothing in it is trusted: names must stay within the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from gmm_spark.errors import ModelFileError
from gmm_spark.storage.documents import read_document, shorten, show, write_document
from gmm_spark.storage.files import Files, is_hidden

MANIFEST = "_manifest.json"
FORMAT = 1
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class ListedFile(NamedTuple):
    """A file of a run: its path relative to the run's directory, its bytes and their SHA-256."""

    path: str
    size: int
    checksum: str


class UnknownFormatError(ModelFileError):
    """A manifest was written by a later version of this package."""


@dataclass(frozen=True)
class Manifest:
    """What a complete run holds.

    Attributes
    ----------
    run_id, job : str
    finished : datetime
        By the clock of the driver that wrote it.
    files : tuple of ListedFile
    model : str or None
        Directory of the model, relative to the run's.
    report : str or None
        The run report, relative to the run's directory.
    facts : dict
        All else: configuration, versions, rows, the fit, the fingerprint of the input. For people and other programs;
        nothing is decided by it.
    """

    run_id: str
    job: str
    finished: datetime
    files: tuple[ListedFile, ...]
    model: str | None = None
    report: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the file's contents."""
        return write_document(
            {
                "format": FORMAT,
                "run_id": self.run_id,
                "job": self.job,
                "finished": self.finished.isoformat(timespec="microseconds"),
                "model": self.model,
                "report": self.report,
                **self.facts,
                "files": [{"path": one.path, "size": one.size, "sha256": one.checksum} for one in self.files],
            }
        )


def read_manifest(files: Files, run: str) -> Manifest:
    """Read the manifest of the run in a directory.

    Raises
    ------
    OSError
        If it cannot be read. A FileNotFoundError means that the run is not complete.
    ModelFileError
        If it is not a manifest as :meth:`Manifest.to_bytes` writes it.
    """
    path = f"{run}/{MANIFEST}"
    found = read_document(files, path)
    if found.get("format") != FORMAT:
        raise UnknownFormatError(
            f"{path} has format {show(found.get('format'))}; this gmm_spark reads format {FORMAT}: install the "
            "gmm_spark that wrote it, or a later one"
        )
    try:
        listed = tuple(_read_file(one) for one in _take(found, "files", list))
        _require_distinct(listed)
        model, report = _read_name(found, "model"), _read_name(found, "report")
        if model is not None and not any(one.path.startswith(f"{model}/") for one in listed):
            raise ValueError("no file of its model is listed")
        if report is not None and report not in {one.path for one in listed}:
            raise ValueError("its report is not listed")
        finished = datetime.fromisoformat(_take(found, "finished", str))
        if finished.tzinfo is None:
            raise ValueError("its time has no time zone")
        known = {"format", "run_id", "job", "finished", "model", "report", "files"}
        return Manifest(
            run_id=_take(found, "run_id", str),
            job=_take(found, "job", str),
            finished=finished.astimezone(timezone.utc),
            files=listed,
            model=model,
            report=report,
            facts={key: value for key, value in found.items() if key not in known},
        )
    except (ValueError, OverflowError) as error:
        raise ModelFileError(f"{path} is damaged: {shorten(str(error))}") from error


def list_files(files: Files, run: str, folder: str) -> tuple[ListedFile, ...]:
    """Return the files in a folder of a run, with sizes and checksums, as a manifest lists them."""
    return tuple(
        ListedFile(f"{folder}/{one.name}", one.size, files.checksum(f"{run}/{folder}/{one.name}"))
        for one in files.walk(f"{run}/{folder}")
    )


def find_damage(files: Files, run: str, manifest: Manifest, folder: str | None = None) -> str | None:
    """Compare the files of a run with its manifest.

    Parameters
    ----------
    files : Files
    run : str
        Directory of the run.
    manifest : Manifest
    folder : str, optional
        Compare contents below this folder alone. By default no contents are read, and sizes are compared throughout.

    Returns
    -------
    str or None
        What differs, None if nothing does.

    Raises
    ------
    OSError
        If the files cannot be listed or read.
    """
    listed = {one.path: one for one in manifest.files if folder is None or one.path.startswith(f"{folder}/")}
    there: dict[str, int] = {}
    for top in {path.partition("/")[0] for path in listed} if folder is None else {folder}:
        with suppress(FileNotFoundError):
            there |= {f"{top}/{one.name}": one.size for one in files.walk(f"{run}/{top}")}
    for path, one in listed.items():
        if path not in there:
            return f"{shorten(path)} is missing"
        if there[path] != one.size:
            return f"{shorten(path)} has {there[path]:,} bytes, not {one.size:,}"
        if folder is not None and files.checksum(f"{run}/{path}") != one.checksum:
            return f"the contents of {shorten(path)} have changed"
    if surplus := sorted(there.keys() - listed.keys()):
        return f"{shorten(surplus[0])} is not in its manifest"
    return None


def require_inner_path(path: str) -> str:
    """Return a relative path if it stays within its directory and Spark would not skip it.

    Raises
    ------
    ValueError
        If it is absolute, a URL, leads up, has hidden or empty parts, or signs that no name of ours has.
    """
    parts = path.split("/")
    odd = any(not part or is_hidden(part) or len(part) > 255 for part in parts)
    if odd or len(path) > 1024 or not path.isprintable() or set(path) & set("\\:"):
        raise ValueError(f"{shorten(path)} is not the name of a file in a run")
    return path


def _take(values: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return a value of a required type."""
    value = values.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key!r} is {show(value)}, not a {kind.__name__}")
    return value


def _read_file(value: Any) -> ListedFile:
    if not isinstance(value, dict):
        raise ValueError(f"a file is listed as {show(value)}")
    path, size, checksum = _take(value, "path", str), _take(value, "size", int), _take(value, "sha256", str)
    if not 0 <= size < 2**63 or not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"size or checksum of {path:.100} are not such")
    return ListedFile(require_inner_path(path), size, checksum)


def _read_name(values: Mapping[str, Any], key: str) -> str | None:
    return None if values.get(key) is None else require_inner_path(_take(values, key, str))


def _require_distinct(listed: tuple[ListedFile, ...]) -> None:
    if len({one.path for one in listed}) < len(listed):
        raise ValueError("a file is listed twice")
