"""Exit codes of the jobs, and what each asks the reader to do."""

from __future__ import annotations

from enum import IntEnum

from gmm_spark import errors


class ExitCode(IntEnum):
    """The exit code of a job's process."""

    DONE = 0
    FAILURE = 1
    CONFIGURATION = 2
    DATA = 3
    NOT_CONVERGED = 4
    HELD = 5

    @classmethod
    def legend(cls) -> str:
        """Return all codes with their meanings, in one line."""
        return ", ".join(f"{code.value} {meaning}" for code, (meaning, _) in _MEANING_AND_REMEDY.items())

    @property
    def remedy(self) -> str:
        """What the reader can do about it."""
        return _MEANING_AND_REMEDY[self][1]


_MEANING_AND_REMEDY = {
    ExitCode.DONE: ("done", ""),
    ExitCode.CONFIGURATION: (
        "configuration",
        "Nothing was done. Correct the keys above and run it again; --help lists every key.",
    ),
    ExitCode.DATA: (
        "data",
        "Nothing was published. Correct the table or the keys that name it, then run it again.",
    ),
    ExitCode.NOT_CONVERGED: (
        "not converged, which run.require_convergence makes an error",
        "No model was published. Raise model.max_iter or model.tol, or drop run.require_convergence.",
    ),
    ExitCode.HELD: (
        "held by another run",
        "Nothing was published. Run it again once that process has ended; a fit can also have another --run-id.",
    ),
    ExitCode.FAILURE: (
        "anything else",
        "Nothing was published. If the message above does not tell the cause, Spark's log may; then run it again.",
    ),
}

_AFTER_COMPLETION = (
    "Part of it is published, as said above. Run it again, with the same --run-id, to complete the rest."
)

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.ConfigurationError, ExitCode.CONFIGURATION),
    (errors.ParameterError, ExitCode.CONFIGURATION),
    (errors.DataError, ExitCode.DATA),
    (errors.ModelFileError, ExitCode.DATA),
    (errors.DegenerateComponentError, ExitCode.DATA),
    (errors.NotConvergedError, ExitCode.NOT_CONVERGED),
    (errors.RunHeldError, ExitCode.HELD),
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of a job that fails with this error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILURE


def remedy(error: BaseException) -> str:
    """Return what the reader can do about an error that ends a job."""
    return _AFTER_COMPLETION if isinstance(error, errors.CompletedRunError) else exit_code(error).remedy
