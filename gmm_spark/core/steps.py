"""Steps of the work: each is logged when it begins and when it ends, and timed.

The lines go to Python's logging, on level INFO, and carry the attributes ``step``, ``seconds`` and what else is known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_logger = logging.getLogger(__name__)
_clocks: ContextVar[tuple[dict[str, float], ...]] = ContextVar("clocks", default=())


@contextmanager
def timing() -> Iterator[dict[str, float]]:
    """Yield the seconds that steps take within the block, by name: a dict that fills up. Equal names are added up."""
    seconds: dict[str, float] = {}
    token = _clocks.set((*_clocks.get(), seconds))
    try:
        yield seconds
    finally:
        _clocks.reset(token)


@contextmanager
def step(name: str) -> Iterator[dict[str, Any]]:
    """Log and time a step.

    Parameters
    ----------
    name : str

    Yields
    ------
    dict
        Put in what the last line shall tell: numbers and text by name.

    Examples
    --------
    >>> with timing() as seconds, step("pack") as told:
    ...     told["rows"] = 1_000
    >>> list(seconds)
    ['pack']
    """
    _logger.info("%s: begins", name, extra={"step": name})
    told: dict[str, Any] = {}
    began, ended = time.perf_counter(), "failed"
    try:
        yield told
        ended = "ends"
    finally:
        seconds = time.perf_counter() - began
        for clock in _clocks.get():
            clock[name] = clock.get(name, 0.0) + seconds
        facts = "".join(f", {key.replace('_', ' ')} {_show(value)}" for key, value in told.items())
        extra = {"step": name, "seconds": seconds, **told}
        _logger.info("%s: %s after %.2f s%s", name, ended, seconds, facts, extra=extra)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
