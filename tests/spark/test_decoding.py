"""Decoding alone, without Spark: Arrow arrays of every form to floats, and the bad rows among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from gmm_spark.spark import columns
from gmm_spark.spark.columns import Features
from gmm_spark.spark.decoding import (
    ALL_MISSING,
    BAD_WEIGHT,
    COUNTED_FEATURES,
    INFINITE,
    NEGATIVE_WEIGHT,
    NOT_A_NUMBER,
    NULL,
    WIDTH,
)
from tests.tables import three_blobs

ROWS = np.round(three_blobs(60) * 8) / 8
ROWS[np.abs(ROWS - 20) < 0.5] = 0.0  # something for sparse vectors to leave out


def test_a_slice_of_a_list_array_decodes_to_its_own_rows() -> None:
    whole = pa.array(ROWS.tolist())
    decoded = Features(("x",), "array", 3, False).decode([whole.slice(10, 20)])
    np.testing.assert_array_equal(decoded.rows.T, ROWS[10:30])
    assert decoded.good is None


@pytest.mark.parametrize("single", [False, True])
def test_numeric_columns_in_one_array_decode_in_their_own_precision(single: bool) -> None:
    rows = [[1.0, 0.5, 7.0], [None, 1.5, 7.0], [3.0, None, 7.0], [4.0, np.nan, 7.0], [5.0, 4.5, np.inf]]
    kind = pa.list_(pa.float32() if single else pa.float64())
    features = Features(("x", "y", "z"), "scalars", 3, single)
    decoded = features.decode([pa.array(rows, kind, from_pandas=False)])
    assert decoded.rows.dtype == features.dtype
    assert decoded.bad == {
        "null feature in x": 1,
        "null feature in y": 1,
        "NaN feature in y": 1,
        "infinite feature in z": 1,
    }
    np.testing.assert_array_equal(decoded.good, [True, False, False, False, False])
    np.testing.assert_array_equal(decoded.usable()[0], [[1.0], [0.5], [7.0]])


def test_a_slice_with_nulls_decodes_to_its_own_rows() -> None:
    lists = ROWS.tolist()
    lists[12], lists[15] = None, [1.0, None, 2.0]
    decoded = Features(("x",), "array", 3, False).decode([pa.array(lists).slice(10, 20)])
    np.testing.assert_array_equal(decoded.usable()[0].T, np.delete(ROWS[10:30], [2, 5], axis=0))
    assert decoded.bad == {NULL: 1, "null feature in x[1]": 1}


def vector_array(vectors: Sequence[object]) -> pa.StructArray:
    """Vectors as Spark hands them to Arrow: struct of type, size, indices, values."""
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    return pa.array(vectors, kind)


def test_a_slice_of_mixed_vectors_decodes_to_its_own_rows() -> None:
    vectors: list[object] = []
    for i, row in enumerate(ROWS):
        at = np.flatnonzero(row)
        if i % 5 == 4:
            vectors.append(None)
        elif i % 2:
            vectors.append({"type": 0, "size": 3, "indices": at.tolist(), "values": row[at].tolist()})
        else:
            vectors.append({"type": 1, "size": None, "indices": None, "values": row.tolist()})
    decoded = Features(("x",), "vector", 3, False).decode([vector_array(vectors).slice(11, 30)])
    kept = [i for i in range(11, 41) if i % 5 != 4]
    np.testing.assert_array_equal(decoded.usable()[0].T, ROWS[kept])
    assert decoded.bad == {NULL: 6}


def test_a_sparse_vector_with_as_many_values_as_the_width_but_another_size_is_of_wrong_width() -> None:
    vectors = [
        {"type": 0, "size": 9, "indices": [0, 4, 8], "values": [1.0, 2.0, 3.0]},
        {"type": 0, "size": 3, "indices": [], "values": []},
        {"type": 1, "size": None, "indices": None, "values": [1.0, 2.0]},
        {"type": 1, "size": None, "indices": None, "values": [1.0, 2.0, 3.0]},
    ]
    decoded = Features(("x",), "vector", 3, False).decode([vector_array(vectors)])
    np.testing.assert_array_equal(decoded.usable()[0].T, [[0, 0, 0], [1, 2, 3]])
    assert decoded.bad == {WIDTH: 2}


@pytest.mark.parametrize("form", ["array", "vector"])
def test_a_batch_that_is_decoded_in_parts_gives_the_same_rows_and_counts(
    form: Literal["array", "vector"], monkeypatch: pytest.MonkeyPatch
) -> None:
    lists: list[list[float] | None] = ROWS.tolist()
    lists[3], lists[40] = None, [1.0]
    column = pa.array(lists)
    if form == "vector":
        vectors = [row and {"type": 1, "size": None, "indices": None, "values": row} for row in lists]
        vectors[5] = {"type": 0, "size": 3, "indices": [0, 2], "values": [8.0, 9.0]}
        column = vector_array(vectors)
    weight = pa.array(np.arange(len(lists), dtype=float))
    features = Features(("x",), form, 3, False, "w")
    whole = features.decode([column, weight])
    monkeypatch.setattr(columns, "DECODED_BYTES", 8 * 3 * 7)
    parts = list(features.decode_in_parts([column, weight]))
    assert [part.rows.shape[1] for part in parts] == [7] * 8 + [4]
    for found, expected in zip(zip(*(part.usable() for part in parts), strict=True), whole.usable(), strict=True):
        np.testing.assert_array_equal(np.concatenate(found, axis=-1), expected)
    assert sum((part.bad for part in parts), Counter()) == whole.bad == {NULL: 1, WIDTH: 1}


def test_an_empty_batch_is_one_empty_part() -> None:
    (part,) = Features(("x",), "array", 3, False).decode_in_parts([pa.array([], pa.list_(pa.float64()))])
    assert part.rows.shape == (3, 0)


def test_an_empty_batch_decodes_to_no_rows() -> None:
    for form, column in (
        ("array", pa.array([], pa.list_(pa.float64()))),
        ("vector", vector_array([])),
        ("scalars", pa.array([], pa.list_(pa.float64()))),
    ):
        decoded = Features(("x",), form, 1, False, "w").decode([column, pa.array([], pa.float64())])  # type: ignore[arg-type]
        assert decoded.rows.shape == (1, 0)
        assert not decoded.bad


def test_each_bad_row_counts_once_under_its_first_reason_and_column() -> None:
    nan, inf = float("nan"), float("inf")
    x = [None, nan, inf, nan, 1.0, 1.0, 1.0, 1.0, 1.0]
    y = [nan, inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0]
    w = pa.array([-1.0, 1.0, -1.0, 1.0, -1.0, None, nan, inf, 2.0])
    decoded = Features(("x", "y"), "scalars", 2, False, "w").decode([pa.array(list(zip(x, y, strict=True))), w])
    found = {f"{NULL} in x": 1, f"{NOT_A_NUMBER} in x": 2, f"{INFINITE} in x": 1}
    assert decoded.bad == {**found, NEGATIVE_WEIGHT: 1, BAD_WEIGHT: 3}
    rows, weight = decoded.usable()
    np.testing.assert_array_equal(rows, [[1.0], [7.0]])
    np.testing.assert_array_equal(weight, [2.0])


def test_bad_rows_of_very_many_columns_are_counted_by_reason_alone() -> None:
    width = COUNTED_FEATURES + 1
    rows = np.zeros((3, width))
    rows[0, 0], rows[1, width - 1] = np.nan, np.inf
    decoded = Features(("x",), "array", width, False).decode([pa.array(rows.tolist())])
    assert decoded.bad == {NOT_A_NUMBER: 1, INFINITE: 1}


def test_rows_without_weight_are_left_out_and_are_not_bad() -> None:
    w = pa.array([1.0, 0.0, 3.0, -0.0, 0.0])
    for x, kept in (([1.0, 1e300, 2.0, 3.0, 4.0], [1.0, 2.0]), ([1.0, 1e300, None, 3.0, 4.0], [1.0])):
        decoded = Features(("x",), "scalars", 1, False, "w").decode([pa.array([[value] for value in x]), w])
        assert sum(decoded.bad.values()) == (None in x)
        rows, weight = decoded.usable()
        np.testing.assert_array_equal(rows, [kept])
        np.testing.assert_array_equal(weight, [1.0, 3.0][: len(kept)])


@pytest.mark.parametrize("form", ["scalars", "array", "vector"])
def test_rows_with_some_missing_values_are_usable_if_missing_values_are_asked_for(
    form: Literal["scalars", "array", "vector"],
) -> None:
    nan, inf = np.nan, np.inf
    hole = nan if form == "vector" else None  # a Vector holds no null
    lists: list[list[float | None]] = [[1.0, 2.0], [hole, 2.0], [1.0, nan], [nan, hole], [inf, nan], [1.0, -inf]]
    column: pa.Array = pa.array(lists, pa.list_(pa.float64()), from_pandas=False)
    if form == "vector":
        column = vector_array([{"type": 1, "size": None, "indices": None, "values": row} for row in lists])
    columns_of = ("x", "y") if form == "scalars" else ("x",)
    decoded = Features(columns_of, form, 2, False, missing=True).decode([column])
    infinite = ("x", "y") if form == "scalars" else ("x[0]", "x[1]")
    assert decoded.bad == {ALL_MISSING: 1} | {f"{INFINITE} in {one}": 1 for one in infinite}
    np.testing.assert_array_equal(decoded.usable()[0], [[1.0, nan, 1.0], [2.0, 2.0, nan]])


def test_a_row_that_is_null_or_of_another_width_stays_bad_if_missing_values_are_asked_for() -> None:
    rows = pa.array([[1.0, 2.0], None, [1.0], [1.0, None]])
    w = pa.array([1.0, 1.0, 1.0, -1.0])
    decoded = Features(("x",), "array", 2, True, "w", missing=True).decode([rows.cast(pa.list_(pa.float32())), w])
    assert decoded.bad == {ALL_MISSING: 1, WIDTH: 1, NEGATIVE_WEIGHT: 1}
