"""What the sections of a page are made of: texts, figures by name, tables, pictures and code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

# Letters above which the text of a cell is a sentence.
_SENTENCE = 60


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : str
    bar : float or None
        Length of a bar under the text, from 0 to 1.
    tone : str
        A word that colours it: pass, look or stop; or nothing.
    is_number : bool
        Whether it is set as numbers are, to the right.
    """

    text: str
    bar: float | None = None
    tone: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str
    tone: str = ""


@dataclass(frozen=True)
class Figures:
    """Facts by name: pairs of a name and what it is."""

    kind: ClassVar[str] = "figures"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row names the row."""

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def is_told(self) -> bool:
        """Whether cells hold sentences: on a phone such a row is set as a list, since a column would be too narrow."""
        return any(len(cell.text) > _SENTENCE for row in self.rows for cell in row)


@dataclass(frozen=True)
class Code:
    """Something to copy."""

    kind: ClassVar[str] = "code"
    label: str
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture, a reading of it in one line, and its numbers as a table; wide if it has many parts."""

    kind: ClassVar[str] = "picture"
    title: str
    svg: str
    reading: str
    table: Table | None = None
    is_wide: bool = False


@dataclass(frozen=True)
class Missing:
    """What cannot be shown, why, and what would show it."""

    kind: ClassVar[str] = "missing"
    text: str
    command: str = ""


Block: TypeAlias = Text | Figures | Table | Code | Picture | Missing


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    id : str
        What links to it name.
    title : str
    blocks : list of blocks
    """

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def word(text: str) -> Cell:
    """Return a cell with a text."""
    return Cell(text, is_number=False)
