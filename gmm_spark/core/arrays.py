"""The two array types that every module here names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Parameters and sums: always float64."""

Block = NDArray[np.floating[Any]]
"""Rows of a table as one array (d, m), a row per feature; float32 or float64."""
