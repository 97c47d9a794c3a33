"""Patterns of missingness: order, runs and bits, in tables of any width."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.arrays import has_missing
from gmm_spark.core.missing.patterns import (
    find_runs,
    observed_features,
    order_by_pattern,
    read_pattern,
    write_pattern,
)
from tests.core.missing.textbook import with_holes


@pytest.mark.parametrize("d", [1, 7, 8, 9, 64, 65, 200])
def test_ordered_rows_have_one_run_of_each_pattern_and_keep_their_values_weights_and_order(d):
    rng = np.random.default_rng(d)
    rows = with_holes(rng.standard_normal((d, 300)), 0.3, rng, patterns=6)
    weight = np.arange(300.0)
    ordered, weights = order_by_pattern(rows, weight)
    runs = list(find_runs(ordered))
    assert len({run.pattern for run in runs}) == len(runs) == len(np.unique(np.isnan(rows), axis=1).T)
    assert [run.rows.start for run in runs[1:]] == [run.rows.stop for run in runs[:-1]]
    assert [run.pattern for run in runs] == sorted(run.pattern for run in runs)
    for run in runs:
        part = ordered[:, run.rows]
        assert np.array_equal(np.isnan(part).any(axis=1), read_pattern(run.pattern, d))
        assert (np.diff(weights[run.rows]) > 0).all()  # stable
        np.testing.assert_array_equal(part, rows[:, weights[run.rows].astype(int)])


def test_rows_without_a_missing_value_are_left_as_they_are():
    rows = np.array([[1.0, np.finfo(float).max, np.finfo(float).max], [2.0, 3.0, 4.0]])
    assert not has_missing(rows)  # though their sum overflows
    assert order_by_pattern(rows)[0] is rows


def test_a_pattern_is_read_as_it_was_written():
    missing = np.array([True] + [False] * 8 + [True])
    assert np.array_equal(read_pattern(write_pattern(missing), 10), missing)
    assert observed_features(write_pattern(missing), 10).tolist() == list(range(1, 9))


def test_no_rows_have_no_runs():
    assert list(find_runs(np.empty((3, 0)))) == []
