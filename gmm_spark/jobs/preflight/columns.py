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

    from gmm_spark import GaussianMixtureModel


def check_features(faults: Faults, rows: DataFrame, key: str, names: Sequence[str], alone: bool | None = None) -> bool:
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
    alone : bool, optional
        Whether there may be a Vector or array column. By default if there is one name.
    """
    faults.attempt(require_columns, rows, key, names)
    of_arrays = len(names) == 1 if alone is None else alone
    types = [(name, _find_types(rows, name)) for name in names]
    wrong = [
        f"{name} is {kind.simpleString()}"
        for name, kinds in types
        for kind in kinds
        if not (_is_number(kind) or (of_arrays and _holds_numbers(kind)))
    ]
    if wrong:
        needs = "numeric columns, or one Vector or array column alone"
        faults.add(
            DataError(
                f"{key}: {', '.join(wrong)}; needs {needs}; if they are text in files, give their types "
                "by input.columns; or leave them out"
            )
        )
    return not wrong and all(kinds for _, kinds in types)


def check_model_features(
    faults: Faults, rows: DataFrame, model: GaussianMixtureModel, names: Sequence[str] | None
) -> bool:
    """Find features of a model that a table lacks, or has otherwise; return whether all can be read.

    Parameters
    ----------
    faults : Faults
        Gets a DataError for each kind of fault.
    rows : DataFrame
    model : GaussianMixtureModel
    names : sequence of str or None
        Columns to read in place of those of the fit.
    """
    fitted = model.input_columns or [model.getFeaturesCol()]
    d = model.parameters.n_features
    if names is not None:
        sound = check_features(faults, rows, "features.columns", names)
        found = count_features(rows, names) if sound else d
        if found not in (None, d):
            faults.add(
                DataError(
                    f"features.columns: got {found} feature(s), and the model has {d}: "
                    f"{', '.join(model.featureNames or fitted)}"
                )
            )
        return sound and found in (None, d)
    there = {fold(rows, name) for name in rows.columns}
    missing = [name for name in fitted if fold(rows, name) not in there]
    if missing:
        faults.add(
            DataError(
                f"model: it was fitted on {', '.join(fitted)}, and the table lacks {', '.join(missing)}; the table has "
                f"{', '.join(rows.columns)}; name its columns by features.columns, or score with a model of this table"
            )
        )
    present = [name for name in fitted if name not in missing]
    return check_features(faults, rows, "features of the model", present, len(fitted) == 1) and not missing


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
