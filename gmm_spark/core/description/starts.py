"""The starts of a fit in words, and as a table: which came to the best optimum, and which went on to the table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gmm_spark.core.em.ascent import RELOCATED, StartRecord
from gmm_spark.core.formatting import count_of, show_number

HEAD = ("start", "drawn as", "nats per row below the best", "iterations", "passes over the table", "what became of it")


def describe_starts(records: Sequence[StartRecord]) -> str:
    """Say how many starts came to the best optimum, how far off the others are, and which one the fit goes back to.

    Examples
    --------
    >>> won = StartRecord("k-means", -3.0, 40, True, (-3.0, -2.9), True)
    >>> print(describe_starts([won, StartRecord("random rows", -3.5, 40)]))
    1 of 2 starts ended where the best did; the other is 0.5 nats per row below. The fit goes back to start 0 (k-means).
    """
    starts = [one for one in records if one.kind != RELOCATED]
    bounds = [one.lower_bound for one in starts if not math.isnan(one.lower_bound)]
    below = sorted(max(bounds) - one.lower_bound for one in starts if one.lower_bound <= max(bounds) and not one.alike)
    alike, failed = sum(one.alike for one in starts), len(starts) - len(bounds)
    if len(starts) == 1:
        said = ["There was one start"]
    elif alike == len(starts):
        said = [f"All {alike} starts ended where the best did"]
    else:
        said = [f"{alike} of {count_of(len(starts), 'start')} ended where the best did"]
    if below:
        how_far = [show_number(one, 2) for one in (below[0], below[-1])]
        others = "the other is" if len(below) == 1 else "the others are"
        range_ = how_far[0] if how_far[0] == how_far[1] else " to ".join(how_far)
        said[0] += f"; {others} {range_} nats per row below"
    if failed:
        said.append(f"{failed} degenerated")
    for i, one in enumerate(records):
        if one.won and one.kind == RELOCATED:
            said.append("The fit goes back to the best start after some of its components were put elsewhere")
        elif one.won and len(starts) > 1:
            said.append(f"The fit goes back to start {i} ({one.kind})")
            if one.lower_bound < max(bounds):
                behind = show_number(max(bounds) - one.lower_bound, 2)
                said[-1] += f", which was {behind} nats per row below the best there, and ended highest on the table"
    return ". ".join(said) + "."


def tell_fate(record: StartRecord) -> str:
    """Say what became of a start.

    Examples
    --------
    >>> tell_fate(StartRecord("k-means", -3.0, 40, True))
    'given up: as good as the best'
    """
    if record.won:
        return "won"
    if record.table_bounds:
        return "given up on the table"
    if math.isnan(record.lower_bound):
        return "degenerated"
    return "given up: as good as the best" if record.alike else "given up: lower"


def list_starts(records: Sequence[StartRecord]) -> list[list[str]]:
    """List the starts as rows of texts under :data:`HEAD`, the best first.

    Examples
    --------
    >>> list_starts([StartRecord("k-means", -3.0, 40, True, (-3.0, -2.5), True)])
    [['0', 'k-means', '0', '40', '2', 'won']]
    """
    best = max((one.lower_bound for one in records if not math.isnan(one.lower_bound)), default=math.nan)
    return [
        [
            "–" if one.kind == RELOCATED else str(i),
            one.kind,
            show_number(best - one.lower_bound, 3),
            str(one.iterations) if one.iterations else "–",
            str(len(one.table_bounds)) if one.table_bounds else "–",
            tell_fate(one),
        ]
        for i, one in order_starts(records)
    ]


def order_starts(records: Sequence[StartRecord]) -> list[tuple[int, StartRecord]]:
    """Sort the starts with their numbers: the winner, then by where they ended; those that degenerated are last."""

    def place(one: StartRecord) -> tuple[bool, bool, float]:
        if one.kind == RELOCATED:
            return not one.won, False, -math.inf
        return not one.won, math.isnan(one.lower_bound), -one.lower_bound

    return sorted(enumerate(records), key=lambda pair: place(pair[1]))
