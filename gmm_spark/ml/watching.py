"""What a fit says of each pass while it works: a line in the log, and the name of the next pass in Spark's pages."""

from __future__ import annotations

import logging
import math

from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.ml.progress import Callback
from gmm_spark.spark.packing.table import PackedTable

_logger = logging.getLogger(__name__)


class Watch:
    """Callback of a fit that tells of each pass, and passes the record on.

    Parameters
    ----------
    table : PackedTable
    max_iter : int
        Passes at most.
    callback : callable or None
        The user's.
    """

    def __init__(self, table: PackedTable, max_iter: int, callback: Callback | None) -> None:
        self._table, self._max_iter, self._callback = table, max_iter, callback
        table.pass_name = f"pass 1 of at most {max_iter:,}"

    def __call__(self, record: PassRecord) -> None:
        """Tell of a pass that has ended."""
        change = "" if math.isnan(record.change) else f"change {record.change:+.2e}, "  # the first pass has none
        rate = self._table.rows / record.seconds if record.seconds else math.inf
        took = "recalled" if self._table.recalled else f"{record.seconds:.2f} s, {rate:,.0f} rows/s"
        _logger.info(
            "pass %d of at most %d: lower bound %.6f, %s%s, %s",
            record.iteration,
            self._max_iter,
            record.lower_bound,
            change,
            record.step,
            took,
            extra={
                "step": "passes",
                "pass": record.iteration,
                "max_iter": self._max_iter,
                "bound": record.lower_bound,
                "change": record.change,
                "kind": record.step,
                "recalled": self._table.recalled,
                "remaining": record.remaining,
                "seconds": record.seconds,
                "rows_per_second": rate,
            },
        )
        self._table.pass_name = (
            f"pass {record.iteration + 1:,} of at most {self._max_iter:,}, bound {record.lower_bound:.5f}"
        )
        if self._callback is not None:
            self._callback(record)
