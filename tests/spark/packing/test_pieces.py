"""Pieces: how files are cut, and how tasks share the pieces."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing import pieces as pieces_module
from gmm_spark.spark.packing.blocks import MAX_BLOCK_BYTES, Handle, rows_per_block
from gmm_spark.spark.packing.pieces import PIECE_BYTES, PIECES, Cut, share_out


@pytest.mark.usefixtures("several_pieces")
def test_pieces_are_all_rows_of_their_file_in_order() -> None:
    handles = [Handle(p, "x", rows, 256, 2, "float64", False) for p, rows in ((0, 5000), (1, 0), (7, 256), (9, 300))]
    cut = Cut.of(handles)
    assert cut == Cut(1, 20)
    numbers: list[int] = []
    for handle in handles:
        pieces = cut.split(handle)
        numbers += [piece.partition for piece in pieces]
        starts = [piece.first for piece in pieces]
        assert starts == [0, *np.cumsum([piece.rows for piece in pieces])[:-1]]
        assert all(start % 256 == 0 for start in starts)
        assert sum(piece.rows for piece in pieces) == handle.rows
        assert {piece.file_bytes for piece in pieces} == {handle.rows * 16}
    assert numbers == sorted(set(numbers))


def test_a_table_is_cut_into_few_pieces_and_none_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ROWS", 1 << 16)
    large = [Handle(p, "x", 10**8, 8192, 16, "float64", False) for p in range(3)]
    assert PIECES <= len(Cut.of(large).split_all(large)) <= PIECES + 3
    small = [Handle(p, "x", 100_000, 8192, 16, "float64", False) for p in range(3)]
    assert [piece.rows for piece in Cut.of(small).split(small[0])] == [1 << 16, 100_000 - (1 << 16)]
    many = [Handle(p, "x", 10**6, 8192, 16, "float64", False) for p in range(200)]
    assert Cut.of(many).most == 1


def test_pieces_of_long_rows_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ROWS", 1 << 16)
    wide = Features(("x",), "vector", 50_000, False)
    handle = Handle.of(wide, 0, 6_000, path="x")
    assert handle.block_rows * handle.row_bytes <= MAX_BLOCK_BYTES
    pieces = Cut.of([handle]).split(handle)
    assert len(pieces) > 5  # of 2.4 GB: several cores have some
    assert all(piece.rows * piece.row_bytes < 1.2 * PIECE_BYTES for piece in pieces)


@pytest.mark.parametrize("width", [1, 30, 5_000, 100_000, 10_000_000])
@pytest.mark.parametrize("single", [False, True])
def test_weights_after_a_block_stay_aligned_whatever_the_width(width: int, single: bool) -> None:
    rows = rows_per_block(Features(("x",), "array", width, single, "w"))
    assert rows >= 2
    assert rows * width * (4 if single else 8) % 8 == 0


@pytest.mark.parametrize("tasks", [1, 2, 5, 9])
def test_pieces_are_shared_out_in_order_and_evenly(tasks: int) -> None:
    sizes = [3, 0, 10, 10, 7, 10, 1, 10, 10, 10, 0, 9]
    pieces = [Handle(i, "x", rows, 10, 2, "float64", False) for i, rows in enumerate(sizes)]
    lists = share_out(pieces, tasks)
    assert len(lists) == tasks
    assert [piece for own in lists for piece in own] == pieces
    rows = [sum(piece.rows for piece in own) for own in lists]
    assert max(rows) - min(rows) <= 2 * max(sizes)  # each end of a list falls within a piece
