"""Files of blocks: what is read back, and what is a miss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
