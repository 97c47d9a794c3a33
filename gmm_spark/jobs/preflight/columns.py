"""Columns that a job needs, checked by their names and types under the keys that name them; no row is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gmm_spark.errors import DataError
from gmm_spark.jobs.io.tables import fold, require_columns
from gmm_spark.jobs.preflight.faults import Faults

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType


def check_features(faults: Faults, rows: DataFrame, key: str, names: Sequence[str]) -> bool:
    """Find features that are not there, or that are no numbers; return whether all can be read.

    Parameters
    ----------
    faults : Faults
        Gets a DataError for each kind of fault.
    rows : DataFrame
    key : str
        The key that names them, for messages.
    names : sequence of str
        Numeric columns, or one Vector or array column.
    """
    faults.attempt(require_columns, rows, key, names)
    of_arrays = len(names) == 1
    types = [(name, _find_types(rows, name)) for name in names]
    wrong = [
        f"{name} is {kind.simpleString()}"
        for name, kinds in types
        for kind in kinds
        if not (_is_number(kind) or (of_arrays and _holds_numbers(kind)))
    ]
    if wrong:
        needs = "numeric columns, or one Vector or array column alone"
        faults.add(DataError(f"{key}: {', '.join(wrong)}; needs {needs}: cast them, or leave them out"))
    return not wrong and all(kinds for _, kinds in types)


def require_weight(rows: DataFrame, key: str, name: str) -> None:
    """Refuse a column of weights that is not there, or holds no numbers.

    Raises
    ------
    DataError
        If so.
    """
    require_columns(rows, key, [name])
    for kind in _find_types(rows, name):
        if not _is_number(kind):
            raise DataError(f"{key}: {name} is {kind.simpleString()}; needs a numeric column")


def count_features(rows: DataFrame, names: Sequence[str]) -> int | None:
    """Return the number of features, None if only rows can tell.

    Parameters
    ----------
    rows : DataFrame
    names : sequence of str
        Columns that :func:`check_features` finds no fault in.
    """
    if len(names) > 1 or all(map(_is_number, _find_types(rows, names[0]))):
        return len(names)
    (field,) = [one for one in rows.schema.fields if fold(rows, one.name) == fold(rows, names[0])][:1]
    found = field.metadata.get("ml_attr", {}).get("num_attrs")
    return None if found is None else int(found)


def describe_columns(rows: DataFrame, names: Sequence[str]) -> str:
    """Return columns with their types."""
    return ", ".join(f"{name} {kind.simpleString()}" for name in names for kind in _find_types(rows, name))


def _find_types(rows: DataFrame, name: str) -> list[DataType]:
    """Return the types of the columns of a name, of which there should be one."""
    return [field.dataType for field in rows.schema.fields if fold(rows, field.name) == fold(rows, name)]


def _is_number(kind: DataType) -> bool:
    from pyspark.sql.types import NumericType

    return isinstance(kind, NumericType)


def _holds_numbers(kind: DataType) -> bool:
    from pyspark.sql.types import ArrayType

    return kind.simpleString() == "vector" or (isinstance(kind, ArrayType) and _is_number(kind.elementType))
