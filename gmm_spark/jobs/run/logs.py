"""The log of a job: what the loggers ``gmm_spark.*`` say, as lines on stderr, without the configuration's secrets."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterable
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from gmm_spark.jobs.config.secrets import redact
from gmm_spark.jobs.config.sections import RunSection
from gmm_spark.storage.documents import simplify

ROOT = "gmm_spark"
_WARNINGS = "py.warnings"  # the logger of Python's own warnings, once logging captures them
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JobLog:
    """What handles the records of a job; a context manager that leaves logging as it was.

    Before it is configured, and if the configuration does not ask for a log, it writes warnings alone: a run that ends
    well and met no trouble says nothing on stderr.

    Parameters
    ----------
    job : str
    """

    def __init__(self, job: str) -> None:
        self._handler = _LinesOnStderr()
        self._handler.facts["job"] = job
        self._handler.setFormatter(_Text(self._handler))
        self._loggers = [logging.getLogger(ROOT)]
        self._levels: list[int] = []
        self._captures = False

    def __enter__(self) -> JobLog:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.addHandler(self._handler)
        self._loggers[0].setLevel(logging.WARNING)
        return self

    def configure(self, section: RunSection, secrets: Iterable[str]) -> None:
        """Follow the configuration: the form of the lines, the least level, and what is struck out."""
        self._handler.secrets = tuple(secrets)
        if section.log == "json":
            self._handler.setFormatter(_Json(self._handler))
        asked = section.log_level or ("warning" if section.log is None else "info")
        self._loggers[0].setLevel(asked.upper())
        if section.log is not None and len(self._loggers) == 1:
            self._captures = True
            logging.captureWarnings(True)
            self._loggers.append(logging.getLogger(_WARNINGS))
            self._levels.append(self._loggers[-1].level)
            self._loggers[-1].addHandler(self._handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.removeHandler(self._handler)
            logger.setLevel(level)
        if self._captures:
            logging.captureWarnings(False)


def add_facts(**facts: Any) -> None:
    """Add facts to every record from here on, such as the id of the run, once it is known."""
    for handler in logging.getLogger(ROOT).handlers:
        if isinstance(handler, _LinesOnStderr):
            handler.facts.update(facts)


def shows_passes() -> bool:
    """Return whether somebody reads a line for each pass."""
    return logging.getLogger(ROOT).isEnabledFor(logging.INFO)


class _LinesOnStderr(logging.Handler):
    """Handler that writes one line a record to what is stderr at that time."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, Any] = {}
        self.secrets: tuple[str, ...] = ()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. As all handlers do, it lets no error of its own end the program."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


class _Text(logging.Formatter):
    """Lines for people: time in UTC, level, message."""

    def __init__(self, handler: _LinesOnStderr) -> None:
        super().__init__()
        self._handler = handler

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and the trace of its error if it has one."""
        told = redact(f"{record.levelname.lower()}: {record.getMessage()}{_trace(record)}", self._handler.secrets)
        return f"{_time(record)} {told}"


class _Json(logging.Formatter):
    """Lines for programs: a JSON object each."""

    def __init__(self, handler: _LinesOnStderr) -> None:
        super().__init__()
        self._handler = handler

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's own fields, those of the run, and what the caller gave as ``extra``."""
        extra = {key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD}
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._handler.facts,
            **extra,
        }
        if record.exc_info:
            fields["exception"] = _trace(record).lstrip("\n")
        # Before they are written as JSON, which would hide a secret that holds a quote.
        return json.dumps(self._redact(simplify(fields)), allow_nan=False, default=str)

    def _redact(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._redact(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self._redact(part) for part in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return redact(str(value), self._handler.secrets)


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
