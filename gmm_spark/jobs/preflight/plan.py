"""The plan that ``--dry-run`` prints."""

from __future__ import annotations

import textwrap

_WIDTH = 120


class Plan:
    """What a job would do, part by part.

    Examples
    --------
    >>> plan = Plan("fit")
    >>> plan.add("input", "flights.parquet", "3 files")
    >>> plan.add("passes", "at most 100")
    >>> print(plan)
    fit, a dry run: nothing is written
      input   flights.parquet
              3 files
      passes  at most 100
    """

    def __init__(self, job: str) -> None:
        self._title = f"{job}, a dry run: nothing is written"
        self._parts: list[tuple[str, str]] = []

    def add(self, part: str, *lines: str) -> None:
        """Add lines to a part."""
        self._parts += [(part, line) for line in lines]

    def __str__(self) -> str:
        """Return the plan as a table."""
        width = max((len(part) for part, _ in self._parts), default=0)
        told, before = [self._title], ""
        for part, line in self._parts:
            wrapped = textwrap.wrap(line, _WIDTH - width - 4, break_on_hyphens=False, break_long_words=False)
            for i, text in enumerate(wrapped):
                told.append(f"  {part if part != before and not i else '':{width}}  {text}")
            before = part
        return "\n".join(told)
