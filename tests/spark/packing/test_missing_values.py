"""Blocks of rows with missing values: ordered by pattern, counted, and summed as the textbook does, without Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.missing.counts import read_counts
from gmm_spark.core.missing.expectation import IncompleteStatisticsSums
from gmm_spark.core.missing.patterns import count_incomplete_patterns, find_runs, order_by_pattern
from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing import blocks as blocks_module
from gmm_spark.spark.packing import gathering as gathering_module
from gmm_spark.spark.packing import tasks as tasks_module
from gmm_spark.spark.packing.blocks import Handle, read_file
from gmm_spark.spark.packing.gathering import SOURCE, gather_blocks
from gmm_spark.spark.packing.passes import FoldPieces
from gmm_spark.spark.packing.pieces import Cut, Piece
from gmm_spark.spark.packing.tasks import StreamBlocks, WriteBlocks
from tests.core.missing import textbook
from tests.examples import draw_rows, random_mixture

D, ROWS = 5, 3_000


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(1)
    return textbook.with_holes(draw_rows(random_mixture("full", 2, D, rng), ROWS, rng)[0], 0.2, rng, patterns=6)


def features(weighted: bool = False, missing: bool = True) -> Features:
    return Features(tuple("abcde"), "scalars", D, False, "w" if weighted else None, missing=missing)


def batches(rows: np.ndarray, weight: np.ndarray | None = None, size: int = 700) -> Iterator[pa.RecordBatch]:
    """Batches as Spark sends them; missing values are null and NaN in turn."""
    for start in range(0, rows.shape[1], size):
        part = rows[:, start : start + size]
        m = part.shape[1]
        values = part.T.ravel()
        nulls = np.isnan(values) & (np.arange(values.size) % 2 == 0)
        offsets = pa.array(np.arange(0, (m + 1) * D, D, dtype=np.int32))
        columns = [pa.ListArray.from_arrays(offsets, pa.array(values, mask=nulls))]
        if weight is not None:
            columns.append(pa.array(weight[start : start + size]))
        columns.append(pa.array(np.zeros(m, np.int32)))
        yield pa.RecordBatch.from_arrays(columns, [*(f"c{i}" for i in range(len(columns) - 1)), SOURCE])


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write blocks of 256 rows, ordered two by two, to a directory of the test's own."""
    monkeypatch.setattr(tasks_module, "task_number", lambda: 0)
    monkeypatch.setattr(tasks_module, "local_directories", lambda: [str(tmp_path)])
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 1)
    monkeypatch.setattr(gathering_module, "ORDERED_BYTES", 2 * 256 * D * 8)


def as_set(rows: np.ndarray) -> list[tuple[str, ...]]:
    return sorted(tuple(map(repr, row)) for row in rows.T.tolist())


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("on_disk")
def test_a_signalling_nan_is_gathered_as_a_quiet_one(rows: np.ndarray) -> None:
    signalling = rows.copy()
    signalling.view(np.uint64)[np.isnan(rows)] = 0x7FF00000000007A2  # R's NA
    gathered = gather_blocks(batches(signalling), features(), Counter(), strict=False)
    found = np.concatenate([block.copy() for block, _ in gathered], axis=1)
    assert as_set(found) == as_set(rows[:, ~np.isnan(rows).all(axis=0)])
    assert (found.view(np.uint64)[np.isnan(found)] & np.uint64(1 << 51)).all()


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("weighted", [False, True])
def test_a_packed_partition_has_all_rows_ordered_by_pattern_and_its_counts(rows: np.ndarray, weighted: bool) -> None:
    weight = np.arange(1.0, ROWS + 1) if weighted else None
    (answer,) = WriteBlocks(features(weighted), "run", strict=False, by_task=False)(batches(rows, weight))
    handle = Handle.from_json(answer.column("handle")[0].as_py())
    assert read_counts(answer.column("patterns")[0].as_py()) == count_incomplete_patterns(order_by_pattern(rows)[0])
    found = read_file(handle)
    assert found is not None
    packed = list(found)
    assert [block.shape[1] for block, _ in packed[:-1]] == [256] * (len(packed) - 1)
    assert as_set(np.concatenate([block for block, _ in packed], axis=1)) == as_set(rows)
    for start in range(0, len(packed), 2):
        together = np.concatenate([block for block, _ in packed[start : start + 2]], axis=1)
        runs = [run.pattern for run in find_runs(together)]
        assert len(set(runs)) == len(runs)
    if weight is not None:  # each row has kept its own
        own = {repr(row): w for row, w in zip(rows.T.tolist(), weight, strict=True)}
        for block, weights in packed:
            assert weights is not None
            assert [own[repr(row)] for row in block.T.tolist()] == weights.tolist()
    moments = Moments.from_vector(np.frombuffer(answer.column("moments")[0].as_py()))
    average = np.nanmean(rows, axis=1) if weight is None else np.nansum(rows * weight, 1) / (~np.isnan(rows) @ weight)
    np.testing.assert_allclose(moments.mean, average, rtol=1e-12)


@pytest.mark.usefixtures("on_disk")
def test_a_pass_over_the_pieces_of_files_makes_the_textbooks_sums(rows: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    candidate = random_mixture("full", 2, D, rng)
    (answer,) = WriteBlocks(features(), "run", strict=False, by_task=False)(batches(rows))
    handle = Handle.from_json(answer.column("handle")[0].as_py())
    counts = read_counts(answer.column("patterns")[0].as_py())
    sums = IncompleteStatisticsSums.of(plan_pass([candidate], np.zeros(D), np.ones(D)), [candidate], counts)
    pieces = [Piece(piece.partition, read_file(piece)) for piece in Cut(3, 4).split(handle)]
    assert len(pieces) == 4
    parts = [np.frombuffer(part.column("sums")[0].as_py()) for part in FoldPieces(sums, sums.length)(iter(pieces))]
    (found,) = sums.read(np.sum(parts, axis=0))
    expected = textbook.expect(candidate, rows)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-10)
    np.testing.assert_allclose(found.resp_sum, expected.resp_sum, rtol=1e-10)


@pytest.mark.usefixtures("on_disk")
def test_streamed_blocks_are_those_of_the_file(rows: np.ndarray) -> None:
    (answer,) = WriteBlocks(features(), "run", strict=False, by_task=False)(batches(rows))
    handle = Handle.from_json(answer.column("handle")[0].as_py())
    *blocks, last = StreamBlocks(features(), strict=False, by_task=False)(batches(rows))
    assert b"".join(block.column("block")[0].as_py() for block in blocks) == Path(handle.path).read_bytes()
    assert last.column("patterns")[0].as_py() == answer.column("patterns")[0].as_py()
    assert Handle.from_json(last.column("handle")[0].as_py()).checksum == handle.checksum


@pytest.mark.usefixtures("on_disk")
def test_rows_without_a_missing_value_keep_their_order_and_bytes() -> None:
    complete = np.random.default_rng(3).standard_normal((D, ROWS))
    contents = []
    for missing in (False, True):
        (answer,) = WriteBlocks(features(missing=missing), "run", strict=False, by_task=False)(batches(complete))
        contents.append(Path(Handle.from_json(answer.column("handle")[0].as_py()).path).read_bytes())
        assert answer.column("patterns")[0].as_py() is None
    assert contents[0] == contents[1]


@pytest.mark.usefixtures("on_disk")
def test_a_task_stops_packing_once_there_are_too_many_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "MAX_PATTERNS", 4)
    rng = np.random.default_rng(4)
    rows = textbook.with_holes(rng.standard_normal((D, ROWS)), 0.5, rng)
    (answer,) = WriteBlocks(features(), "run", strict=False, by_task=False)(batches(rows))
    found: Counter[bytes] = read_counts(answer.column("patterns")[0].as_py())
    assert len(found) > 4
    assert found.total() < ROWS
