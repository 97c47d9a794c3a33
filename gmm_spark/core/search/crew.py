"""A crew: cores that run parts of a search beside one another, in other processes.

The starts of a fit know nothing of each other until they are compared. So they are drawn, and climb on the sample, in
groups, each in a task that receives the rows and returns bytes. A candidate's sums over rows in memory do not depend on
which others share its passes, so a search ends in the same bits with a crew of any size, and without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gmm_spark.core.table import Sample, SampleTask

# Multiplications a second of one core; all that the driver estimates of time follows from it.
MULTIPLICATIONS_A_SECOND = 1e10


class Crew(Protocol):
    """Cores that run tasks, perhaps in other processes."""

    @property
    def cores(self) -> int:
        """Tasks that run at once."""
        ...

    def run(self, sample: Sample, tasks: Sequence[SampleTask], saves: float, n_bytes: int) -> list[bytes] | None:
        """Run tasks on rows in memory; None if the caller is to do their work itself.

        Parameters
        ----------
        sample : rows (d, m) and weights (m,) or None
        tasks : sequence of callable
            Picklable.
        saves : float
            Estimate of the seconds that this saves the caller, were tasks started in no time.
        n_bytes : int
            Of the tasks, or of their answers, whichever are more.
        """
        ...


def share_out(numbers: Sequence[int], crew: Crew | None) -> list[list[int]]:
    """Share numbers out to the cores of a crew, evenly; neighbours go to different cores."""
    groups = 1 if crew is None else max(min(len(numbers), crew.cores), 1)
    return [list(numbers[i::groups]) for i in range(groups)]


def share_saved(groups: Sequence[Sequence[int]]) -> float:
    """Return the share of the time that groups save if they are worked on at once, all their members alike.

    Examples
    --------
    >>> share_saved([[0, 2, 4], [1, 3]])
    0.4
    """
    return 1.0 - max(map(len, groups)) / max(sum(map(len, groups)), 1)
