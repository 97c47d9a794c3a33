"""Schemas of what tasks return, each described once for Arrow and for Spark."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pyarrow as pa
from pyspark.sql.types import StructType


class Schema:
    """Columns that a task of ``mapInArrow`` returns.

    Parameters
    ----------
    **columns : Arrow type
        Type of each column by its name, in order.

    Examples
    --------
    >>> schema = Schema(piece=pa.int32(), sums=pa.binary())
    >>> schema.spark.simpleString()
    'struct<piece:int,sums:binary>'
    >>> schema.row(piece=3, sums=b"").num_rows
    1
    """

    def __init__(self, **columns: pa.DataType) -> None:
        self.arrow = pa.schema(list(columns.items()))

    @cached_property
    def spark(self) -> StructType:
        """The schema for Spark, on the driver; as a type, since Spark would have to parse text on every pass."""
        from pyspark.sql.pandas.types import from_arrow_schema  # which tasks do without

        return from_arrow_schema(self.arrow)

    def row(self, **values: Any) -> pa.RecordBatch:
        """Make a batch of one row; a name that differs raises ValueError."""
        if values.keys() != set(self.arrow.names):
            raise ValueError(f"values are of {', '.join(values)}; need {', '.join(self.arrow.names)}")
        columns = [pa.array([values[field.name]], field.type) for field in self.arrow]
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow)
