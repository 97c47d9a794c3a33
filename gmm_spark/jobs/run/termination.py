"""SIGTERM, which schedulers send: to the driver, to its JVM, or to both.

The driver treats it like Ctrl-C: pyspark cancels its jobs, what the job has begun is taken back, the session stops, and
the last lines are written. Under spark-submit the scheduler knows the JVM alone, whose child the driver is. A hook of
the JVM then passes the signal on, and lets the JVM wait for the driver before Spark and its file systems shut down.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from gmm_spark.storage.hadoop import is_remote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Hadoop runs hooks from the highest priority to the lowest. Spark's have 40, those that close file systems 10.
_PRIORITY = 1000
_PATIENCE = 25  # seconds for the driver to end; Kubernetes gives 30 until it kills

_logger = logging.getLogger(__name__)


class Termination:
    """Whether SIGTERM has come.

    Attributes
    ----------
    has_come : bool
    is_over : bool
        True once the work is done: then the signal changes nothing any more.
    """

    def __init__(self) -> None:
        self.has_come = False
        self.is_over = False

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """Do what Ctrl-C does, once: a second signal must not interrupt the cleaning up."""
        if self.has_come or self.is_over:
            return
        self.has_come = True
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):  # pyspark's, which cancels its jobs; not so if the shell has started us in the background
            with suppress(Exception):  # the JVM may have ended
                handler(signal.SIGINT, frame)
        raise KeyboardInterrupt


@contextmanager
def treat_sigterm_as_interrupt() -> Iterator[Termination]:
    """Let SIGTERM interrupt the block."""
    termination = Termination()
    previous = signal.signal(signal.SIGTERM, termination.interrupt)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def passed_on_by_jvm(session: SparkSession) -> Iterator[None]:
    """Let the JVM, if it is told to end while the block runs, tell this process and wait for it."""
    if is_remote(session):
        try:
            yield
        except KeyboardInterrupt:  # over Spark Connect nobody else cancels the server's work
            with suppress(Exception):
                session.interruptAll()
            raise
        return
    hooks: list[Any] = []
    jvm: Any = session.sparkContext._jvm
    try:
        manager = jvm.org.apache.hadoop.util.ShutdownHookManager.get()
        seconds = jvm.java.util.concurrent.TimeUnit.SECONDS
        for number, hook in enumerate(_build_hooks(jvm)):
            manager.addShutdownHook(hook, _PRIORITY - number, _PATIENCE, seconds)
            hooks.append(hook)
    except Exception:
        _logger.info("no shutdown hook; a SIGTERM for the JVM alone ends the job without a word", exc_info=True)
    try:
        yield
    finally:
        for hook in hooks:
            with suppress(Exception):  # the JVM has ended, or is about to
                manager.removeShutdownHook(hook)


def _build_hooks(jvm: Any) -> tuple[Any, Any]:
    """Return two hooks: the first sends SIGTERM to this process, the second waits until it has ended."""
    lang, invoke = jvm.java.lang, jvm.java.lang.invoke
    load, lookup = lang.Class.forName, invoke.MethodHandles.publicLookup()
    handle_type, future_type = load("java.lang.ProcessHandle"), load("java.util.concurrent.CompletableFuture")
    this = lang.ProcessHandle.of(os.getpid()).get()
    kill = lookup.findVirtual(handle_type, "destroy", invoke.MethodType.methodType(lang.Boolean.TYPE)).bindTo(this)
    returned = invoke.MethodType.methodType(load("java.lang.Object"))
    wait = lookup.findVirtual(future_type, "join", returned).bindTo(this.onExit())
    hook_type = load("java.lang.Runnable")
    return tuple(invoke.MethodHandleProxies.asInterfaceInstance(hook_type, one) for one in (kill, wait))
