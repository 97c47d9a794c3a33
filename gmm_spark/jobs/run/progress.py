"""The progress bar of a fit."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.jobs.run.logs import shows_passes


@contextmanager
def draw_bar(max_iter: int) -> Iterator[Callable[[PassRecord], None]]:
    """Draw a progress bar, and yield the callback that moves it after each pass.

    It is drawn if stderr is a terminal and the log, whose lines would tear it, does not tell of each pass anyway.

    Parameters
    ----------
    max_iter : int
        Passes at the bar's end.
    """
    hidden = True if shows_passes() else None  # tqdm reads None as: unless it is a terminal
    with tqdm(total=max_iter, desc="fit", unit="pass", file=sys.stderr, disable=hidden, dynamic_ncols=True) as bar:

        def show(record: PassRecord) -> None:
            bar.n = record.iteration
            change = "" if math.isnan(record.change) else f"change {record.change:+.2e}, "  # the first pass has none
            bar.set_postfix_str(f"lower bound {record.lower_bound:.6f}, {change}{record.seconds:.2f} s")

        yield show
