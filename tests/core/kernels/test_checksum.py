"""The checksum of rows: the same rows in any order and parts have one, other rows another."""

from itertools import product

import numpy as np
import pytest

from gmm_spark.core.arrays import Block
from gmm_spark.core.kernels.checksum import add_checksums, checksum_rows

rng = np.random.default_rng(5)
ROWS = rng.normal(size=(3, 20_000))
WEIGHT = rng.exponential(size=20_000)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_order_and_parts_do_not_matter(dtype: type) -> None:
    rows: Block = ROWS.astype(dtype)
    order = rng.permutation(20_000)
    parts = [slice(0, 1), slice(1, 12_345), slice(12_345, None)]
    whole = checksum_rows(rows, WEIGHT)
    assert checksum_rows(rows[:, order], WEIGHT[order]) == whole
    assert checksum_rows(np.asfortranarray(rows), WEIGHT) == whole
    assert add_checksums(*(checksum_rows(rows[:, part], WEIGHT[part]) for part in parts)) == whole
    assert checksum_rows(rows[:, :0]) == 0


def test_other_combinations_of_the_same_values_are_seen() -> None:
    whole = rng.integers(0, 3, size=(3, 5_000)).astype(float)  # sums of integers are exact: moments show nothing
    mixed = np.vstack([whole[:2], rng.permutation(whole[2])])
    swapped = whole[[1, 0, 2]]
    assert len({checksum_rows(rows) for rows in (whole, mixed, swapped)}) == 3


def test_one_bit_a_row_more_and_a_row_twice_are_seen() -> None:
    nudged = ROWS.copy()
    nudged[1, 777] = np.nextafter(nudged[1, 777], np.inf)
    twice = ROWS.copy()
    twice[:, 5] = twice[:, 6]
    found = [checksum_rows(rows) for rows in (ROWS, nudged, ROWS[:, 1:], np.hstack([ROWS, ROWS[:, :2]]), twice)]
    assert len({*found, checksum_rows(ROWS, WEIGHT), checksum_rows(ROWS, 2 * WEIGHT)}) == 7


def test_rows_of_small_whole_numbers_have_a_checksum_each() -> None:
    cube = [checksum_rows(np.array(point, float)[:, None]) for point in product(range(15), repeat=3)]
    assert len(set(cube)) == 15**3
