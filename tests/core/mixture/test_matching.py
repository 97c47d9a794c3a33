"""Components of two mixtures are matched as they were made: permuted, moved, split; distances are integrals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal, wishart

from gmm_spark.core.mixture.matching import bhattacharyya_distances, match_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from tests.examples import COVARIANCE_TYPES, random_mixture


def permuted(parameters: MixtureParameters, order) -> MixtureParameters:
    covariances = parameters.covariances if parameters.structure.pooled else parameters.covariances[order]
    return MixtureParameters(
        parameters.weights[order], parameters.means[order], covariances, parameters.covariance_type
    )


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_permuted_components_are_found_and_have_not_moved(kind, rng):
    before = random_mixture(kind, 7, 3, rng)
    order = rng.permutation(7)
    found = match_components(before, permuted(before, order))
    assert (found.gone, found.new) == ((), ())
    assert [(match.before, order[match.after]) for match in found.matches] == [(j, j) for j in range(7)]
    for match in found.matches:
        assert match.hellinger == pytest.approx(0, abs=1e-6)
        assert match.weights[0] == match.weights[1]
        np.testing.assert_allclose(match.shifts, 0)
        np.testing.assert_allclose(match.spread_ratios, 1)


def test_a_distance_is_minus_the_logarithm_of_the_integral(rng):
    covariances = np.asarray(wishart(5, np.eye(2)).rvs(2, random_state=3)) / 5
    before = MixtureParameters([1.0], [[0.0, 0.0]], covariances[:1])
    after = MixtureParameters([1.0], [[1.0, -0.5]], covariances[1:])
    first, second = (multivariate_normal(one.means[0], one.covariances[0]) for one in (before, after))
    integral, _ = dblquad(
        lambda y, x: float(np.sqrt(first.pdf([x, y]) * second.pdf([x, y]))), -9, 9, -9, 9, epsabs=1e-7
    )
    assert bhattacharyya_distances(before, after)[0, 0] == pytest.approx(-np.log(integral), rel=1e-4)
    (match,) = match_components(before, after).matches
    assert match.hellinger == pytest.approx(np.sqrt(1 - integral), rel=1e-4)
    moved, pooled = np.array([1.0, -0.5]), covariances.mean(axis=0)
    assert match.distance == pytest.approx(np.sqrt(moved @ np.linalg.inv(pooled) @ moved))


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_axis_aligned_distances_are_those_of_the_same_full_covariances(kind, rng):
    one, other = random_mixture(kind, 4, 3, rng), random_mixture(kind, 3, 3, rng)
    dense = [MixtureParameters(m.weights, m.means, m.dense_covariances) for m in (one, other)]
    expected, found = bhattacharyya_distances(*dense), bhattacharyya_distances(one, other)
    near = expected < 50
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-8)
    assert (found[~near] >= 50).all()


def test_one_that_has_moved_is_told_from_those_that_stayed():
    means = np.array([[0.0, 0], [20, 0], [0, 20]])
    before = MixtureParameters([0.2, 0.3, 0.5], means, np.full((3, 2), 4.0), "diag")
    after = MixtureParameters(
        [0.5, 0.1, 0.4], means[[2, 0, 1]] + [[0, 0], [3, 0], [0, 0]], np.full((3, 2), 4.0), "diag"
    )
    found = match_components(before, after)
    assert [(match.before, match.after) for match in found.matches] == [(0, 1), (1, 2), (2, 0)]
    np.testing.assert_allclose(
        np.stack([match.shifts for match in found.matches]), np.array([[1.5, 0], [0, 0], [0, 0]])
    )
    np.testing.assert_allclose(found.matches[0].weights, [0.2, 0.1])


def test_a_split_component_has_one_counterpart_and_one_that_is_new():
    before = MixtureParameters([0.6, 0.4], [[0.0], [50.0]], [[4.0], [4.0]], "diag")
    after = MixtureParameters([0.25, 0.4, 0.35], [[-1.5], [50.0], [1.5]], [[1.5], [4.0], [1.5]], "diag")
    found = match_components(before, after)
    assert [(match.before, match.after) for match in found.matches] == [(0, 2), (1, 1)]
    assert (found.gone, found.new, found.nearest) == ((), (0,), {0: 0})
    merged = match_components(after, before)
    assert (merged.gone, merged.new) == ((0,), ())


def test_a_component_far_from_all_is_gone_and_another_is_new():
    before = MixtureParameters([0.5, 0.5], [[0.0], [50.0]], [[1.0], [1.0]], "diag")
    after = MixtureParameters([0.5, 0.5], [[0.0], [-90.0]], [[1.0], [1.0]], "diag")
    found = match_components(before, after)
    assert [(match.before, match.after) for match in found.matches] == [(0, 0)]
    assert (found.gone, found.new, found.nearest) == ((1,), (1,), {1: 0})


def test_features_of_any_scale_and_components_without_weight_are_matched(rng):
    scale = np.array([1e-150, 1e150, 1.0])
    unit = random_mixture("full", 4, 3, rng)
    weights = np.array([0.0, 0.3, 0.3, 0.4])
    before = MixtureParameters(weights, unit.means * scale, unit.covariances * np.outer(scale, scale))
    found = match_components(before, permuted(before, [3, 2, 1, 0]))
    assert [(match.before, match.after) for match in found.matches] == [(0, 3), (1, 2), (2, 1), (3, 0)]


def test_mixtures_of_other_features_are_refused(rng):
    with pytest.raises(ParameterError, match="2 and 3 features"):
        match_components(random_mixture("full", 2, 2, rng), random_mixture("full", 2, 3, rng))
