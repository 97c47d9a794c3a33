"""Replace the files of some partitions of a table, by a journal that is written first.

A table keeps the plain layout that its readers expect. The new files are written beside it, below a folder whose name
begins with ``_``. Then a journal says which of them go where, and which old files go. From then on the replacement can
only be completed: by the process that wrote the journal or, if that ended half-way, by the next that writes there::

    scored.parquet/day=mon/part-2026-11-26-00000-...
    _scored.parquet.writing/_claim-1.json, _life-1.json   who writes to the table, as of runs
    _scored.parquet.writing/attempt-1/.../day=mon/part-...    its new files
    _scored.parquet.writing/_journal-1.json

The names of files in the table hold the id of the run that wrote them. New files arrive before old ones go: in between,
a reader may see rows of both. No row is ever missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from gmm_spark.errors import ModelFileError, ResourceError, RunHeldError
from gmm_spark.storage.claims import Claim
from gmm_spark.storage.documents import read_document, write_document
from gmm_spark.storage.files import Entry, Files, is_hidden
from gmm_spark.storage.manifest import require_inner_path

FORMAT = 2
READABLE = (1, FORMAT)  # journals of the first format name no run
LARGEST = 2**28  # bytes of a journal: about a million files
_PREFIX = "part-"  # as Spark's names have it; then number and id of the write
_REST = re.compile(r"[0-9]{5,}-[0-9a-f]{8}-")
_JOURNAL = re.compile(r"_journal-([1-9][0-9]{0,8})\.json")


@dataclass(frozen=True)
class Journal:
    """What a replacement moves into a table, and what it takes out.

    Attributes
    ----------
    folder : str
        Where the new files lie, relative to the folder beside the table.
    added : tuple of str
        New files, relative to ``folder``.
    removed : tuple of str
        Old files, relative to the table.
    run_id : str
        Run that the new files are of. Their names in the table hold it.
    """

    folder: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    run_id: str = ""

    def place(self, name: str) -> str:
        """Return the name that a new file gets in the table, relative to it."""
        partition, slash, file = name.rpartition("/")
        return f"{partition}{slash}{_PREFIX}{self.run_id}-{file.removeprefix(_PREFIX)}" if self.run_id else name


def name_workshop(table: str) -> str:
    """Return the folder beside a table in which a replacement is prepared. Spark's readers skip it."""
    parent, slash, name = (table.rstrip("/") or table).rpartition("/")
    if parent.endswith("/"):  # a whole bucket, as s3a://name: there is nothing beside it
        return f"{parent}{slash}{name}/_table.writing"
    return f"{parent}{slash}_{name.replace('=', '-')}.writing"


def plan(files: Files, table: str, workshop: str, folder: str, replace: bool, run_id: str) -> Journal:
    """Return the journal of the files that were written to a folder beside a table.

    Parameters
    ----------
    files : Files
    table, workshop, folder : str
        The folder is relative to the workshop.
    replace : bool
        Whether the files of the partitions that are written are to go. If not, the new ones are added to them, and only
        those that an earlier run of the same id has added go.
    run_id : str
    """
    added = tuple(one.name for one in files.walk(f"{workshop}/{folder}"))
    removed: list[str] = []
    if run_id and not replace:
        removed = [one.name for one in _walk(files, table) if is_of_run(one.name, run_id)]
    for partition in sorted({name.rpartition("/")[0] for name in added}) if replace else ():
        with suppress(FileNotFoundError):
            there = files.list_folder(f"{table}/{partition}" if partition else table)
            names = [one.name for one in there if not one.is_directory and not is_hidden(one.name)]
            removed += [f"{partition}/{name}" if partition else name for name in names]
    placed = {Journal(folder, added, (), run_id).place(name) for name in added}
    return Journal(folder, added, tuple(name for name in removed if name not in placed), run_id)


def is_of_run(name: str, run_id: str) -> bool:
    """Return whether a file of a table, by its name, was written by a run of that id.

    Examples
    --------
    >>> is_of_run("day=mon/part-2026-11-26-00000-1f3a5b7c-9d0e.c000.snappy.parquet", "2026-11-26")
    True
    """
    head, _, rest = name.rpartition("/")[2].partition(f"{_PREFIX}{run_id}-")
    return not head and _REST.match(rest) is not None


def begin(files: Files, workshop: str, claim: Claim, journal: Journal) -> None:
    """Write a journal: from then on the replacement will be completed.

    Raises
    ------
    RunHeldError
        If another process has taken over. There is no journal then.
    ResourceError
        If there are too many files for a journal.
    """
    path = f"{workshop}/_journal-{claim.number}.json"
    values = {"format": FORMAT, **asdict(journal)}
    data = write_document(values)
    if len(data) > LARGEST:
        raise ResourceError(
            f"{len(journal.added):,} new files and {len(journal.removed):,} old ones are too many to replace at once; "
            "write fewer and larger files, or fewer partitions at a time"
        )
    claim.require()
    files.create(path, data)
    try:
        claim.require()  # whoever took over before the journal was there has not seen it
    except RunHeldError:
        files.delete(path)
        raise


def complete(files: Files, table: str, workshop: str) -> bool:
    """Complete the replacement that a journal says, and remove the journal.

    Returns
    -------
    bool
        Whether there was one.

    Raises
    ------
    ModelFileError
        If the journal is damaged, or a new file is neither beside the table nor in it.
    """
    try:
        names = [one.name for one in files.list_folder(workshop) if _JOURNAL.fullmatch(one.name)]
    except FileNotFoundError:
        return False
    for name in sorted(names):
        journal = _read(files, f"{workshop}/{name}")
        there = {one.name for one in _walk(files, f"{workshop}/{journal.folder}")}
        arrived = {one.name for one in _walk(files, table)} if there != set(journal.added) else set()
        if lost := [one for one in journal.added if one not in there and journal.place(one) not in arrived]:
            raise ModelFileError(
                f"{workshop}/{name} is damaged: {lost[0]} is neither there nor in {table}; look at both by hand, then "
                "remove the journal"
            )
        for one in journal.added:
            if one in there:
                with suppress(FileExistsError):  # moved already by an object store, which copies and then removes
                    files.move(f"{workshop}/{journal.folder}/{one}", f"{table}/{journal.place(one)}")
        for one in journal.removed:
            files.delete(f"{table}/{one}")
        files.delete(f"{workshop}/{name}")
        files.delete(f"{workshop}/{journal.folder}")
    return bool(names)


def leave(files: Files, workshop: str, claim: Claim) -> None:
    """Remove what is left beside a table. The claim goes last: until then nobody else begins.

    If a journal is there still, because it could not be completed, everything stays: its files are needed.
    """
    if any(_JOURNAL.fullmatch(one.name) for one in files.list_folder(workshop)):
        return
    claim.remove_earlier()
    files.delete(f"{workshop}/{claim.folder}")
    for name in _find_names(files, workshop, claim.number):
        files.delete(f"{workshop}/{name}")
    files.delete_if_empty(workshop)


def _find_names(files: Files, workshop: str, number: int) -> Sequence[str]:
    """Return the claims and signs of life up to a number, its own claim last."""
    numbered = re.compile(r"_(claim|life)-([1-9][0-9]{0,8})\.json")
    matches = (numbered.fullmatch(one.name) for one in files.list_folder(workshop))
    found = sorted((match[1] == "claim", int(match[2]), match[0]) for match in matches if match)
    return [name for _, its, name in found if its <= number]


def _read(files: Files, path: str) -> Journal:
    found = read_document(files, path, LARGEST)
    try:
        folder, added, removed = found.get("folder"), found.get("added"), found.get("removed")
        run_id = found.get("run_id", "")
        if found.get("format") not in READABLE or not isinstance(folder, str):
            raise ValueError("its format is unknown")
        if not isinstance(added, list) or not isinstance(removed, list):
            raise ValueError("it lists no files")
        if not isinstance(run_id, str) or "/" in run_id:
            raise ValueError("its run has no name")
        names = [tuple(require_inner_path(str(name)) for name in listed) for listed in (added, removed)]
        return Journal(require_inner_path(folder), names[0], names[1], run_id)
    except ValueError as error:
        raise ModelFileError(f"{path} is damaged: {error}; look at the table by hand, then remove it") from error


def _walk(files: Files, folder: str) -> list[Entry]:
    try:
        return files.walk(folder)
    except FileNotFoundError:
        return []
