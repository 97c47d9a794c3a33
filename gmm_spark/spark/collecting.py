"""The collections of garbage that pyspark makes after every task, kept short.

A worker that lives on from task to task looks through all that it holds each time: with numpy, scipy and pyarrow loaded
that takes longer than a small task. What is loaded never becomes garbage, and need not be looked at.
"""

from __future__ import annotations

import gc


def spare_what_is_loaded() -> None:
    """Leave what this worker holds now out of its collections; once a worker, on the driver never."""
    if not gc.get_freeze_count():
        gc.freeze()
