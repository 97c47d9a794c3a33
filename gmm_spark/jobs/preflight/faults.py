"""Faults that are collected, and told at once: whoever mends one should not meet the next an hour later."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gmm_spark.errors import GmmSparkError
from gmm_spark.jobs.exits import ExitCode, exit_code

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# Codes of errors that come back however often the job is run, the one to mend first before the others.
_LASTING = (ExitCode.CONFIGURATION, ExitCode.DATA)


class Faults:
    """What is wrong with a job, as far as it is known before the work.

    Examples
    --------
    >>> from gmm_spark.errors import ConfigurationError
    >>> faults = Faults()
    >>> faults.attempt(int, "3")
    3
    >>> faults.add(ConfigurationError("output.path: got 'x', which is there already"))
    >>> faults.require_none()
    Traceback (most recent call last):
        ...
    gmm_spark.errors.ConfigurationError: output.path: got 'x', which is there already
    """

    def __init__(self) -> None:
        self._errors: list[GmmSparkError] = []

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._errors)

    def add(self, error: GmmSparkError) -> None:
        """Keep an error, unless another says the same."""
        if str(error) not in map(str, self._errors):
            self._errors.append(error)

    def attempt(
        self, step: Callable[Arguments, Answer], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Answer | None:
        """Return what a step returns; None if it fails by one of our errors, which is kept."""
        try:
            return step(*arguments, **named)
        except GmmSparkError as error:
            self.add(error)
            return None

    def passes(self, step: Callable[Arguments, object], *arguments: Arguments.args, **named: Arguments.kwargs) -> bool:
        """Return whether a step ends without one of our errors, which is kept."""
        try:
            step(*arguments, **named)
        except GmmSparkError as error:
            self.add(error)
            return False
        return True

    def require_none(self) -> None:
        """Raise what was found, all in one message.

        Raises
        ------
        GmmSparkError
            Of the class of the gravest: a fault of the configuration before one of the data, and that before one that
            may pass.
        """
        if not self._errors:
            return
        gravest = min(self._errors, key=_rank)
        if len(self._errors) == 1:
            raise gravest
        told = "\n  ".join(str(error) for error in sorted(self._errors, key=_rank))
        raise type(gravest)(f"{len(self._errors)} faults, found before any work:\n  {told}") from gravest


def _rank(error: GmmSparkError) -> int:
    code = exit_code(error)
    return _LASTING.index(code) if code in _LASTING else len(_LASTING)
