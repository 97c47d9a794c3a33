"""Saved models, read from a local disk by pyarrow: no JVM, and nothing that a file names is imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gmm_spark.core.mixture.covariance import CovarianceStructure
from gmm_spark.errors import ModelFileError, ParameterError
from gmm_spark.storage.files import LocalFiles, is_hidden
from gmm_spark.storage.models import LONGEST, MODEL_CLASSES, SavedModel, build_model, missing, parse_metadata
from gmm_spark.storage.runs import find_model

# Bytes of a UTF-8 character at most.
_WIDEST = 4
# Components, and numbers in a column, above which data are no mixture's.
_MOST_ROWS, _MOST_NUMBERS = 1 << 20, 1 << 28
# Rows that are decoded at a time: of a tied mixture all but the first covariance are dropped.
_BATCH_ROWS = 16


def read_model(path: Any) -> SavedModel:
    """Read a saved model.

    Parameters
    ----------
    path : str or path-like
        The folder that ``save`` wrote, a directory of runs, of which the newest complete one is read, or the directory
        of one run. A run is checked against its manifest first.

    Raises
    ------
    ModelFileError
        If there is no model at the path, its format version is unknown, or it is damaged; or if there are runs, and
        none is complete.
    ParameterError
        If the path is not one of this machine.
    """
    folder = to_local(path)
    try:
        located = find_model(LocalFiles(), folder)
        line = _read_first_line(Path(located.path, "metadata"))
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: bytes that are no text, or no path
        if isinstance(error, ModelFileError):
            raise
        raise missing(folder, "model", error) from error
    metadata = parse_metadata(located.path, line, MODEL_CLASSES, "model")
    return build_model(located.path, metadata, lambda kind: _read_rows(Path(located.path, "data"), kind))


def to_local(path: Any) -> str:
    """Return a path of this machine without a scheme; raises ParameterError if it is another machine's."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ParameterError(f"path={path!r}; need the path of a saved model or of a directory of runs")
    text = os.fspath(path)
    text = text.removeprefix("file://").removeprefix("file:")
    if "://" in text:
        raise ParameterError(
            f"path={text!r} is no path of this machine; copy the model here first, or load it with Spark: "
            "GaussianMixtureModel.load(path).local()"
        )
    return text


def _list_files(folder: Path) -> list[Path]:
    """List the files in a folder that Spark would read. Links are followed: caches of artifacts use them."""
    return sorted(file for file in folder.iterdir() if not is_hidden(file.name) and file.is_file())


def _read_first_line(folder: Path) -> str:
    """Read the first line of text in the files of a folder."""
    for file in _list_files(folder):
        with pa.input_stream(str(file), compression="detect") as stream:  # Hadoop may be set to compress all outputs
            data = stream.read(_WIDEST * LONGEST + 1)
        if data:
            line = data.split(b"\n", 1)[0].decode("utf-8")
            if len(line) > LONGEST:
                raise ValueError(f"its metadata has more than {LONGEST:,} characters")
            return str(line)
    raise ValueError("its metadata is empty")


def _read_rows(folder: Path, kind: CovarianceStructure) -> list[dict[str, Any]]:
    """Read the rows of data, by component."""
    rows: list[dict[str, Any]] = []
    for path in _list_files(folder):
        with pq.ParquetFile(path) as file:
            _require_size(file.metadata)
            for batch in file.iter_batches(_BATCH_ROWS, columns=["component", "weight", "mean", "covariance"]):
                rows += _to_dicts(batch, kind)
    return sorted(rows, key=lambda row: int(row["component"]))


def _require_size(metadata: pq.FileMetaData) -> None:
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    numbers = max((group.column(i).num_values for group in groups for i in range(group.num_columns)), default=0)
    if metadata.num_rows > _MOST_ROWS or numbers > _MOST_NUMBERS:
        raise ValueError(f"data has {metadata.num_rows:,} rows and up to {numbers:,} numbers in a column")


def _to_dicts(batch: pa.RecordBatch, kind: CovarianceStructure) -> list[dict[str, Any]]:
    columns = {name: batch.column(name) for name in ("component", "weight", "mean", "covariance")}
    components, weights = columns["component"].to_pylist(), columns["weight"].to_pylist()
    found = []
    for number, component in enumerate(components):
        wanted = component == 0 or not kind.pooled
        found.append(
            {
                "component": component,
                "weight": weights[number],
                "mean": _to_numbers(columns["mean"][number]),
                "covariance": _to_numbers(columns["covariance"][number]) if wanted else None,
            }
        )
    return found


def _to_numbers(value: pa.ListScalar) -> np.ndarray[Any, Any]:
    if value.values is None:
        raise ValueError("a mean or a covariance is null")
    return np.array(value.values.to_numpy(zero_copy_only=False))  # a copy: the batch is dropped
