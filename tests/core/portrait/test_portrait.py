"""A portrait shows what the rows are: by numpy's own histograms, whatever the structure, the weights and the parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import MOST_SHOWN, N_BINS, Frame, merge_bins
from gmm_spark.core.portrait.portrait import CERTAINTY_EDGES, Portrait
from gmm_spark.core.portrait.sums import PortraitSums
from gmm_spark.errors import ParameterError
from tests.examples import draw_rows, random_mixture

ARRAYS = [
    *("histograms", "component_histograms", "pair_histograms", "confusion", "certainty", "means", "spreads"),
    *("least_likely_means", "least_likely_spreads", "other_means", "other_spreads"),
]


def take(parameters, rows, weight=None, frame=None, precision="float64", parts=1):
    """Take a portrait by the sums of passes, over several parts of the rows."""
    center, scale = parameters.moments()[0], np.sqrt(parameters.moments()[1])
    plan = plan_pass([parameters.shifted(-center)], center, scale, precision)
    sums = PortraitSums(plan, frame or Frame.of(parameters), [f"x{i}" for i in range(len(rows))])
    total = np.zeros(sums.length)
    for part in np.array_split(np.arange(rows.shape[1]), parts):
        fold = sums.accumulator()
        fold.add(rows[:, part], None if weight is None else weight[part])
        total += fold.vector()
    return sums.read(total)


def assert_same(found: Portrait, expected: Portrait, rtol=1e-9):
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * expected.weight_sum, err_msg=name)
    assert (found.rows, found.least_likely) == pytest.approx((expected.rows, expected.least_likely))
    assert found.weight_sum == pytest.approx(expected.weight_sum)
    np.testing.assert_allclose(found.log_densities.weights.sum(), expected.log_densities.weights.sum())
    for q in (0.01, 0.5, 0.99):
        assert found.log_densities.quantile(q) == pytest.approx(expected.log_densities.quantile(q), rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sums_of_passes_make_the_portrait_that_the_definitions_make(covariance_type, weighted, gate, rng):
    mixture = random_mixture(covariance_type, 4, 3, rng)
    rows, _ = draw_rows(mixture, 3000, rng)
    weight = rng.uniform(0, 3, 3000) if weighted else None
    assert_same(take(mixture, rows, weight, parts=3), Portrait.of(mixture, rows, weight))


def test_many_features_are_counted_alone_and_the_telling_ones_also_in_pairs(rng):
    mixture = random_mixture("full", 3, 12, rng)
    rows, _ = draw_rows(mixture, 2000, rng)
    found = take(mixture, rows)
    assert_same(found, Portrait.of(mixture, rows))
    assert len(found.frame.shown) == MOST_SHOWN
    assert found.histograms.sum(axis=1).tolist() == [2000] * 12
    assert found.pair_histograms.shape == (28, 34, 34)


def test_a_single_precision_portrait_is_the_same_but_for_rounding(rng):
    mixture = random_mixture("full", 3, 2, rng)
    rows, _ = draw_rows(mixture, 2000, rng)
    rows = rows.astype(np.float32)
    found, expected = take(mixture, rows, precision="float32"), Portrait.of(mixture, rows)
    assert np.array_equal(found.histograms, expected.histograms)
    np.testing.assert_allclose(found.confusion, expected.confusion, atol=0.01)


def test_responsibilities_are_those_of_scipys_densities(rng):
    mixture = random_mixture("full", 3, 2, rng, spread=1.0)
    rows, _ = draw_rows(mixture, 500, rng)
    density = np.array(
        [
            weight * multivariate_normal(mean, cov).pdf(rows.T)
            for weight, mean, cov in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        ]
    )
    shares = density / density.sum(axis=0)
    portrait = Portrait.of(mixture, rows)
    np.testing.assert_allclose(portrait.confusion, shares @ shares.T)
    np.testing.assert_allclose(portrait.component_weights, shares.sum(axis=1))
    assert portrait.sizes.tolist() == np.bincount(shares.argmax(axis=0), minlength=3).tolist()
    certain = portrait.certainty[:, CERTAINTY_EDGES.index(0.9) :].sum()
    assert certain == np.count_nonzero(shares.max(axis=0) >= 0.9)
    threshold = portrait.frame.threshold
    rare = np.log(density.sum(axis=0)) < threshold
    np.testing.assert_allclose(portrait.least_likely_means, rows[:, rare].mean(axis=1))
    np.testing.assert_allclose(portrait.other_spreads, rows[:, ~rare].std(axis=1))


def test_a_weight_of_two_counts_as_the_row_twice_and_of_zero_not_at_all(rng):
    mixture = random_mixture("diag", 2, 2, rng)
    rows, _ = draw_rows(mixture, 400, rng)
    weight = np.repeat([2.0, 0.0, 1.0], [100, 100, 200])
    again = np.concatenate([rows[:, :100], rows[:, :100], rows[:, 200:]], axis=1)
    found, expected = take(mixture, rows, weight), take(mixture, again)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_value_beyond_the_bins_is_in_an_open_one_and_one_on_an_edge_in_the_upper_bin():
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    frame = Frame(np.array([-32.0]), np.array([1.0]), (0,), -10.0)
    rows = np.array([[-1e300, -32.1, -32.0, 0.0, 0.5, 31.9, 32.0, 1e300]])
    found = take(mixture, rows, frame=frame).histograms[0]
    assert np.flatnonzero(found).tolist() == [0, 1, 33, 64, 65]
    assert found[found > 0].tolist() == [2, 1, 2, 1, 2]
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.array_equal(found, Portrait.of(mixture, rows, frame=frame).histograms[0])


def test_bins_of_pairs_are_two_bins_of_a_feature_each():
    merged = merge_bins(np.arange(N_BINS))
    assert merged.tolist() == [0, *np.repeat(np.arange(1, 33), 2), 33]


def test_rows_too_far_off_for_a_density_do_not_spoil_the_rest(rng):
    mixture = random_mixture("full", 2, 2, rng)
    rows, _ = draw_rows(mixture, 100, rng)
    rows[:, 7] = 1e200
    found = take(mixture, rows)
    assert np.isfinite(found.confusion).all()
    assert found.certainty.sum() == found.histograms[0].sum() == 100
    assert found.least_likely >= 1


def test_the_least_likely_rows_may_be_so_far_off_that_all_others_are_rounding_beside_them(rng):
    mixture = random_mixture("full", 2, 2, rng)
    rows, _ = draw_rows(mixture, 1000, rng)
    rows[:, ::100] = 1e13
    found = take(mixture, rows)
    rest = rows[:, np.arange(1000) % 100 > 0]
    np.testing.assert_allclose(found.other_means, rest.mean(axis=1), atol=0.1)
    np.testing.assert_allclose(found.other_spreads, rest.std(axis=1), rtol=0.05)


def test_a_portrait_survives_json(rng):
    mixture = random_mixture("tied", 3, 2, rng)
    rows, _ = draw_rows(mixture, 300, rng)
    for weight in (None, rng.uniform(0, 1, 300)):
        portrait = take(mixture, rows, weight)
        again = Portrait.from_dict(json.loads(json.dumps(portrait.to_dict(), allow_nan=False)))
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(again, name), getattr(portrait, name), rtol=1e-15, err_msg=name)
        assert again.frame.pairs == portrait.frame.pairs
        assert np.array_equal(again.frame.edges, portrait.frame.edges)
        assert np.array_equal(again.log_densities.weights, portrait.log_densities.weights)


def test_a_portrait_of_one_feature_and_one_component_survives_json():
    mixture = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    frame = Frame.of(mixture, threshold=-100.0)  # no row is so unlikely
    portrait = take(mixture, np.array([[0.0, 1.0]]), frame=frame)
    assert np.isnan(portrait.least_likely_means).all()
    again = Portrait.from_dict(json.loads(json.dumps(portrait.to_dict(), allow_nan=False)))
    assert again.pair_histograms.shape == (0, 34, 34)
    assert np.isnan(again.least_likely_means).all()
    assert again.other_means.tolist() == [0.5]


@pytest.mark.parametrize("change", [{"format": 99}, {"rows": None}, {"histograms": [[1.0]]}, {"confusion": "no"}])
def test_what_is_no_portrait_is_refused(change, rng):
    mixture = random_mixture("diag", 2, 2, rng)
    values = Portrait.of(mixture, draw_rows(mixture, 50, rng)[0]).to_dict()
    with pytest.raises(ParameterError, match="portrait"):
        Portrait.from_dict(values | change)


def test_a_large_portrait_is_small(rng):
    mixture = random_mixture("full", 50, 40, rng)
    rows, _ = draw_rows(mixture, 5000, rng)
    portrait = take(mixture, rows, rng.uniform(0, 1, 5000))
    assert len(json.dumps(portrait.to_dict())) < 2_000_000
