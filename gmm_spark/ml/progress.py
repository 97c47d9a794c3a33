"""Progress of a fit, shown while it works: its lines in Python's log, or a bar.

Nothing of Spark is imported here, and tqdm only once a bar is drawn.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from gmm_spark.core.em.ascent import PassRecord

Callback: TypeAlias = Callable[[PassRecord], None]

_LOGGER = logging.getLogger("gmm_spark")  # the parent of every logger of the package


@contextmanager
def show_fit(verbose: bool, max_iter: int, callback: Callback | None) -> Iterator[Callback | None]:
    """Show a fit while the block runs, if it is to be verbose.

    In a notebook that has tqdm this is a bar, elsewhere what the package logs: a line for each pass and for each step
    around the passes.

    Parameters
    ----------
    verbose : bool
    max_iter : int
        Passes at most.
    callback : callable or None
        The user's.

    Yields
    ------
    callable or None
        What is to hear of each pass: the user's callback, and the bar if there is one.
    """
    if not verbose:
        yield callback
    elif not _LOGGER.isEnabledFor(logging.INFO) and _is_notebook() and _has_tqdm():
        with draw_bar(max_iter, hidden=False) as move:

            def tell(record: PassRecord) -> None:
                move(record)
                if callback is not None:
                    callback(record)

            yield tell
    else:
        with _lines:
            yield callback


@contextmanager
def draw_bar(max_iter: int, hidden: bool | None) -> Iterator[Callback]:
    """Draw a bar on stderr, or as a widget in a notebook, and yield the callback that moves it after each pass.

    Parameters
    ----------
    max_iter : int
        Passes at the bar's end. A fit that converges before shortens the bar.
    hidden : bool or None
        Whether nothing is drawn. None: only on a terminal is something drawn.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets has a bar of text
        from tqdm.auto import tqdm

        bar = tqdm(total=max_iter, desc="reading", unit="pass", file=sys.stderr, disable=hidden, dynamic_ncols=True)

    def move(record: PassRecord) -> None:
        bar.set_description_str("fit", refresh=False)
        bar.n = record.iteration
        change = "" if math.isnan(record.change) else f"change {record.change:+.2e}, "  # the first pass has none
        bar.set_postfix_str(f"lower bound {record.lower_bound:.6f}, {change}{record.seconds:.2f} s")

    with bar:
        yield move
        bar.total = bar.n or bar.total  # a notebook paints a bar red that closes before its end
        bar.refresh()


def _is_notebook() -> bool:
    """Return whether a kernel runs this process, as for Jupyter and its kin. IPython in a terminal has none."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _has_tqdm() -> bool:
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return True


class _ShownLines:
    """The package's lines of level INFO are shown as long as a verbose fit works, whichever thread it is in.

    If the program has set up logging, its handlers write them. If not, they go to stderr. When the last such fit has
    ended, logging is as it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fits = 0
        self._level = logging.NOTSET
        self._handler: logging.Handler | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._fits += 1
            if self._fits > 1:
                return
            self._level = _LOGGER.level
            if not _LOGGER.isEnabledFor(logging.INFO):
                _LOGGER.setLevel(logging.INFO)
            if not _is_written():
                self._handler = logging.StreamHandler(sys.stderr)
                self._handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
                _LOGGER.addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._fits -= 1
            if self._fits > 0:
                return
            _LOGGER.setLevel(self._level)
            if self._handler is not None:
                _LOGGER.removeHandler(self._handler)
                self._handler = None


_lines = _ShownLines()


def _is_written() -> bool:
    """Return whether some handler writes what the package logs on level INFO."""
    logger: logging.Logger | None = _LOGGER
    while logger is not None:
        for handler in logger.handlers:
            if handler.level <= logging.INFO and not isinstance(handler, logging.NullHandler):
                return True
        logger = logger.parent if logger.propagate else None
    return False
