"""Reasons against their definition, written out with numpy.linalg."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.reasons import find_reasons
from tests.core.mixture.test_conditioning import STRUCTURES, mixture


def define(parameters, row, component):
    """All z of a row, by the precision of its component."""
    precision = np.linalg.inv(parameters.dense_covariances[component])
    return precision @ (row - parameters.means[component]) / np.sqrt(np.diag(precision))


@pytest.mark.parametrize("kind", STRUCTURES)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_reasons_are_the_largest_conditional_deviations(kind, offset, rng):
    scale = np.array([1e-3, 1.0, 50.0, 1e4, 1.0]) if kind != "spherical" else 1.0
    parameters = mixture(kind, rng, d=5, scale=scale, offset=offset)
    rows = (parameters.means[0] + 6 * scale * rng.normal(size=(40, 5))).T
    components = rng.integers(0, 3, 40)
    found = find_reasons(parameters, rows, components)
    for i in range(40):
        z = define(parameters, rows[:, i], components[i])
        order = np.argsort(-np.abs(z), kind="stable")[:3]
        assert found.features[:, i].tolist() == order.tolist()
        np.testing.assert_allclose(found.z[:, i], z[order], rtol=1e-6)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_reason_says_by_how_much_the_distance_would_shrink(kind, rng):
    parameters = mixture(kind, rng, k=1, d=4)
    row = parameters.means[0] + rng.normal(0, 8, 4)
    precision = np.linalg.inv(parameters.dense_covariances[0])
    found = find_reasons(parameters, row[:, None], np.array([0]))
    for feature, z in zip(found.features[:, 0], found.z[:, 0], strict=True):
        off = row - parameters.means[0]
        others = np.delete(np.arange(4), feature)
        mended = off.copy()
        mended[feature] = -precision[feature, others] @ off[others] / precision[feature, feature]
        assert off @ precision @ off - mended @ precision @ mended == pytest.approx(z**2, rel=1e-9)


def test_fewer_features_than_three_are_all_named_and_rows_of_any_size_have_reasons():
    parameters = MixtureParameters([1.0], [[0.0, 0.0]], [[1.0, 4.0]], "diag")
    found = find_reasons(parameters, np.array([[3.0, 1e308, -np.finfo(float).max], [8.0, 0.0, 0.0]]), np.zeros(3, int))
    assert found.features.tolist() == [[1, 0, 0], [0, 1, 1]]
    np.testing.assert_allclose(found.z[:, :2], [[4.0, 1e308], [3.0, 0.0]])
    assert not np.isnan(found.z).any()


def test_float32_rows_have_the_reasons_of_the_same_values(rng):
    parameters = mixture("full", rng)
    rows = rng.normal(0, 9, (4, 10)).astype(np.float32)
    found, same = (find_reasons(parameters, one, np.zeros(10, int)) for one in (rows, rows.astype(np.float64)))
    np.testing.assert_array_equal(found.features, same.features)
    np.testing.assert_array_equal(found.z, same.z)


def test_no_row_has_no_reason(rng):
    found = find_reasons(mixture("tied", rng), np.empty((4, 0)), np.empty(0, int))
    assert found.z.shape == (3, 0)
