"""From the command line to the exit code: what happens around the work of every job."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from gmm_spark.errors import CompletedRunError, GmmSparkError
from gmm_spark.jobs.causes.explaining import explain
from gmm_spark.jobs.causes.texts import read_text
from gmm_spark.jobs.config.command_line import load
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.parameter_keys import name_keys_in_error
from gmm_spark.jobs.config.secrets import find_secrets, redact
from gmm_spark.jobs.exits import ExitCode, exit_code, remedy
from gmm_spark.jobs.run.details import Details
from gmm_spark.jobs.run.lineage import traced
from gmm_spark.jobs.run.logs import JobLog, shows_passes
from gmm_spark.jobs.run.session import open_session
from gmm_spark.jobs.run.termination import Termination, treat_sigterm_as_interrupt
from gmm_spark.spark.descriptions import describe_jobs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LONGEST_LINE = 360  # characters of a line of a message, without what stands around it

_logger = logging.getLogger(__name__)

Configuration = TypeVar("Configuration", bound=JobConfiguration)


def run(
    job: Callable[[SparkSession, Configuration], None],
    model: type[Configuration],
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Read the configuration, run a job in a session of its own, and end the process with its exit code.

    If the job fails, the last two lines that it writes to stderr, after the session has been stopped, say why and what
    to do. Stack traces go to a file that they name.

    Parameters
    ----------
    job : callable
        The work: takes the session and the configuration, returns when everything is published.
    model : type
        The job's configuration model.
    arguments : sequence of str, optional
        The command line, by default that of the process.
    """
    with JobLog(model.job) as log, Details(model.job) as details, treat_sigterm_as_interrupt() as termination:
        code = _run(job, model, arguments, log, details, termination)
    sys.exit(code)


def _run(
    job: Callable[[SparkSession, Configuration], None],
    model: type[Configuration],
    arguments: Sequence[str] | None,
    log: JobLog,
    details: Details,
    termination: Termination,
) -> ExitCode:
    secrets: list[str] = []
    title = f"gmm-spark {model.job}"
    try:
        configuration = load(model, arguments)
        secrets = find_secrets(configuration)
        log.configure(configuration.run, secrets)
        details.open(configuration.run)
        with (
            _masked(configuration.run.umask),
            open_session(configuration, details) as spark,
            describe_jobs(spark, title),
            traced(spark, configuration, secrets, explain),
        ):
            job(spark, configuration)
            termination.is_over = True
    except (Exception, KeyboardInterrupt) as error:
        failure = _judge(error, termination, details, secrets)
        return _fail(model.job, failure, details)
    details.drop()
    return ExitCode.DONE


@contextmanager
def _masked(umask: str | None) -> Iterator[None]:
    """Give new files of this process, and of a JVM that it starts, fewer permissions."""
    if umask is None:
        yield
        return
    before = os.umask(int(umask, 8))
    try:
        yield
    finally:
        os.umask(before)


class _Failure(NamedTuple):
    code: ExitCode
    message: str
    remedy: str


def _judge(error: BaseException, termination: Termination, details: Details, secrets: Sequence[str]) -> _Failure:
    """Say why a job failed, and keep the details if there are any."""
    if isinstance(error, GmmSparkError) and error.__cause__ is None:
        details.drop()
    else:
        told = "".join(traceback.format_exception(error))
        with suppress(OSError):  # a full disk
            details.write(redact(f"{told.rstrip()}\n{read_text(error)}" if _hides_java(error) else told, secrets))
    if termination.has_come:
        if isinstance(error, CompletedRunError):
            return _Failure(ExitCode.TERMINATED, redact(str(error), secrets), remedy(error))
        details.drop()
        return _Failure(ExitCode.TERMINATED, "terminated by SIGTERM", ExitCode.TERMINATED.remedy)
    if isinstance(error, KeyboardInterrupt):
        details.drop()
        return _Failure(ExitCode.FAILURE, "interrupted", "Nothing was published. Run it again.")
    ours = explain(error, log=details.tail())
    message = name_keys_in_error(redact(str(ours), secrets))
    return _Failure(exit_code(ours), message, remedy(ours))


def _hides_java(error: BaseException) -> bool:
    """Return whether an error of pyspark's has Java's stack, and does not show it."""
    return bool(getattr(error, "_stackTrace", None))


def _fail(job: str, failure: _Failure, details: Details) -> ExitCode:
    """Print why a job failed and what to do, and return its exit code."""
    code, message, what_to_do = failure
    message = "\n".join(_cut(line) for line in message.splitlines())
    if shows_passes():  # a log that is read by a program has it as a record, too
        _logger.error("%s failed: %s", job, message, extra={"exit_code": code.value, "remedy": what_to_do})
    where = f" Details are in {details.path}." if details.path else ""
    lines = f"{job} failed: {message}\n{job} ended with exit code {code.value}.{where} {what_to_do}"
    with suppress(BrokenPipeError):  # whoever started us may have ended first
        print(lines, file=sys.stderr, flush=True)
    return code


def _cut(line: str) -> str:
    """Keep the beginning and the end of a line that is too long to read."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 125]} ... {line[-115:]}"
