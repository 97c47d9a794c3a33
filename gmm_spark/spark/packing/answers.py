"""Answers of a table that are kept: a fit that is begun again does not make a pass twice.

All else of a fit follows from the answers to its passes, since nothing random depends on time or place. So whoever
keeps them keeps the state of the search, whatever stage it is in. An answer is kept under a digest of the rows and of
all that was asked: it is recalled for the same question on the same rows alone. Answers hold sums and parameters, no
rows.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

import numpy as np

from gmm_spark._version import __version__


class AnswerStore(Protocol):
    """Keeps answers of a table."""

    def recall(self, key: bytes) -> bytes | None:
        """Return the answer that was kept under a key; None if there is none."""
        ...

    def keep(self, key: bytes, answer: bytes) -> None:
        """Keep an answer; it may be lost if the process dies soon."""
        ...


class Answers:
    """The kept answers of one table.

    Parameters
    ----------
    store : AnswerStore or None
        None keeps nothing.
    *table
        What tells the table from others.

    Attributes
    ----------
    recalled : bool
        Whether the latest answers were all kept ones.
    """

    def __init__(self, store: AnswerStore | None, *table: Any) -> None:
        self._store = store
        self.recalled = False
        self._table = make_digest(__version__, np.__version__, *table) if store else b""

    def ask(
        self, work: Callable[[Sequence[int]], list[bytes]], questions: Sequence[Any], about: Any = None
    ) -> list[bytes]:
        """Return the answer to each of several questions.

        Parameters
        ----------
        work : callable
            Answers those questions of which no answer was kept, given their numbers.
        questions : sequence
            Of what :func:`make_digest` takes.
        about
            What all questions have in common.
        """
        if self._store is None:
            return work(range(len(questions)))
        common = make_digest(self._table, about)
        keys = [make_digest(common, question) for question in questions]
        found = {i: answer for i, key in enumerate(keys) if (answer := self._store.recall(key)) is not None}
        unknown = [i for i in range(len(keys)) if i not in found]
        self.recalled = not unknown
        if unknown:
            for i, answer in zip(unknown, work(unknown), strict=True):
                self._store.keep(keys[i], answer)
                found[i] = answer
        return [found[i] for i in range(len(keys))]


def make_digest(*values: Any) -> bytes:
    """Return the SHA-256 of values, from their kinds and contents alone: 32 bytes, the same in every process.

    Parameters
    ----------
    *values
        Texts, bytes, numbers, None, arrays, and sequences, mappings and dataclasses of these.

    Raises
    ------
    TypeError
        If there is anything else in them: its contents are not known.
    """
    found = hashlib.sha256()
    for value in values:
        _add(found.update, value)
    return found.digest()


def _add(update: Callable[[bytes], None], value: Any) -> None:
    def head(kind: str, size: int) -> None:
        update(f"{kind} {size};".encode())

    if value is None or isinstance(value, (bool, int, str, bytes)):
        content = value if isinstance(value, bytes) else str(value).encode()
        head(type(value).__name__, len(content))
        update(content)
    elif isinstance(value, float):
        head("float", 8)
        update(struct.pack("<d", value))
    elif isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError("an array of objects has no digest")
        head(f"array {array.dtype.str} {array.shape}", array.nbytes)
        update(np.ascontiguousarray(array).tobytes())
    elif isinstance(value, (list, tuple)):
        head("sequence", len(value))
        for part in value:
            _add(update, part)
    elif isinstance(value, Mapping):
        _add(update, list(value.items()))
    elif is_dataclass(value) and not isinstance(value, type):
        head(f"{type(value).__module__}.{type(value).__qualname__}", len(fields(value)))
        for one in fields(value):
            _add(update, getattr(value, one.name))
    else:
        raise TypeError(f"{type(value).__name__} has no digest")
