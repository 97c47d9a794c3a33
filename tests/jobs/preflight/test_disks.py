"""Local disks: their space is counted once each, and a warning comes if blocks will not fit."""

from __future__ import annotations

import logging

import pytest

from gmm_spark.jobs.preflight.disks import count_block_bytes, count_free, warn_of_disks
from gmm_spark.jobs.preflight.workers import Directory, Worker
from gmm_spark.spark.columns import Features


def on(host: str, *directories: Directory) -> Worker:
    return Worker(host, "3.12.4", {}, {}, directories)


WORKERS = [
    on("a", Directory("/disk1/x", 1, 100), Directory("/disk1/y", 1, 100), Directory("/disk2/x", 2, 50)),
    on("a", Directory("/disk1/z", 1, 100)),  # another executor of that host
    on("b", Directory("/disk1/x", 1, 1_000)),
]


def test_directories_of_one_disk_share_its_space() -> None:
    assert count_free(WORKERS) == 100 + 50 + 1_000


def test_blocks_that_do_not_fit_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "gmm_spark"):
        warn_of_disks(WORKERS, 1_150)
        assert caplog.messages == []
        warn_of_disks(WORKERS, 1_151)
    (told,) = caplog.messages
    assert "about 1,151 bytes on the executors' local disks, which have 1,150 free" in told
    assert "spark.local.dir" in told


def test_blocks_hold_the_features_and_the_weight_of_each_row() -> None:
    assert count_block_bytes(Features(("x", "y"), "scalars", 2, single=False), 10) == 160
    assert count_block_bytes(Features(("x", "y"), "scalars", 2, single=True, weight="w"), 10) == 160
