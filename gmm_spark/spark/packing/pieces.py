"""Pieces of packed files: what tasks share out, and what is summed separately.

Files differ in length, and there may be fewer files than cores. Pieces are of nearly one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gmm_spark.spark.packing.blocks import Blocks, Handle

# Pieces of a table with fewer files, and rows of a piece at least, or bytes if its rows are long: more pieces share out
# more evenly, but each sends its sums to the driver.
PIECES, PIECE_ROWS, PIECE_BYTES = 128, 1 << 16, 1 << 28


class Piece(NamedTuple):
    """What a pass's task receives of a piece.

    Attributes
    ----------
    number : int
        Numbers give the order in which pieces are added up.
    blocks : iterator of blocks, or None
        None after a miss.
    """

    number: int
    blocks: Blocks | None


@dataclass(frozen=True)
class Cut:
    """How files are cut into pieces.

    It depends on the files alone. So the same sums are added in the same order, whichever task has which piece.

    Attributes
    ----------
    blocks : int
        Blocks of a piece.
    most : int
        Pieces of the longest file. Piece i of partition p has the number ``p * most + i``.
    """

    blocks: int
    most: int

    @classmethod
    def of(cls, handles: Sequence[Handle]) -> Cut:
        """Cut files into about :data:`PIECES`, and none into pieces of less than :data:`PIECE_ROWS`.

        Pieces of long rows have :data:`PIECE_BYTES` at least, which are fewer rows.
        """
        sizes = [-(-h.rows // h.block_rows) for h in handles]
        rows = min(PIECE_ROWS, max(PIECE_BYTES // handles[0].row_bytes, 1))
        least = -(-rows // handles[0].block_rows)
        blocks = max(-(-sum(sizes) // PIECES), least)
        return cls(blocks, max(1, -(-max(sizes) // blocks)))

    def split_all(self, handles: Sequence[Handle]) -> list[Handle]:
        """List the pieces of all files, in order."""
        return [piece for handle in handles for piece in self.split(handle)]

    def split(self, handle: Handle) -> list[Handle]:
        """List the pieces of a file; a file without rows is one piece without rows."""
        step, end = self.blocks * handle.block_rows, handle.rows
        return [
            replace(
                handle,
                partition=self.number(handle.partition, i),
                rows=min(step, end - first),
                first=first,
                of_rows=end,
            )
            for i, first in enumerate(range(0, max(end, 1), step))
        ]

    def number(self, partition: int, i: int) -> int:
        """Return the number of the i-th piece of a partition's file."""
        return partition * self.most + i


def share_out(pieces: Sequence[Handle], tasks: int) -> list[list[Handle]]:
    """Share pieces out among tasks, in order, so that tasks have as even numbers of rows as whole pieces allow."""
    lists: list[list[Handle]] = [[] for _ in range(tasks)]
    before, rows = 0, sum(piece.rows for piece in pieces)
    for piece in pieces:
        middle = before + piece.rows // 2
        lists[min(middle * tasks // rows, tasks - 1)].append(piece)
        before += piece.rows
    return lists
