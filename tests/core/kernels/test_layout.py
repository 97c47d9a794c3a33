"""Vectors of sums: what was packed is what is read, and arrays that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels.layout import VectorLayout

LAYOUT = VectorLayout({"rows": (), ("sums", 0): (2, 3), ("sums", 1): (0, 4), "mean": (3,)})


def test_what_was_packed_is_read_back_in_its_shape(rng):
    arrays = {name: rng.normal(size=shape) for name, shape in LAYOUT.shapes.items()}
    vector = LAYOUT.pack(arrays)
    assert vector.shape == (LAYOUT.length,) == (10,)
    found = LAYOUT.unpack(vector)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == LAYOUT.shapes[name]


def test_added_vectors_read_as_added_arrays(rng):
    parts = [{name: rng.integers(9, size=shape) for name, shape in LAYOUT.shapes.items()} for _ in range(2)]
    found = LAYOUT.unpack(LAYOUT.pack(parts[0]) + LAYOUT.pack(parts[1]))
    for name in LAYOUT.shapes:
        np.testing.assert_array_equal(found[name], parts[0][name] + parts[1][name])


@pytest.mark.parametrize("wrong", [{"rows": 1.0}, {"mean": np.zeros(2)}, {"mean": np.zeros((3, 1))}])
def test_arrays_that_do_not_fit_are_refused(wrong):
    fitting = {name: np.zeros(shape) for name, shape in LAYOUT.shapes.items()}
    arrays = wrong if "rows" in wrong else fitting | wrong
    with pytest.raises(ValueError, match="arrays have shapes"):
        LAYOUT.pack(arrays)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"shape \(9,\); need \(10,\)"):
        LAYOUT.unpack(np.zeros(9))
