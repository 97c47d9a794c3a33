"""Answers of a table, kept beside a run: what the next process needs to go on from where this one has died.

They lie in numbered files in the run's directory, written one after another and never changed::

    run_id=2024-01-01/_answers/1-000001.answers   the first of those that the holder of claim 1 has written

A file is a mark, the SHA-256 of what follows, and then for each answer its key, its length and the answer. A file that
is damaged, or not one of ours, is left out: its answers are worked out again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
import time
from collections.abc import Iterator

from gmm_spark.storage.documents import describe_os_error
from gmm_spark.storage.files import Files

_log = logging.getLogger(__name__)

FOLDER = "_answers"
_NAME = re.compile(r"([1-9][0-9]{0,8})-([0-9]{6,9})\.answers")
_MARK = b"gmmansw1"
_HEAD = struct.Struct("<32sQ")  # key and length of an answer
# Bytes of answers that wait to be written at most, whatever the time; a larger answer has a file of its own.
_BUFFERED = 64 << 20
# Bytes of a file that are read at most, and of recalled answers that wait to be asked for.
_LARGEST, _WAITING = 4 << 30, 1 << 30


class KeptAnswers:
    """Answers that the holder of a run's claim keeps, and those of its earlier holders.

    Parameters
    ----------
    files : Files
    run : str
        Directory of the run.
    number : int
        Of the claim.
    every : float
        Seconds between files at least; with 0, there is a file for each answer.

    Attributes
    ----------
    recalled, kept : int
        Answers that were asked for and found, and that are new.
    """

    def __init__(self, files: Files, run: str, number: int, every: float = 0.0) -> None:
        self.recalled = self.kept = 0
        self._files, self._folder, self._number, self._every = files, f"{run}/{FOLDER}", number, every
        self._written = 0
        self._since = time.monotonic()
        self._waiting: list[bytes] = []  # to be written
        self._n_waiting = 0
        self._found: dict[bytes, bytes] = {}  # read, and not asked for yet
        self._n_found = 0
        self._unread = self._list_earlier()
        self._works = True

    def recall(self, key: bytes) -> bytes | None:
        """Return the answer that was kept under a key, once; None if there is none."""
        while key not in self._found and self._n_found < _WAITING:
            path = next(self._unread, None)
            if path is None:
                return None
            for own, answer in self._read(path):
                self._n_found += len(answer)
                self._found[own] = answer
        found = self._found.pop(key, None)
        if found is not None:
            self._n_found -= len(found)
            self.recalled += 1
        return found

    def keep(self, key: bytes, answer: bytes) -> None:
        """Keep an answer: it is written with the next file."""
        self.kept += 1
        self._waiting += [_HEAD.pack(key, len(answer)), answer]
        self._n_waiting += len(answer)
        if time.monotonic() - self._since >= self._every or self._n_waiting >= _BUFFERED:
            self.write()

    def write(self) -> None:
        """Write what was kept since the last file. If that fails the fit goes on, and nothing more is kept."""
        body, self._waiting, self._n_waiting = b"".join(self._waiting), [], 0
        if body and self._works:
            name = f"{self._number}-{self._written + 1:06}.answers"
            try:
                self._files.create(f"{self._folder}/{name}", _MARK + hashlib.sha256(body).digest() + body)
            except OSError as error:
                self._works = False
                _log.warning(
                    "%s cannot be written (%s): if this process dies, the run begins anew",
                    self._folder,
                    describe_os_error(error),
                )
            self._written += 1
        self._since = time.monotonic()

    def remove(self) -> None:
        """Remove all answers of the run: it is complete."""
        self._files.delete(self._folder)

    def _list_earlier(self) -> Iterator[str]:
        """Return the files that earlier holders have written, in the order of their numbers."""
        try:
            names = [one.name for one in self._files.list_folder(self._folder) if not one.is_directory]
        except OSError:
            return iter(())
        numbered = [(int(found[1]), int(found[2]), name) for name in names if (found := _NAME.fullmatch(name))]
        return (f"{self._folder}/{name}" for number, _, name in sorted(numbered) if number < self._number)

    def _read(self, path: str) -> list[tuple[bytes, bytes]]:
        """Return the keys and answers of a file, none if it is not whole."""
        try:
            data = self._files.read_bytes(path, _LARGEST)
        except OSError:
            return []
        start = len(_MARK) + 32
        if not data.startswith(_MARK) or hashlib.sha256(memoryview(data)[start:]).digest() != data[len(_MARK) : start]:
            return []
        found, at = [], start
        while at + _HEAD.size <= len(data):
            key, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            if length > len(data) - at:  # not written by this module
                return []
            found.append((key, data[at : at + length]))
            at += length
        return found
