"""What tasks need of their Python worker: their number, one BLAS thread, and short garbage collections.

Spark already runs a task on every core; more BLAS threads would compete for them. The driver uses one thread too: the
products of a fit's sample are too small to share out.

PySpark collects garbage after each task, and a worker lives on from task to task. Each collection visits all objects of
the worker; with numpy, scipy and pyarrow loaded that takes longer than a small task. Loaded modules never become
garbage, so they can be frozen.
"""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from pyspark import TaskContext

# Objects that collections may visit. A task has some hundred of its own; scipy alone loads ten thousand.
MOST_OBJECTS = 2_000


def task_number() -> int:
    """Return the number of the Spark task that this is called in, from 0."""
    context = TaskContext.get()
    if context is None:
        raise RuntimeError("there is no Spark task here; call this inside a task only")
    return context.partitionId()


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep this process's BLAS to one thread for a while.

    Spark sets OMP_NUM_THREADS for its workers, unless ``spark.executorEnv`` has that key. Executors without
    threadpoolctl rely on that variable alone.
    """
    controller = _controller()
    if controller is None:
        return nullcontext()
    limits: AbstractContextManager[object] = controller.limit(limits=1, user_api="blas")
    return limits


@cache
def _controller() -> Any:
    """Find the BLAS libraries of this process, once."""
    import scipy.linalg  # noqa: F401 - loads every BLAS that the kernels use, so that it is found

    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def freeze_loaded_objects() -> None:
    """Shorten the collections that PySpark runs after each task: freeze existing objects if there are many.

    Every task of a pass calls this, since later tasks load more; never call it on the driver. Garbage among the frozen
    objects stays, once for each such load. Measured: a third of a pass over 100,000 rows.
    """
    if len(gc.get_objects()) > MOST_OBJECTS:
        gc.freeze()
