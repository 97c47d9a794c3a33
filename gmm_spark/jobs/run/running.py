"""From the command line to the exit code: the frame that every job runs in."""

from __future__ import annotations

import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from gmm_spark import errors
from gmm_spark.errors import DataError, GmmSparkError, ResourceError
from gmm_spark.jobs.config.command_line import load
from gmm_spark.jobs.config.secrets import redact, secrets_of
from gmm_spark.jobs.config.sections import JobConfiguration
from gmm_spark.jobs.exits import ExitCode, exit_code
from gmm_spark.jobs.io.tables import first_line
from gmm_spark.jobs.run.session import Surroundings, open_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_RAISED_IN_WORKER = re.compile(r"gmm_spark\.errors\.(?P<kind>\w+): (?P<message>.+)")
# What py4j makes of a connection that is reset in mid-call; what Java says of a call comes with a trace.
_CUT_SHORT = re.compile(r"An error occurred while calling \S+")
_JVM_HAS_ENDED = "Spark's JVM has ended; it may have been killed, or have had too little memory"

Configuration = TypeVar("Configuration", bound=JobConfiguration)


def run(
    job: Callable[[SparkSession, Configuration], None],
    model: type[Configuration],
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Configure a job, run it in a session of its own, and end the process with its exit code.

    Parameters
    ----------
    job : callable
        The work: takes the session and the configuration, returns when everything is published.
    model : type
        The job's configuration model.
    arguments : sequence of str, optional
        The command line, by default that of the process.
    """
    sys.exit(_outcome(job, model, arguments))


def _outcome(
    job: Callable[[SparkSession, Configuration], None], model: type[Configuration], arguments: Sequence[str] | None
) -> ExitCode:
    secrets: list[str] = []
    before = Surroundings.now()
    try:
        configuration = load(model, arguments)
        secrets = secrets_of(configuration)
        with _terminated_as_interrupted(), open_session(configuration) as spark:
            job(spark, configuration)
    except KeyboardInterrupt:
        before.restore()
        return _fail(model.job, ExitCode.FAILURE, "interrupted", "Nothing was published. Run it again.")
    except Exception as error:
        told, trace = _translated(error), ""
        code = exit_code(told)
        if not isinstance(told, GmmSparkError):
            trace = traceback.format_exc() + "\n"
            told = RuntimeError(f"{type(error).__name__}: {first_line(_text(error))}")
        before.restore()  # nothing of Spark is to speak after the last line
        print(redact(trace, secrets), end="", file=sys.stderr)
        return _fail(model.job, code, redact(str(told), secrets), code.remedy)
    return ExitCode.DONE


def _fail(job: str, code: ExitCode, message: str, remedy: str) -> ExitCode:
    print(f"{job} failed: {message}\n{job} ended with exit code {code.value}. {remedy}", file=sys.stderr, flush=True)
    return code


def _translated(error: Exception) -> Exception:
    """Return what Spark says of a table, a column or a row as an error of ours; any other error as it is."""
    if isinstance(error, GmmSparkError):
        return error
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import AnalysisException

    if isinstance(error, (ConnectionRefusedError, Py4JNetworkError)):
        return ResourceError(_JVM_HAS_ENDED)
    text = _text(error)
    if type(error) is Py4JError and _CUT_SHORT.fullmatch(text):
        return ResourceError(_JVM_HAS_ENDED)
    # Raised in a worker, an error of ours arrives as text within one of Spark's.
    if ours := _RAISED_IN_WORKER.search(text):
        kind = getattr(errors, ours["kind"], None)
        if isinstance(kind, type) and issubclass(kind, GmmSparkError):
            return kind(ours["message"])
    return DataError(first_line(text)) if isinstance(error, AnalysisException) else error


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # py4j asks the JVM for the text, which may have died
        return "the JVM ended"


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM, which schedulers send, as Ctrl-C: pyspark cancels the jobs, staging is removed."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
