"""Models written to a local disk by pyarrow, without a JVM: the same files as Spark writes, which Spark reads too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet as pq

from gmm_spark.errors import ParameterError
from gmm_spark.local.files import to_local
from gmm_spark.storage.models import SavedModel, to_metadata, to_table

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
    (folder / "data").mkdir()
    pq.write_table(to_table(model.parameters), folder / "data" / f"{_FILE}.parquet")
    # Metadata last: a folder without it is no model.
    (folder / "metadata").mkdir()
    line = json.dumps(to_metadata(model), separators=(",", ":"))
    (folder / "metadata" / _FILE).write_text(line + "\n", encoding="utf-8")
