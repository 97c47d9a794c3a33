"""The local disks of executors: what blocks will take, against what is free."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gmm_spark.jobs.preflight.workers import Worker

if TYPE_CHECKING:
    from gmm_spark.spark.columns import Features

_log = logging.getLogger(__name__)


def count_block_bytes(features: Features, rows: int) -> int:
    """Return the bytes of rows as blocks."""
    from gmm_spark.spark.packing.blocks import Handle

    return Handle.of(features, 0, rows).file_bytes


def count_free(workers: Iterable[Worker]) -> int:
    """Return the free bytes of all local disks; directories of one disk share its space."""
    disks = {(worker.host, one.device): one.free for worker in workers for one in worker.directories}
    return sum(disks.values())


def warn_of_disks(workers: Iterable[Worker], needed: int) -> None:
    """Warn if blocks of so many bytes, an estimate, do not fit the local disks."""
    free = count_free(workers)
    if needed > free:
        _log.warning(
            "blocks of the table take about %s bytes on the executors' local disks, which have %s free; point "
            "spark.local.dir at larger disks, or add hosts",
            f"{needed:,}",
            f"{free:,}",
        )
