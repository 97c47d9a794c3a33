"""Fingerprints of rows: alike for the same rows however they come, and for no others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gmm_spark.spark.packing.fingerprint import MODULUS, fingerprint_rows

ROWS = np.random.default_rng(0).normal(size=(3, 20_000))
WEIGHT = np.random.default_rng(1).uniform(size=20_000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_order_and_division_do_not_matter(dtype: type) -> None:
    rows = ROWS.astype(dtype)
    whole = fingerprint_rows(rows, WEIGHT)
    order = np.random.default_rng(2).permutation(rows.shape[1])
    assert fingerprint_rows(rows[:, order], WEIGHT[order]) == whole
    cuts = [0, 0, 17, 8192, 20_000]
    parts = [fingerprint_rows(rows[:, a:b], WEIGHT[a:b]) for a, b in pairwise(cuts)]
    assert sum(parts) % MODULUS == whole
    assert 0 < whole < MODULUS


def test_a_bit_of_a_value_or_of_a_weight_matters() -> None:
    rows, weight = ROWS.copy(), WEIGHT.copy()
    rows[1, 5] = np.nextafter(rows[1, 5], 9)
    weight[7] = np.nextafter(weight[7], 9)
    assert len({fingerprint_rows(r, w) for r in (ROWS, rows) for w in (WEIGHT, weight, None)}) == 6


def test_values_that_change_places_matter() -> None:
    swapped, exchanged = ROWS.copy(), ROWS[[1, 0, 2]]
    swapped[0, [3, 4]] = ROWS[0, [4, 3]]
    assert len({fingerprint_rows(rows) for rows in (ROWS, swapped, exchanged)}) == 3


def test_a_row_less_or_twice_matters() -> None:
    twice = np.concatenate([ROWS, ROWS[:, :1]], axis=1)
    zeros = np.zeros((3, 2))
    blocks = (ROWS, ROWS[:, 1:], twice, zeros, zeros[:, :1])
    assert len({fingerprint_rows(block) for block in blocks}) == 5
