from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search import starts as starts_module
from gmm_spark.core.search.starts import START_MODES, draw_start
from gmm_spark.errors import DataError, ParameterError
from tests.examples import blobs, draw_rows, matched, random_mixture

K = 3
SEEDED_MODES = ["k-means++", "kmeans", "random_from_data"]  # these draw rows, "random" draws responsibilities


@pytest.fixture(params=START_MODES)
def mode(request):
    return request.param


@pytest.fixture
def rows():
    drawn = blobs()
    return drawn - drawn.mean(axis=1, keepdims=True)


def start(
    rows, k=K, covariance_type="full", mode="k-means++", seed=0, weight=None, variance=None, number=0
) -> MixtureParameters:
    variance = rows.var(axis=1) if variance is None else variance
    rng = np.random.default_rng(seed)
    return draw_start(rows, weight, np.zeros(len(rows)), variance, k, [covariance_type], mode, rng, number)[0]


# Numbers of the default mode's starts that look where rows are least Gaussian.
BY_KURTOSIS, BY_SKEWNESS = 2, 4


@pytest.mark.parametrize("k", [1, 2, 7])
def test_every_mode_gives_valid_parameters_of_the_structure_asked_for(rows, mode, covariance_type, k):
    found = start(rows, k, covariance_type, mode)  # MixtureParameters checks itself
    assert (found.n_components, found.n_features, found.covariance_type) == (k, 3, covariance_type)
    assert found.weights.min() > 0


def test_the_same_stream_gives_the_same_bits_and_another_stream_another_start(rows, mode):
    first, second, other = (start(rows, mode=mode, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.means, second.means)
    np.testing.assert_array_equal(first.covariances, second.covariances)
    assert not np.array_equal(first.means, other.means)


@pytest.mark.parametrize("scale", [np.array([2.0**-27, 1.0, 2.0**27]), np.full(3, 2.0**40)])
def test_a_change_of_units_changes_no_start_but_its_units(rows, mode, scale):
    # Powers of two are exact, so the same rows are drawn and nothing rounds otherwise.
    found, expected = start(rows * scale[:, None], mode=mode), start(rows, mode=mode)
    np.testing.assert_allclose(found.means / scale, expected.means, rtol=1e-12)
    np.testing.assert_allclose(found.covariances / np.outer(scale, scale), expected.covariances, rtol=1e-12)
    np.testing.assert_array_equal(found.weights, expected.weights)


def test_rows_as_means_are_rows_and_their_spread_is_the_tables(rows, covariance_type):
    found = start(rows, 5, covariance_type, "random_from_data")
    for mean in found.means:
        assert (rows == mean[:, None]).all(axis=0).any()
    assert len(np.unique(found.means, axis=0)) == 5
    variance = rows.var(axis=1)
    expected = np.full(3, variance.mean()) if covariance_type == "spherical" else variance
    for covariance in found.dense_covariances:
        np.testing.assert_allclose(covariance, np.diag(expected), rtol=1e-12)


@pytest.mark.parametrize("mode", ["k-means++", "kmeans"])
def test_clusters_far_apart_get_one_component_each(mode, rng):
    truth = random_mixture("spherical", 6, 2, rng, spread=100.0)
    rows, components = draw_rows(truth, 600, rng)
    for seed in range(5):
        found = start(rows, 6, "full", mode, seed)
        order = matched(found, truth.means)
        expected = np.stack([rows[:, components == j].mean(axis=1) for j in range(6)])
        np.testing.assert_allclose(found.means[order], expected, atol=1e-9)
        np.testing.assert_allclose(found.weights[order], np.bincount(components) / 600, rtol=1e-12)


def test_lloyd_steps_reach_a_fixed_point_of_k_means(rng):
    truth = random_mixture("spherical", 3, 2, rng, spread=4.0)
    rows, _ = draw_rows(truth, 300, rng)
    rows /= rows.std(axis=1, keepdims=True)  # the units distances are taken in
    found = start(rows, 3, "diag", "kmeans")
    oracle = KMeans(3, init=found.means, n_init=1, max_iter=100, tol=0.0).fit(rows.T)
    np.testing.assert_allclose(found.means, oracle.cluster_centers_, atol=1e-9)


def test_greedy_seeding_has_a_lower_potential_than_rows_at_random(rows):
    scaled = rows / rows.std(axis=1, keepdims=True)

    def potential(mode: str) -> float:
        means = [start(scaled, 8, "diag", mode, seed).means for seed in range(20)]
        distance = [((scaled.T[:, None] - m[None]) ** 2).sum(axis=2).min(axis=1).sum() for m in means]
        return float(np.mean(distance))

    assert potential("k-means++") < potential("random_from_data")


@pytest.mark.parametrize("mode", SEEDED_MODES)
def test_rows_of_weight_zero_are_never_seeds(mode, rows):
    weight = (np.arange(rows.shape[1]) % 2).astype(float)
    odd = np.where(weight > 0, rows, 1e6)  # a seed would be drawn here at once if these rows counted
    variance = rows.var(axis=1)
    for seed in range(5):
        found = start(odd, K, "diag", mode, seed, weight, variance)
        assert np.abs(found.means).max() < np.abs(rows).max()


def test_rows_of_weight_zero_change_no_random_responsibilities_sums(rows):
    weight = (np.arange(rows.shape[1]) % 2).astype(float)
    odd = np.where(weight > 0, rows, 1e6)
    found, expected = (start(r, K, "full", "random", 0, weight, rows.var(axis=1)) for r in (odd, rows))
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-12)


def test_a_heavy_row_is_drawn_as_often_as_its_weight_says():
    # One seed of two rows, weights 1 : 4. Of 400 draws 320 are expected, deviation 8; five deviations either way.
    rows, weight = np.array([[-1.0, 1.0]]), np.array([1.0, 4.0])
    heavy = sum(start(rows, 1, "diag", "random_from_data", seed, weight).means[0, 0] == 1.0 for seed in range(400))
    assert abs(heavy - 320) <= 40


def test_random_responsibilities_share_every_row(rows):
    found = start(rows, 4, "diag", "random")
    # Means under random responsibilities lie near the table's mean, but not on it.
    assert 0 < np.abs(found.means / rows.std(axis=1)).max() < 1


@pytest.mark.parametrize("mode", ["k-means++", "kmeans"])
def test_more_components_than_distinct_rows_is_an_error_with_both_figures(mode):
    rows = np.repeat(np.array([[0.0, 1.0, 5.0]]), 4, axis=1)
    assert start(rows, 3, mode=mode).n_components == 3
    with pytest.raises(DataError, match=r"k=4 .* 3 distinct values; lower k"):
        start(rows, 4, mode=mode)


@pytest.mark.parametrize("mode", SEEDED_MODES)
def test_rows_of_weight_zero_do_not_count_as_distinct(mode):
    rows, weight = np.array([[0.0, 1.0, 2.0, 3.0]]), np.array([1.0, 1.0, 0.0, 0.0])
    with pytest.raises(DataError, match=r"k=3 .* 2"):
        start(rows, 3, "diag", mode, weight=weight)


def test_means_drawn_from_repeated_rows_are_distinct():
    # Components of equal means and covariances stay equal: one is lost before the first pass.
    rows = np.repeat(np.array([[0.0, 1.0, 5.0]]), [98, 1, 1], axis=1)
    found = start(rows, 3, "diag", "random_from_data")
    assert len(np.unique(found.means)) == 3


def test_one_row_can_be_a_cluster(covariance_type):
    rows = np.array([[0.0, 0.1, 0.2, 50.0], [0.0, 0.3, 0.1, 50.0]])
    found = start(rows, 2, covariance_type)
    assert sorted(found.weights.tolist()) == [0.25, 0.75]


def test_constant_features_get_a_start(mode, covariance_type, rows):
    rows = np.vstack([rows, np.zeros(rows.shape[1])])
    assert np.isfinite(start(rows, K, covariance_type, mode).covariances).all()


def test_an_unknown_mode_is_refused_with_those_there_are(rows):
    with pytest.raises(ParameterError, match=r"initMode='best'.*k-means\+\+.*random"):
        start(rows, mode="best")


@pytest.mark.parametrize("gap", [1e-5, 1e-9])
def test_seeds_may_lie_far_nearer_to_each_other_than_to_the_mean(gap):
    values = np.array([[-1.0, 1.0, 1.0 + gap], [0.5, -0.5, -0.5]])
    rows = np.repeat(values, 40, axis=1)
    found = start(rows, 3, "spherical")
    np.testing.assert_allclose(np.sort(found.means[:, 0]), values[0], rtol=1e-15)
    with pytest.raises(DataError, match=r"k=4 .* 3 distinct values"):
        start(rows, 4, "spherical")


@pytest.mark.parametrize("number", [BY_KURTOSIS, BY_SKEWNESS])
def test_starts_in_directions_take_what_other_starts_take(rows, number, covariance_type):
    collinear = np.vstack([rows, rows.sum(axis=0), np.zeros(rows.shape[1])])
    assert np.isfinite(start(collinear, 4, covariance_type, number=number).covariances).all()
    line = rows[:1]
    assert start(line, 2, covariance_type, number=number).n_components == 2
    binary = np.array([[0.0, 0.0, 0.0, 1.0] * 5, [0.0, 0.0, 1.0, 0.0] * 5])
    assert start(binary, 3, covariance_type, number=number).n_components == 3
    with pytest.raises(DataError, match=r"k=4 .* 3 distinct values"):
        start(binary, 4, covariance_type, number=number)


@pytest.mark.parametrize("number", [BY_KURTOSIS, BY_SKEWNESS])
def test_starts_in_directions_leave_rows_of_weight_zero_out(rows, number):
    weight = (np.arange(rows.shape[1]) % 2).astype(float)
    odd = np.where(weight > 0, rows, 1e6)
    found = start(odd, weight=weight, variance=rows.var(axis=1), number=number)
    expected = start(np.ascontiguousarray(rows[:, weight > 0]), variance=rows.var(axis=1), number=number)
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-9)


@pytest.mark.parametrize(("share", "number"), [(0.5, BY_KURTOSIS), (0.2, BY_SKEWNESS)])
def test_clusters_apart_where_variance_does_not_show_are_found(share, number, rng):
    # Ten whitened features, turned at random; along one direction two clusters are six deviations apart.
    size, n = round(share * 2000), 2000
    hidden = rng.normal(size=(10, n))
    hidden[0, :size] += 6.0
    hidden -= hidden.mean(axis=1, keepdims=True)
    rows = np.linalg.qr(rng.normal(size=(10, 10)))[0] @ np.linalg.cholesky(np.linalg.inv(np.cov(hidden))).T @ hidden
    found = start(rows, 2, number=number)
    in_first = [rows[:, :size].mean(axis=1), rows[:, size:].mean(axis=1)]
    order = matched(found, np.stack(in_first))
    np.testing.assert_allclose(found.weights[order], [share, 1 - share], atol=0.01)
    np.testing.assert_allclose(found.means[order], in_first, atol=0.1)


@pytest.mark.parametrize(("number", "least", "most"), [(1, 0, 1), (5, 4, 6), (6, 4, 6)])
def test_some_kinds_of_starts_leave_seeds_for_the_other_rows_where_a_column_has_codes(rng, number, least, most):
    rows = rng.standard_normal((2, 2000))
    rows[0, :60] = rng.uniform(1e5, 1e6, 60)
    found = start(rows, k=6, variance=np.ones(2), number=number).means
    assert least <= np.count_nonzero(np.abs(found[:, 0]) < 100) <= most


def test_what_is_drawn_near_keeps_its_order_and_its_differences():
    values = np.array([[-1e300, -1e6, -1e6 + 1, -11.0, -10.0, -0.5, 0.0, 3.0, 10.0, 10.5, 1e12]])
    found = starts_module._draw_near(values)
    assert (np.diff(found) > 0).all()
    np.testing.assert_array_equal(found[0, 4:9], values[0, 4:9])
    assert np.abs(found).max() < 1000
