"""Runs: the directories ``run_id=...`` that jobs write, and which of them is read.

A job's output is a directory of runs. A run is complete if it has a manifest; the newest is the complete run that ended
last. Readers take that one, or the run whose directory they name, and check it against its manifest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import NamedTuple

from gmm_spark.errors import ConfigurationError, ModelFileError
from gmm_spark.storage.claims import look_at
from gmm_spark.storage.documents import describe_os_error, shorten
from gmm_spark.storage.files import Entry, Files, is_hidden
from gmm_spark.storage.manifest import MANIFEST, Manifest, UnknownFormatError, find_damage, read_manifest

PREFIX = "run_id="
# No colon, which HDFS does not allow; no blank, slash or equals sign.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_PLAIN_MODEL = frozenset({"metadata", "data"})  # what model.save writes


class NoCompleteRunError(ModelFileError):
    """There are runs, and none is complete."""


class State(Enum):
    """What became of a run."""

    COMPLETE = "complete"
    RUNNING = "running"
    FAILED = "failed"
    ABANDONED = "abandoned"  # its process ended without a word
    DAMAGED = "damaged"  # there is a manifest, and it is not sound or does not fit the files
    FOREIGN = "foreign"  # written by a later version of this package


@dataclass(frozen=True)
class Run:
    """A run, as a listing has it.

    Attributes
    ----------
    id, path : str
    state : State
    at : float or None
        Seconds since 1970: when it ended if it is complete, else when it began.
    manifest : Manifest or None
    about : str
        Who holds it, why it failed, what is damaged; for people.
    """

    id: str
    path: str
    state: State
    at: float | None
    manifest: Manifest | None
    about: str


class Located(NamedTuple):
    """A saved model: its directory, and the run that it is of, None for a model that ``save`` wrote."""

    path: str
    run_id: str | None

    @property
    def source(self) -> str:
        """What it is called in messages: its run, or its path."""
        return f"run {self.run_id}" if self.run_id else self.path


def require_run_id(text: str) -> str:
    """Return a run's id if it can name a directory everywhere.

    Raises
    ------
    ValueError
        If not.
    """
    if not _ID.fullmatch(text):
        raise ValueError(
            f"{shorten(repr(text))}, needs at most 100 letters, digits, '_', '.' and '-', the first none of '.-'"
        )
    return text


def name_directory(output: str, run_id: str) -> str:
    """Return the directory of a run."""
    return f"{output.rstrip('/') or output}/{PREFIX}{run_id}"


def require_output(files: Files, key: str, output: str) -> None:
    """Refuse an output that holds something other than runs: they would be lost in it, or change what it means.

    A model that ``save`` wrote may be there. Readers take it until a run is complete.

    Raises
    ------
    ConfigurationError
        If there is a file, or a directory that holds anything else.
    """
    try:
        entries = files.list_folder(output)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(
            f"{key}: got {output!r}, which is no directory of runs ({describe_os_error(error)}); name another path"
        ) from error
    strange = [one.name for one in entries if not (_is_our_name(one) or is_hidden(one.name))]
    if strange and {*strange} != _PLAIN_MODEL:
        raise ConfigurationError(
            f"{key}: got {output!r}, which holds something other than runs ({shorten(', '.join(strange))}); name a new "
            "path, or one that a job wrote"
        )


def list_runs(files: Files, output: str) -> list[Run]:
    """List the runs in a directory, the oldest first. What is not a run is left out.

    Raises
    ------
    OSError
        If the directory is not there or cannot be read.
    """
    found = [look_at_run(files, output, one.name) for one in files.list_folder(output) if _is_our_name(one)]
    return sorted((run for run in found if run is not None), key=_by_time)


def holds_runs(files: Files, path: str) -> bool:
    """Return whether a directory holds runs, or is one."""
    try:
        if look_at_run(files, *_split(path), check_sizes=False) is not None:
            return True
        names = [one.name for one in files.list_folder(path) if _is_our_name(one)]
        return any(look_at_run(files, path, name, check_sizes=False) for name in names)
    except (OSError, ConfigurationError):
        return False


def find_model(files: Files, path: str) -> Located:
    """Return the saved model that a path stands for, checked against the manifest of its run.

    Parameters
    ----------
    files : Files
    path : str
        A directory of runs, of which the newest complete one is taken, a run's own directory, or one that ``save``
        wrote.

    Raises
    ------
    ModelFileError
        If there are runs and none is complete, or the run is damaged.
    """
    path = path.rstrip("/") or path
    try:
        entries = files.list_folder(path)
    except (OSError, ConfigurationError):  # the latter if it is a URL, and the session one of Spark Connect
        return Located(path, None)  # whoever reads it says what is wrong
    try:
        own = look_at_run(files, *_split(path), check_sizes=False)
        if own is not None:
            return _check(files, own)
        names = [one.name for one in entries if _is_our_name(one)]
        runs = [run for name in names if (run := look_at_run(files, path, name, check_sizes=False))]
        ended = [run for run in runs if run.state in (State.COMPLETE, State.DAMAGED, State.FOREIGN)]
        if ended:
            return _check(files, max(ended, key=_by_time))
    except OSError as error:
        raise ModelFileError(f"the runs in {path} cannot be read: {describe_os_error(error)}") from error
    if runs and not {one.name for one in entries} >= _PLAIN_MODEL:
        told = "; ".join(f"{run.id}: {run.state.value}, {run.about}" for run in runs[-3:])
        raise NoCompleteRunError(
            f"{path} has no complete run ({told}); wait for one, or name the directory of another model"
        )
    return Located(path, None)


def find_model_if_any(files: Files, path: str) -> Located | None:
    """Return the saved model that a path stands for, as :func:`find_model` does; None if none was ever completed there.

    Raises
    ------
    ModelFileError
        If the newest run is damaged.
    """
    try:
        found = find_model(files, path)
    except NoCompleteRunError:
        return None
    try:
        there = {one.name for one in files.list_folder(found.path)}
    except (FileNotFoundError, NotADirectoryError, ConfigurationError):  # the last of a URL, over Spark Connect
        there = set()
    return found if found.run_id is not None or {name for name in there if not is_hidden(name)} else None


def _by_time(run: Run) -> tuple[float, str]:
    return run.at or 0.0, run.id


def _is_our_name(entry: Entry) -> bool:
    return entry.is_directory and entry.name.startswith(PREFIX) and bool(_ID.fullmatch(entry.name[len(PREFIX) :]))


def _split(path: str) -> tuple[str, str]:
    """Return the parent of a directory, and its name."""
    parent, _, name = (path.rstrip("/") or path).rpartition("/")
    return parent or ("/" if path.startswith("/") else "."), name


def look_at_run(files: Files, output: str, name: str, check_sizes: bool = True) -> Run | None:
    """Return what is known of a run; None if a directory of such a name is not one, as in a table with that column.

    Parameters
    ----------
    files : Files
    output : str
        The directory of runs.
    name : str
        Name of the run's directory within it.
    check_sizes : bool
        Whether to compare the sizes of its files with its manifest.

    Raises
    ------
    OSError
        If its directory cannot be read.
    """
    run_id = name.removeprefix(PREFIX)
    if run_id == name or not _ID.fullmatch(run_id):
        return None
    path = name_directory(output, run_id)
    try:
        manifest = read_manifest(files, path)
    except FileNotFoundError:
        holding = look_at(files, path)
        if not holding.number:
            return None
        state = State.RUNNING if holding.lives else State.FAILED if holding.failed else State.ABANDONED
        return Run(run_id, path, state, holding.began, None, holding.about)
    except ModelFileError as error:
        written = {one.name: one.modified for one in files.list_folder(path)}.get(MANIFEST)
        state = State.FOREIGN if isinstance(error, UnknownFormatError) else State.DAMAGED
        return Run(run_id, path, state, written, None, str(error))
    damage = f"its manifest is that of run {shorten(manifest.run_id)}" if manifest.run_id != run_id else None
    if damage is None and check_sizes:
        damage = find_damage(files, path, manifest)
    state = State.COMPLETE if damage is None else State.DAMAGED
    return Run(run_id, path, state, manifest.finished.timestamp(), manifest, damage or "")


def _check(files: Files, run: Run) -> Located:
    """Return the model of a run, after its files have been compared with the manifest."""
    remedy = "name the directory of another run, or do this one again under another id and prune"
    manifest = run.manifest
    if run.state in (State.DAMAGED, State.FOREIGN):
        raise ModelFileError(f"run {run.id} is {run.state.value}: {run.about}; {remedy}")
    if manifest is None:
        raise ModelFileError(f"run {run.id} is not complete: {run.state.value}, {run.about}; wait for it, or {remedy}")
    if manifest.model is None:
        raise ModelFileError(f"run {run.id} of the job {shorten(manifest.job)} has no model; {remedy}")
    if damage := find_damage(files, run.path, manifest, manifest.model):
        raise ModelFileError(f"run {run.id} in {run.path} is damaged: {damage}; {remedy}")
    return Located(f"{run.path}/{manifest.model}", run.id)


def describe_time(at: float | None) -> str:
    """Return a time for people, in UTC."""
    return "?" if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%F %T")
