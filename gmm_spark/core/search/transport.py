"""Transport: runs and mixtures as bytes, on their way to another process of this application and back. Never files."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable


def to_bytes(found: Any) -> bytes:
    """Write runs, mixtures or an error.

    A table in memory is left out: who reads the bytes has it. Arrays keep the order of their axes in memory, which the
    order of sums follows.
    """
    file = io.BytesIO()
    _Writer(file, protocol=5).dump(found)
    return file.getvalue()


def from_bytes(content: bytes, table: ArrayTable | None = None) -> Any:
    """Read what :func:`to_bytes` has written, with a table in memory in place of the one that was left out."""
    return _Reader(io.BytesIO(content), table).load()


class _Writer(pickle.Pickler):
    def persistent_id(self, value: Any) -> str | None:
        return "table" if isinstance(value, ArrayTable) else None

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, MixtureParameters):
            # Without its factors, which are computed again: copies of them may lie otherwise in memory.
            return MixtureParameters, (
                value.weights,
                value.means,
                value.covariances,
                value.covariance_type,
                value.noise,
            )
        if type(value) is np.ndarray and not value.flags.forc:
            axes = tuple(sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis])))
            return _lay_out, (np.ascontiguousarray(value.transpose(axes)), tuple(np.argsort(axes).tolist()))
        return NotImplemented


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, table: ArrayTable | None) -> None:
        super().__init__(file)
        self._table = table

    def persistent_load(self, name: str) -> ArrayTable:
        if self._table is None:
            raise pickle.UnpicklingError("these bytes belong to a table in memory, and none was given")
        return self._table


def _lay_out(content: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    return content.transpose(axes)
