"""Exit codes of the jobs, and what each asks the reader to do."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from gmm_spark import errors


class ExitCode(IntEnum):
    """The exit code of a job's process."""

    DONE = 0
    FAILURE = 1
    CONFIGURATION = 2
    DATA = 3
    NOT_CONVERGED = 4
    HELD = 5
    DRIFT = 6
    TERMINATED = 128 + 15  # as a shell says of a process that SIGTERM has ended

    @classmethod
    def legend(cls) -> str:
        """Return all codes with their meanings, and those to retry, in two lines."""
        codes = ", ".join(f"{code.value} {_MEANINGS[code].summary}" for code in cls)
        retried = [str(code.value) for code in cls if code.is_retried]
        others = [str(code.value) for code in cls if code and not code.is_retried]
        return f"{codes}\nretry {', '.join(retried)}; {', '.join(others)} come back until something is changed"

    @property
    def is_retried(self) -> bool:
        """Whether a scheduler should run the job again as it is."""
        return _MEANINGS[self].is_retried

    @property
    def remedy(self) -> str:
        """What the reader can do about it."""
        return _MEANINGS[self].remedy


class _Meaning(NamedTuple):
    summary: str
    remedy: str
    is_retried: bool = False


_MEANINGS = {
    ExitCode.DONE: _Meaning("done", ""),
    ExitCode.FAILURE: _Meaning(
        "anything else",
        "Nothing was published. If the message above does not tell the cause, the log may; then run it again.",
        is_retried=True,
    ),
    ExitCode.CONFIGURATION: _Meaning(
        "configuration", "Nothing was done. Correct the keys above and run it again; --help lists every key."
    ),
    ExitCode.DATA: _Meaning(
        "data", "Nothing was published. Correct the table or the keys that name it, then run it again."
    ),
    ExitCode.NOT_CONVERGED: _Meaning(
        "not converged, which run.require_convergence makes an error",
        "No model was published. Raise model.max_iter or model.tol, or drop run.require_convergence.",
    ),
    ExitCode.HELD: _Meaning(
        "held by another run",
        "Nothing was published. Run it again once that process has ended; a fit can also have another --run-id.",
        is_retried=True,
    ),
    ExitCode.DRIFT: _Meaning(
        "drift beyond a limit",
        "Look at the table's rows; if they are right, fit a new model to them, or raise the limits.",
    ),
    ExitCode.TERMINATED: _Meaning("terminated by SIGTERM", "Nothing was published. Run it again.", is_retried=True),
}

_AFTER_COMPLETION = (
    "Part of it is published, as said above. Run it again, with the same --run-id, to complete the rest."
)

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.ConfigurationError, ExitCode.CONFIGURATION),
    (errors.ParameterError, ExitCode.CONFIGURATION),
    (errors.MissingExtraError, ExitCode.CONFIGURATION),
    (errors.DataError, ExitCode.DATA),
    (errors.ModelFileError, ExitCode.DATA),
    (errors.DegenerateComponentError, ExitCode.DATA),
    (errors.NotConvergedError, ExitCode.NOT_CONVERGED),
    (errors.RunHeldError, ExitCode.HELD),
    (errors.DriftError, ExitCode.DRIFT),
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of a job that fails with this error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILURE


def remedy(error: BaseException) -> str:
    """Return what the reader can do about an error that ends a job."""
    if isinstance(error, errors.CompletedRunError):
        return _AFTER_COMPLETION
    own = error.remedy if isinstance(error, errors.GmmSparkError) else ""
    return f"Nothing was published. {own}" if own else exit_code(error).remedy
