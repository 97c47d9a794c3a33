"""Named arrays, one after another in a vector of float64: tasks send such vectors, and the driver adds them up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gmm_spark.core.arrays import Array


class VectorLayout:
    """The one description of a vector, for the code that writes it and the code that reads it.

    Parameters
    ----------
    shapes : mapping
        Shape of each array by its name (text or a tuple), in the order of the vector.

    Examples
    --------
    >>> layout = VectorLayout({"rows": (), "means": (2, 3)})
    >>> layout.length
    7
    >>> layout.unpack(layout.pack({"rows": 5.0, "means": np.ones((2, 3))}))["means"].shape
    (2, 3)
    """

    def __init__(self, shapes: Mapping[Any, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self.length = sum(math.prod(shape) for shape in self.shapes.values())

    def pack(self, arrays: Mapping[Any, ArrayLike]) -> Array:
        """Write arrays as one vector, (length,); raises ValueError if a name or a shape differs."""
        found = {name: np.shape(array) for name, array in arrays.items()}
        if found != self.shapes:
            raise ValueError(f"arrays have shapes {found}; need {self.shapes}")
        return np.concatenate([np.ravel(arrays[name]) for name in self.shapes]).astype(np.float64, copy=False)

    def unpack(self, vector: Array) -> dict[Any, Array]:
        """View the arrays in a vector (length,), by name; raises ValueError if its length differs."""
        if vector.shape != (self.length,):
            raise ValueError(f"a vector has shape {vector.shape}; need ({self.length},)")
        arrays: dict[Any, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            end = start + math.prod(shape)
            arrays[name] = vector[start:end].reshape(shape)
            start = end
        return arrays
