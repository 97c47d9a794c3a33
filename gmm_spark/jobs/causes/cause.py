"""Cause: a row of the table of causes."""

from __future__ import annotations

import re
from typing import NamedTuple

from gmm_spark.errors import GmmSparkError


class Cause(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    kind : type
        The error of ours, which decides the exit code.
    pattern : re.Pattern
        Looked for in ``class: message`` of an error.
    meaning : str
        The cause in a few words. ``{told}`` stands for the error's message, other names for groups of the pattern.
    remedy : str
        What to do, as a sentence.
    is_vague : bool
        True for what follows from many causes: the JVM's log, if it names another, knows better.
    """

    kind: type[GmmSparkError]
    pattern: re.Pattern[str]
    meaning: str
    remedy: str
    is_vague: bool = False


def row(kind: type[GmmSparkError], pattern: str, meaning: str, remedy: str, is_vague: bool = False) -> Cause:
    """Return a row, with its pattern compiled."""
    return Cause(kind, re.compile(pattern), meaning, remedy, is_vague)
