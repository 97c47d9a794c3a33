"""Rows that callers pass in memory: numbers as arrays, one row or many, and what to say if they are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.errors import DataError


def read_row(value: Any, width: int) -> Array:
    """Return one row of d numbers as a block, (d, 1); a null becomes NaN.

    Parameters
    ----------
    value : Vector or array-like
        One row.
    width : int
        d.

    Raises
    ------
    DataError
        If it is anything but d numbers in one dimension.
    """
    row = to_array(value)
    if row is None or row.ndim > 1:
        raise DataError(
            f"value is {describe_type(value)}; need one row of {width} numbers: pass the rows one at a time, "
            "or use transform for a table"
        )
    if row.size != width:
        raise DataError(f"value has {row.size} number(s); need {width}, one for each feature of the model")
    return row.reshape(-1, 1)


def describe_bad_value(row: Array, names: Sequence[str] | None) -> str | None:
    """Name the first NaN or infinite value of a row (d, 1); return None if all are finite."""
    bad = np.flatnonzero(~np.isfinite(row))
    if not bad.size:
        return None
    first = int(bad[0])
    feature = "" if names is None else f", feature {names[first]!r},"
    return f"value[{first}]{feature} is {row[first, 0]:g}"


def to_array(value: Any) -> Array | None:
    """Return numbers as an array of any shape, with null as NaN; None if they are not numbers or not rectangular."""
    try:
        if hasattr(value, "toArray"):  # a Vector of pyspark.ml
            value = value.toArray()
        if isinstance(value, np.ma.MaskedArray):  # whose mask asarray would drop
            return np.asarray(np.ma.filled(value.astype(np.float64), np.nan))
        found = np.asarray(value)
        if found.dtype.kind == "O" and any(isinstance(one, str | bytes) for one in found.flat):
            return None  # which astype would read as numbers
        return found.astype(np.float64, copy=False) if found.dtype.kind in "biufO" else None
    except (TypeError, ValueError):
        return None


def describe_type(value: object) -> str:
    """Name the type of a value, and its shape if it has one."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]} {kind.__name__}"
    shape = getattr(value, "shape", None)
    return f"a {name} of shape {shape}" if isinstance(shape, tuple) else f"a {name}"
