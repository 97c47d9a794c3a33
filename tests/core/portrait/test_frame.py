"""The frame of a portrait covers the mixture, and its features are those that tell the components apart."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.marginals import component_cdf, marginal_cdf, marginal_quantiles
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import N_INNER, Frame
from gmm_spark.core.portrait.telling import choose_features
from tests.examples import draw_rows, random_mixture


def test_marginals_are_the_shares_of_drawn_rows(covariance_type, rng):
    mixture = random_mixture(covariance_type, 3, 2, rng)
    rows, _ = draw_rows(mixture, 40_000, rng)
    values = np.quantile(rows, [0.1, 0.5, 0.9], axis=1).T
    np.testing.assert_allclose(marginal_cdf(mixture, values), [[0.1, 0.5, 0.9]] * 2, atol=0.01)
    parts = np.einsum("k,kdn->dn", mixture.weights, component_cdf(mixture, values))
    np.testing.assert_allclose(parts, marginal_cdf(mixture, values))


def test_quantiles_undo_the_distribution(covariance_type, rng):
    mixture = random_mixture(covariance_type, 3, 4, rng).shifted(np.full(4, 1e7))
    q = np.array([1e-6, 0.0005, 0.5, 0.975])
    np.testing.assert_allclose(marginal_cdf(mixture, marginal_quantiles(mixture, q)), [q] * 4, atol=1e-7)


def test_the_bins_cover_the_mixture(rng):
    mixture = random_mixture("full", 3, 4, rng)
    edges = Frame.of(mixture).edges
    np.testing.assert_allclose(marginal_cdf(mixture, edges[:, [0, -1]]), [[0.0005, 0.9995]] * 4, atol=1e-9)


def test_a_few_values_far_off_do_not_widen_the_bins_but_many_do():
    quartiles = np.array([[-0.7], [0.0], [0.7]])
    for share, widest in ((0.01, 8.0), (0.2, 9999.0)):
        mixture = MixtureParameters([1 - share, share], [[0.0], [9999.0]], [1.0, 1.0], "spherical")
        assert Frame.of(mixture, quartiles).edges[0, -1] == pytest.approx(widest, abs=4)


def test_bins_of_rounded_values_hold_as_many_steps_each():
    mixture = MixtureParameters([1.0], [[100.0]], [40.0**2], "spherical")
    for step, origin in ((1.0, 0.0), (0.5, 0.25), (30.0, 7.0)):
        frame = Frame.of(mixture, steps=np.array([step]), origins=np.array([origin]))
        values = origin + step * np.arange(-5000, 5000)
        inside = values[(values > frame.edges[0, 0]) & (values < frame.edges[0, -1])]
        counts = np.bincount(frame.find_bins(inside[None])[0], minlength=N_INNER + 2)[1:-1]
        assert len(set(counts.tolist())) == 1
        gap = (frame.edges[0] - origin) / step % 1
        np.testing.assert_allclose(gap, 0.5)


def test_features_are_chosen_by_what_they_add():
    # The second is nearly a copy of the first; the last tells apart what both leave together.
    means = np.zeros((4, 12))
    means[:, 3], means[:, 4], means[:, 9] = [0, 0, 6, 6], [0, 0, 5.9, 5.9], [0, 4, 0, 4]
    covariance = np.eye(12)
    covariance[3, 4] = covariance[4, 3] = 0.999
    mixture = MixtureParameters(np.full(4, 0.25), means, covariance, "tied")
    assert choose_features(mixture, 1) == (3,)
    assert choose_features(mixture, 2) == (3, 9)


def test_the_choice_does_not_depend_on_units(rng):
    mixture = random_mixture("full", 5, 12, rng)
    units = 10.0 ** rng.integers(-9, 9, 12)
    scaled = MixtureParameters(
        mixture.weights, mixture.means * units, mixture.covariances * units * units[:, None], "full"
    )
    assert choose_features(mixture, 5) == choose_features(scaled, 5)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_one_component_shows_the_features_that_are_correlated(kind):
    covariance = np.eye(12)
    covariance[5, 11] = covariance[11, 5] = 0.9
    stored = covariance[None] if kind == "full" else np.ones((1, 12))
    found = choose_features(MixtureParameters([1.0], np.zeros((1, 12)), stored, kind), 2)
    assert found == ((5, 11) if kind == "full" else (0, 1))
