"""Pictures of the components: weights and means."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.plots import draw_means, draw_weights
from tests.plots.conftest import make_mixture, marks, parse, texts


def test_weights_are_listed_largest_first(mixture: MixtureParameters) -> None:
    figure = draw_weights(mixture)
    assert figure.table["weight"].tolist() == sorted(mixture.weights, reverse=True)
    assert np.array_equal(mixture.weights[figure.table["component"]], figure.table["weight"])
    assert f"Component {mixture.weights.argmax()} is the largest of 4" in figure.reading
    assert len(marks(parse(figure), "rect")) == 4


@pytest.mark.parametrize("k", [1, 2, 50])
def test_few_and_many_weights_are_drawn(k: int) -> None:
    figure = draw_weights(make_mixture(k, 2))
    root = parse(figure)
    assert len(marks(root, "rect")) == k
    assert {str(i) for i in range(k)} <= set(texts(root))
    if k == 50:
        half = figure.table["weight"].cumsum().searchsorted(0.5) + 1
        assert f"The {half} largest have half of the rows." in figure.reading


def test_a_component_without_weight_is_drawn() -> None:
    figure = draw_weights(MixtureParameters([1.0, 0.0], [[0.0], [1.0]], [1.0, 1.0], "spherical"))
    assert "the smallest, 1, has 0 %" in figure.reading
    parse(figure)


def test_means_are_standardised_by_the_whole_mixture(mixture: MixtureParameters) -> None:
    table = draw_means(mixture, list("abcde")).table
    rows = mixture.weights @ mixture.means, np.zeros(5)
    for j in range(5):  # the law of total variance, written out
        between = sum(w * (m - rows[0][j]) ** 2 for w, m in zip(mixture.weights, mixture.means[:, j], strict=True))
        within = sum(w * c[j, j] for w, c in zip(mixture.weights, mixture.covariances, strict=True))
        mine = table[table["feature"] == "abcde"[j]].sort_values("component")
        expected = (mixture.means[:, j] - rows[0][j]) / np.sqrt(between + within)
        np.testing.assert_allclose(mine["standardised"], expected, rtol=1e-12)
        np.testing.assert_allclose(mine["between"], between / (between + within), rtol=1e-12)


def test_features_that_tell_components_apart_come_first() -> None:
    mixture = MixtureParameters([0.5, 0.5], [[0.0, 0.0, 0.0], [0.1, 9.0, 3.0]], np.ones((2, 3)), "diag")
    figure = draw_means(mixture, ["a", "b", "c"])
    assert list(dict.fromkeys(figure.table["feature"])) == ["b", "c", "a"]
    assert figure.reading.startswith("At least half of the variance of b and c lies between components.")
    assert "of the mean of b" not in figure.reading
    assert "the mean of b" in figure.reading


def test_components_that_differ_little_are_called_so() -> None:
    mixture = MixtureParameters([0.5, 0.5], [[0.0], [1.0]], np.ones((2, 1)), "diag")
    assert "differ little in their means: at most 20 %" in draw_means(mixture).reading


@pytest.mark.parametrize(("k", "d", "cells"), [(1, 1, 1), (4, 5, 20), (3, 40, 120), (12, 6, 72)])
def test_each_mean_is_a_cell(k: int, d: int, cells: int) -> None:
    root = parse(draw_means(make_mixture(k, d)))
    assert len(marks(root, "rect")) == cells
    assert len(marks(root, "text")) == (cells if k <= 8 else 0)


def test_many_means_are_one_small_image() -> None:
    figure = draw_means(make_mixture(50, 40))
    assert len(marks(parse(figure), "image")) == 1
    assert len(figure.svg()) < 40_000


def test_a_feature_that_is_constant_is_drawn() -> None:
    # A floor under variances leaves it a tiny one.
    mixture = MixtureParameters([0.5, 0.5], [[0.0, 7.0], [4.0, 7.0]], [[1.0, 1e-12], [1.0, 1e-12]], "diag")
    figure = draw_means(mixture)
    assert figure.table["standardised"].abs().max() < 2
    parse(figure)
