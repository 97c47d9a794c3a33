"""The extent of a packed table, by one pass: what the box of a noise component is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.extent import find_extent, join_extents
from gmm_spark.spark.packing.passes import collect_in_parts
from gmm_spark.spark.packing.pieces import Piece
from gmm_spark.spark.packing.sources import Source
from gmm_spark.spark.schema import Schema

EXTENTS = Schema(piece=pa.int32(), extent=pa.binary())


@dataclass(frozen=True)
class FindExtent:
    """Task that finds the extent of each piece: one row for each.

    Attributes
    ----------
    width : int
        Number of features.
    """

    width: int

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
        """Find the extents of the pieces of one task."""
        nothing = find_extent(np.empty((self.width, 0)))
        for piece, blocks in pieces:
            if blocks is None:
                yield EXTENTS.row(piece=piece, extent=None)
                continue
            found = join_extents([nothing, *(find_extent(rows, weight) for rows, weight in blocks)])
            yield EXTENTS.row(piece=piece, extent=found.tobytes())


def collect_extent(source: Source, width: int) -> Array | None:
    """Find the least and greatest value of each feature, (2, width); None if a piece is missing or duplicated."""
    n_bytes = 16 * width * len(source.pieces)
    found = collect_in_parts(source, FindExtent(width), EXTENTS, width, n_bytes)
    numbers = sorted(piece.partition for piece in source.pieces)
    if any(r["extent"] is None for r in found) or [r["piece"] for r in found] != numbers:
        return None
    return join_extents(np.frombuffer(r["extent"]).reshape(2, width) for r in found)
