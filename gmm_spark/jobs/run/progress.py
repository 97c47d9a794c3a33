"""The progress bar of a fit."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from gmm_spark.core.em.ascent import PassRecord


@contextmanager
def draw_bar(max_iter: int) -> Iterator[Callable[[PassRecord], None]]:
    """Draw a progress bar, and yield the callback that moves it after each pass. Silent unless stderr is a terminal.

    Parameters
    ----------
    max_iter : int
        Passes at the bar's end.
    """
    with tqdm(total=max_iter, desc="fit", unit="pass", file=sys.stderr, disable=None, dynamic_ncols=True) as bar:

        def show(record: PassRecord) -> None:
            bar.n = record.iteration
            change = "" if math.isnan(record.change) else f"change {record.change:+.2e}, "  # the first pass has none
            bar.set_postfix_str(f"lower bound {record.lower_bound:.6f}, {change}{record.seconds:.2f} s")

        yield show
