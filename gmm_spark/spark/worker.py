"""What a Python worker of Spark is to be told before it works: one BLAS thread, and short collections of garbage.

Spark runs a task on every core already, and threads on top of that only take turns. On the driver too: what it
multiplies for a fit's sample is in pieces too small to share out.

pyspark collects garbage after every task. A worker that lives on from task to task looks through all that it holds each
time: with numpy, scipy and pyarrow loaded that takes longer than a small task. What is loaded never becomes garbage,
and need not be looked at.
"""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

# Objects that are looked through at most. A task has some hundred of its own; scipy alone loads ten thousand.
MOST_OBJECTS = 2_000


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep this process's BLAS to one thread for a while.

    Spark tells its workers so by OMP_NUM_THREADS, but not where ``spark.executorEnv`` has that key. Where an executor
    lacks threadpoolctl, Spark's word has to serve.
    """
    controller = _controller()
    if controller is None:
        return nullcontext()
    limits: AbstractContextManager[object] = controller.limit(limits=1, user_api="blas")
    return limits


@cache
def _controller() -> Any:
    """What finds the BLAS libraries of this process, once."""
    import scipy.linalg  # noqa: F401 - loads every BLAS that the kernels use, so that it is found

    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def spare_what_is_loaded() -> None:
    """Leave what this worker holds out of its collections where that is much; on the driver never.

    To be called by every task of a pass: a worker's later ones load more. What garbage there may be among so many
    objects stays, once for each such load.
    """
    if len(gc.get_objects()) > MOST_OBJECTS:
        gc.freeze()
