"""What is missing in a table, told from the rows of each pattern; too many patterns, and which columns to drop."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.missing.counts import (
    Missing,
    find_columns_to_drop,
    read_counts,
    require_few_patterns,
    write_counts,
)
from gmm_spark.core.missing.patterns import count_patterns, order_by_pattern, write_pattern
from gmm_spark.errors import DataError
from tests.core.missing import textbook


def test_rows_columns_and_patterns_are_those_of_the_rows():
    rng = np.random.default_rng(1)
    rows = textbook.with_holes(rng.standard_normal((3, 200)), 0.3, rng)
    rows[2] = 0.0
    counts = count_patterns(order_by_pattern(rows)[0])
    assert counts.total() == 200
    assert read_counts(write_counts(counts)) == counts
    absent = np.isnan(rows)
    missing = Missing.of(counts, ["x", "y", "z"])
    assert missing.rows == absent.any(axis=0).sum()
    assert missing.columns == {"x": absent[0].sum(), "y": absent[1].sum()}
    assert list(missing.columns.values()) == sorted(missing.columns.values(), reverse=True)
    assert missing.patterns == len(np.unique(absent, axis=1).T) - 1


def test_the_columns_whose_values_are_missing_at_random_are_those_to_drop():
    rng = np.random.default_rng(2)
    missing = np.zeros((12, 4000), bool)
    missing[[3, 7]] = rng.random((2, 4000)) < 0.5
    missing[0] = missing[1] = rng.random(4000) < 0.3  # always together
    missing[[4, 5, 6]] = rng.random((3, 4000)) < 0.01
    counts = count_patterns(order_by_pattern(np.where(missing, np.nan, 1.0))[0])
    assert set(find_columns_to_drop(counts, 12, len(counts) // 3)) == {3, 7}
    names = [f"x{i}" for i in range(12)]
    require_few_patterns(counts, names, len(counts))
    with pytest.raises(DataError, match=rf"{len(counts)} different patterns.*drop 'x[37]' .*, 'x[37]' .* or fill"):
        require_few_patterns(counts, names, len(counts) // 3)


def test_enough_columns_are_named_for_any_limit():
    rng = np.random.default_rng(3)
    missing = rng.random((70, 3000)) < 0.2
    counts = {write_pattern(one): 1 for one in missing.T}
    dropped = find_columns_to_drop(counts, 70, 1000)
    missing[dropped] = False
    assert len(np.unique(missing, axis=1).T) <= 1000
