"""From the command line to the exit code: what happens around the work of every job."""

from __future__ import annotations

import logging
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
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.secrets import find_secrets, redact
from gmm_spark.jobs.exits import ExitCode, exit_code, remedy
from gmm_spark.jobs.io.tables import shorten_error
from gmm_spark.jobs.run.lineage import traced
from gmm_spark.jobs.run.logs import JobLog, shows_passes
from gmm_spark.jobs.run.session import open_session
from gmm_spark.spark.descriptions import describe_jobs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_RAISED_IN_WORKER = re.compile(r"gmm_spark\.errors\.(?P<kind>\w+): (?P<message>.+)")
# All that py4j says if its connection is reset during a call. If Java raised an error, a stack trace follows.
_CONNECTION_RESET = re.compile(r"An error occurred while calling \S+")
_JVM_HAS_ENDED = "Spark's JVM has ended; it may have been killed, or have had too little memory"

_logger = logging.getLogger(__name__)

Configuration = TypeVar("Configuration", bound=JobConfiguration)


def run(
    job: Callable[[SparkSession, Configuration], None],
    model: type[Configuration],
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Read the configuration, run a job in a session of its own, and end the process with its exit code.

    If the job fails, the last two lines that it writes to stderr, after the session has been stopped, say why and what
    to do.

    Parameters
    ----------
    job : callable
        The work: takes the session and the configuration, returns when everything is published.
    model : type
        The job's configuration model.
    arguments : sequence of str, optional
        The command line, by default that of the process.
    """
    with JobLog(model.job) as log:
        code = _run(job, model, arguments, log)
    sys.exit(code)


def _run(
    job: Callable[[SparkSession, Configuration], None],
    model: type[Configuration],
    arguments: Sequence[str] | None,
    log: JobLog,
) -> ExitCode:
    secrets: list[str] = []
    title = f"gmm-spark {model.job}"
    try:
        configuration = load(model, arguments)
        secrets = find_secrets(configuration)
        log.configure(configuration.run, secrets)
        with (
            _treat_sigterm_as_interrupt(),
            open_session(configuration) as spark,
            describe_jobs(spark, title),
            traced(spark, configuration, secrets, _translate),
        ):
            job(spark, configuration)
    except KeyboardInterrupt:
        return _fail(model.job, ExitCode.FAILURE, "interrupted", "Nothing was published. Run it again.")
    except Exception as error:
        ours = _translate(error)
        code = exit_code(ours)
        if isinstance(ours, GmmSparkError):
            message = str(ours)
        else:
            print(redact(traceback.format_exc(), secrets), file=sys.stderr)
            message = f"{type(error).__name__}: {shorten_error(_read_text(error))}"
        return _fail(model.job, code, redact(message, secrets), remedy(ours))
    return ExitCode.DONE


def _fail(job: str, code: ExitCode, message: str, what_to_do: str) -> ExitCode:
    """Print why a job failed and what to do, and return its exit code."""
    if shows_passes():  # a log that is read by a program has it as a record, too
        _logger.error("%s failed: %s", job, message, extra={"exit_code": code.value, "remedy": what_to_do})
    print(
        f"{job} failed: {message}\n{job} ended with exit code {code.value}. {what_to_do}", file=sys.stderr, flush=True
    )
    return code


def _translate(error: Exception) -> Exception:
    """Translate what Spark says of a table, a column or a row into an error of ours; return any other as it is."""
    if isinstance(error, GmmSparkError):
        return error
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import AnalysisException

    if isinstance(error, (ConnectionRefusedError, Py4JNetworkError)):
        return ResourceError(_JVM_HAS_ENDED)
    text = _read_text(error)
    if type(error) is Py4JError and _CONNECTION_RESET.fullmatch(text):
        return ResourceError(_JVM_HAS_ENDED)
    # If a worker raises an error of ours, it arrives as text inside an error of Spark's.
    if ours := _RAISED_IN_WORKER.search(text):
        kind = getattr(errors, ours["kind"], None)
        if isinstance(kind, type) and issubclass(kind, GmmSparkError):
            return kind(ours["message"])
    return DataError(shorten_error(text)) if isinstance(error, AnalysisException) else error


def _read_text(error: Exception) -> str:
    """Return an error's text. py4j asks the JVM for it, which may have died."""
    try:
        return str(error)
    except Exception:
        return "the JVM ended"


@contextmanager
def _treat_sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which schedulers send, like Ctrl-C: pyspark cancels its jobs, and the staging directory goes."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
