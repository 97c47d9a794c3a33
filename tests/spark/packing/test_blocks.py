"""Files of blocks: what is read back, and what is a miss."""

from __future__ import annotations

import errno
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gmm_spark.spark.packing import blocks as blocks_module
from gmm_spark.spark.packing.blocks import Handle, read_file


def handle_of(path: Path, rows: int) -> Handle:
    return Handle(0, str(path), rows, 2, 2, "float64", True)


def test_a_handles_file_reads_back_as_its_blocks(tmp_path: Path) -> None:
    first, second = np.array([[1.0, 2.0], [3.0, 4.0], [0.5, 0.6]]), np.array([[5.0], [6.0], [0.7]])
    path = tmp_path / "blocks"
    path.write_bytes(first.tobytes() + second.tobytes())
    blocks = read_file(handle_of(path, 3))
    assert blocks is not None
    found = list(blocks)
    np.testing.assert_array_equal(np.hstack([rows for rows, _ in found]), [[1, 2, 5], [3, 4, 6]])
    np.testing.assert_array_equal(np.hstack([weight for _, weight in found if weight is not None]), [0.5, 0.6, 0.7])


@pytest.mark.parametrize("surplus", [-8, -1, 1, 24])
def test_a_file_of_another_size_is_a_miss(tmp_path: Path, surplus: int) -> None:
    path = tmp_path / "blocks"
    path.write_bytes(b"\0" * (3 * 24 + surplus))
    assert read_file(handle_of(path, 3)) is None


def test_a_missing_file_is_a_miss_unless_there_are_no_rows(tmp_path: Path) -> None:
    assert read_file(handle_of(tmp_path / "none", 3)) is None
    nothing = read_file(handle_of(tmp_path / "none", 0))
    assert nothing is not None
    assert list(nothing) == []


@pytest.mark.parametrize("first", [0, 2, 6])
def test_a_piece_is_read_through_maps_that_need_not_begin_at_a_page(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "MAPPED_BYTES", 100)  # two blocks of two rows of 24 bytes
    rows = np.arange(9 * 3, dtype=float).reshape(9, 3)
    path = tmp_path / "blocks"
    path.write_bytes(b"".join(rows[at : at + 2].T.tobytes() for at in range(0, 9, 2)))
    piece = replace(handle_of(path, 9), rows=9 - first, first=first, of_rows=9)
    blocks = read_file(piece)
    assert blocks is not None
    found = [np.vstack([block, weight]) for block, weight in blocks if weight is not None]
    np.testing.assert_array_equal(np.hstack(found).T, rows[first:])


LIMITED = """
import os, resource, sys
from gmm_spark.errors import ResourceError
from gmm_spark.spark.packing.blocks import Handle, read_file

room = int(sys.argv[2])
handle = Handle(0, sys.argv[1], 1 << 25, 1 << 14, 8, "float64", False)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + room,) * 2)
try:
    print(sum(rows.shape[1] for rows, _ in read_file(handle)))
except ResourceError as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="how much address space is taken is not known here")
@pytest.mark.parametrize(
    ("room", "told"),
    [(1 << 28, str(1 << 25)), (1 << 24, "Cannot allocate memory; raise spark.executor.pyspark.memory")],
)
def test_a_file_of_2_gb_is_read_in_little_memory_or_the_setting_is_named(tmp_path: Path, room: int, told: str) -> None:
    path = tmp_path / "blocks"
    with path.open("wb") as file:
        file.truncate(1 << 31)  # a hole: it takes no disk
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(room)], capture_output=True, text=True, check=True
    )
    assert told in child.stdout


def test_a_file_that_may_not_be_read_is_a_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "blocks"
    path.write_bytes(b"\0" * (3 * 24))
    monkeypatch.setattr("builtins.open", refuse)  # the tests may run as root, whom no mode keeps out
    assert read_file(handle_of(path, 3)) is None
