"""The collections of garbage that pyspark makes after every task, kept short.

A worker that lives on from task to task looks through all that it holds each time: with numpy, scipy and pyarrow loaded
that takes longer than a small task. What is loaded never becomes garbage, and need not be looked at.
"""

from __future__ import annotations

import gc

# Objects that are looked through at most. A task has some hundred of its own; scipy alone loads ten thousand.
MOST_OBJECTS = 2_000


def spare_what_is_loaded() -> None:
    """Leave what this worker holds out of its collections where that is much; on the driver never.

    To be called by every task of a pass: a worker's later ones load more. What garbage there may be among so many
    objects stays, once for each such load.
    """
    if len(gc.get_objects()) > MOST_OBJECTS:
        gc.freeze()
