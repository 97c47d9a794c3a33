"""Remove runs that nobody needs: old ones, and those that came to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from gmm_spark.storage.claims import take
from gmm_spark.storage.files import Files
from gmm_spark.storage.manifest import MANIFEST
from gmm_spark.storage.runs import Run, State

_BROKEN = (State.FAILED, State.ABANDONED, State.DAMAGED)


def choose(runs: Sequence[Run], keep: int) -> list[Run]:
    """Return the runs to remove, the oldest first.

    Parameters
    ----------
    runs : sequence of Run
        The oldest first.
    keep : int
        Number of complete runs to leave, the newest ones; at least 1.
    """
    complete = [run for run in runs if run.state is State.COMPLETE]
    old = complete[: max(len(complete) - max(keep, 1), 0)]
    return [run for run in runs if run in old or run.state in _BROKEN]


def remove(files: Files, run: Run) -> None:
    """Remove a run's directory.

    A run without a manifest is claimed first, so that no process takes it up meanwhile. With a manifest none would; it
    goes first, so that no reader finds half a run.

    Raises
    ------
    RunHeldError
        If another process has taken it up since the runs were listed.
    """
    if run.manifest is None and run.state is not State.DAMAGED:
        take(files, run.path, "prune")
    files.delete(f"{run.path}/{MANIFEST}")
    files.delete(run.path)
