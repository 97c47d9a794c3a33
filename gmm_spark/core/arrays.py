"""The two array types that all modules use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Parameters and sums: always float64."""

Block = NDArray[np.floating[Any]]
"""Rows of a table as one array (d, m), one row per feature; float32 or float64."""
