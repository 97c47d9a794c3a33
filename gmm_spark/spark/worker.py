"""What tasks need of their Python worker: their number, one BLAS thread, and short garbage collections.

Spark already runs a task on every core; more BLAS threads would compete for them. The driver uses one thread too: the
products of a fit's sample are too small to share out.

PySpark collects garbage after each task, and a worker lives on from task to task. Each collection visits all objects of
the worker; with numpy, scipy and pyarrow loaded that takes longer than a small task. Loaded modules never become
garbage, so they can be frozen.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep this process's BLAS to one thread for a while. Threads may overlap: the last to leave restores the number.

    Spark sets OMP_NUM_THREADS for its workers, unless ``spark.executorEnv`` has that key. Executors without
    threadpoolctl rely on that variable alone.
    """
    found = _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave(found)


class _Limit:
    """The limit of one BLAS thread, shared by all threads of this process.

    Most BLAS libraries have one number of threads for the whole process. If each thread restored the number that it
    found, the last would restore the limit of another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._found_first: list[int] = []

    def enter(self) -> list[int]:
        """Set the limit; return the numbers that this thread found."""
        with self._lock:
            found = [library.num_threads for library in _blas_libraries()]
            if not self._inside:
                self._found_first = found
            self._inside += 1
            for library in _blas_libraries():
                _set_threads(library, 1)
        return found

    def leave(self, found: list[int]) -> None:
        """Restore what the first thread found if this is the last, and what each thread has of its own."""
        with self._lock:
            self._inside -= 1
            for library, own, first in zip(_blas_libraries(), found, self._found_first, strict=True):
                if library.internal_api == "openblas" and library.threading_layer == "openmp":
                    _set_threads(library, own)  # each thread has a number of its own
                elif not self._inside:
                    _set_threads(library, first)


_LIMIT = _Limit()


def _set_threads(library: Any, n: int) -> None:
    """Set a library's threads. threadpoolctl 3.8 lets one thread at a time do that: free it before and after."""
    free = getattr(library, "clear_controlling_thread", lambda force: None)
    free(force=True)
    library.set_num_threads(n)
    free(force=True)


@cache
def _blas_libraries() -> list[Any]:
    """Find the BLAS libraries of this process, once; none without threadpoolctl."""
    import scipy.linalg  # noqa: F401 - loads every BLAS that the kernels use, so that it is found

    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def freeze_loaded_objects() -> None:
    """Shorten the collections that PySpark runs after each task: freeze existing objects if there are many.

    Every task of a pass calls this, since later tasks load more; never call it on the driver. Garbage among the frozen
    objects stays, once for each such load. Measured: a third of a pass over 100,000 rows.
    """
    if len(gc.get_objects()) > MOST_OBJECTS:
        gc.freeze()
