"""Models written to a local disk by pyarrow, without a JVM: the same files as Spark writes, which Spark reads too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gmm_spark.errors import ParameterError
from gmm_spark.local.files import to_local
from gmm_spark.storage.models import SavedModel, to_metadata, to_rows

_NUMBERS = pa.list_(pa.float64())
_SCHEMA = pa.schema([("component", pa.int32()), ("weight", pa.float64()), ("mean", _NUMBERS), ("covariance", _NUMBERS)])
_FILE = "part-00000"


def write_model(path: str | os.PathLike[str], model: SavedModel) -> None:
    """Write a model.

    Parameters
    ----------
    path : str or path-like
        A folder that does not exist yet.
    model : SavedModel

    Raises
    ------
    ParameterError
        If there is something at the path, or it is not one of this machine.
    """
    folder = Path(to_local(path))
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ParameterError(f"path={str(path)!r} exists already; remove it, or use another path") from None
    columns = zip(*to_rows(model.parameters), strict=True)
    table = pa.table(
        [pa.array(list(column), field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA
    )
    (folder / "data").mkdir()
    pq.write_table(table, folder / "data" / f"{_FILE}.parquet")
    # Metadata last: a folder without it is no model.
    (folder / "metadata").mkdir()
    line = json.dumps(to_metadata(model), separators=(",", ":"))
    (folder / "metadata" / _FILE).write_text(line + "\n", encoding="utf-8")
