"""Held tables: small ones, whose rows come to the driver as they are packed, so that passes need no Spark job.

A table of no more rows than a fit's sample is its own sample: the driver gets all of it in any case. So tasks that pack
few rows hand them to the driver too, with the handle. If all have, the driver runs the tasks of a pass itself, over the
same pieces: the sums are the same to the bit. Passes of many multiplications still go to the executors.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame, Row, SparkSession

from gmm_spark.spark.packing.blocks import read_bytes
from gmm_spark.spark.packing.packer import Packing
from gmm_spark.spark.packing.pieces import Cut, Piece
from gmm_spark.spark.packing.sources import PieceTask, Source, divide_weights
from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema

# Multiplications of a pass up to which the driver makes it: one core takes about as long for them as Spark for a job.
HELD_PRODUCTS = 1e9


class Held:
    """Pieces of which the driver has all rows, and Spark too.

    Parameters
    ----------
    spark : SparkSession
    packing : Packing
        With the contents of its files.
    unit : float
        As of :class:`.sources.Listed`.
    choose_source : callable
        Returns where Spark's tasks find the same pieces; asked only if a pass needs them.
    """

    def __init__(self, spark: SparkSession, packing: Packing, unit: float, choose_source: Callable[[], Source]) -> None:
        self.spark, self._packing, self._unit = spark, packing, unit
        self.pieces = Cut.of(packing.handles).split_all(packing.handles)
        self._choose_source = choose_source
        self._source: Source | None = None

    def map_pieces(self, task: PieceTask, schema: Schema, products: int) -> DataFrame:
        """Run a task over all pieces, as Spark tasks."""
        if self._source is None:
            self._source = self._choose_source()
        return self._source.map_pieces(task, schema, products)

    def run(self, task: PieceTask, products: int) -> list[Row] | None:
        """Run a task over all pieces here; None if it has so many products that Spark should run it."""
        if self._packing.rows * products > HELD_PRODUCTS:
            return None
        contents = self._packing.contents or {}
        pieces = (Piece(piece.partition, read_bytes(piece, contents.get(piece.path, b""))) for piece in self.pieces)
        batches = task(pieces if self._unit == 1.0 else divide_weights(pieces, self._unit))
        return [Row(**row) for batch in batches for row in batch.to_pylist()]


def collect_pieces(source: Source, task: PieceTask, schema: Schema, products: int) -> list[Row]:
    """Run a task over all pieces of a source, by Spark or on the driver, and collect what it returns.

    The parameters are those of :meth:`.sources.Source.map_pieces`.
    """
    found = source.run(task, products) if isinstance(source, Held) else None
    return collect(source.map_pieces(task, schema, products)) if found is None else found
