"""One BLAS thread a task: Spark runs a task on every core already, and threads on top of that only take turns.

On the driver too: what it multiplies for a fit's sample is in pieces too small to share out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any


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
