"""Where stack traces go: a file for the owner alone that the last lines of a failed job name, or stderr if asked.

Spark's log, what workers write to stderr, Python's tracebacks and the complaints of py4j go there. So stderr holds what
is for people: the last two lines, and a log if one was asked for.

If Python starts the JVM, the file is the JVM's stderr from the first line on. Under spark-submit the JVM is there
first: once the session has started, its console appenders are replaced. In a cluster's containers (deploy mode cluster)
stderr is left alone, since the platform collects it and a file would go with the container.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from gmm_spark.jobs.config.sections import RunSection
from gmm_spark.storage.documents import describe_os_error

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TAIL = 2**18  # bytes of the file that are searched for why a JVM ended
# Loggers of pyspark that repeat on stderr what the error that follows says, with Java's stack.
_REPEATING = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
_APPENDER = "gmm_spark"


class Details:
    """What is said of a job that few people read; a context manager.

    Parameters
    ----------
    job : str
        Part of the file's name.

    Attributes
    ----------
    path : str or None
        The file; None before :meth:`open`, and if everything goes to stderr.
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._file: IO[bytes] | None = None
        self._handler: logging.Handler | None = None
        self._is_temporary = False
        self.path: str | None = None

    def __enter__(self) -> Details:
        return self

    def open(self, section: RunSection) -> None:
        """Open the file that a configuration asks for; by default one in the directory for temporary files."""
        if section.verbose:
            return
        try:
            if section.log_file:
                flags = os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_NOFOLLOW
                descriptor, path = os.open(section.log_file, flags, 0o600), os.path.abspath(section.log_file)
            else:
                descriptor, path = tempfile.mkstemp(prefix=f"gmm-spark-{self._job}-", suffix=".log")
                self._is_temporary = True
        except OSError as error:
            print(f"no file for Spark's log ({describe_os_error(error)}); it goes to stderr", file=sys.stderr)
            return
        self._file, self.path = os.fdopen(descriptor, "ab", buffering=0), path
        self._handler = logging.StreamHandler(os.fdopen(os.dup(descriptor), "a", encoding="utf-8", errors="replace"))
        self._handler.addFilter(lambda record: not record.name.startswith("gmm_spark"))  # these have their own
        logging.getLogger().addHandler(self._handler)

    def launch_options(self) -> dict[str, Any]:
        """Return what starts the JVM so that it writes here."""
        return {} if self._file is None else {"stderr": self._file}

    def take_over(self, session: SparkSession) -> None:
        """Let a JVM that others have started write here, unless it runs in a cluster's container."""
        _silence_repeaters()
        context = session.sparkContext
        if self.path is None or context.getConf().get("spark.submit.deployMode", "client") == "cluster":
            return
        with suppress(Exception):  # another logging system than log4j, or another version of it: the log stays
            _redirect(context._jvm, self.path)

    def write(self, text: str) -> None:
        """Write a text here, a traceback say."""
        if self._file is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._file.write((text.rstrip("\n") + "\n").encode("utf-8", "replace"))

    def tail(self) -> str:
        """Return the end of the file."""
        if self.path is None:
            return ""
        try:
            with open(self.path, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def drop(self) -> None:
        """Remove the file, unless the configuration has named it: nobody needs it."""
        if self.path is not None and self._is_temporary:
            with suppress(OSError):
                os.unlink(self.path)
            self.path = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
        if self._file is not None:
            self._file.close()


def _silence_repeaters() -> None:
    with suppress(ImportError):
        from pyspark.logger import PySparkLogger

        for name in _REPEATING:
            logger = PySparkLogger.getLogger(name)
            logger.handlers[:] = [logging.NullHandler()]
            logger.propagate = False


def _redirect(jvm: Any, path: str) -> None:
    """Replace the console appenders of log4j, and ``System.err``, to which Spark copies the stderr of workers."""
    stream = jvm.java.io.PrintStream(jvm.java.io.FileOutputStream(path, True), True)
    jvm.java.lang.System.setErr(stream)
    context = jvm.org.apache.logging.log4j.LogManager.getContext(False)
    configuration = context.getConfiguration()
    layout = jvm.org.apache.logging.log4j.core.layout.PatternLayout.newBuilder()
    layout = layout.withPattern("%d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex").build()
    builder = jvm.org.apache.logging.log4j.core.appender.FileAppender.newBuilder()
    appender = builder.setName(_APPENDER).setLayout(layout).withFileName(path).withAppend(True).build()
    appender.start()
    consoles = [
        one.getName()
        for one in configuration.getAppenders().values()
        if one.getClass().getSimpleName() == "ConsoleAppender"
    ]
    for logger in configuration.getLoggers().values():
        for name in consoles:
            if logger.getAppenders().containsKey(name):
                logger.removeAppender(name)
                logger.addAppender(appender, None, None)
    context.updateLoggers()
