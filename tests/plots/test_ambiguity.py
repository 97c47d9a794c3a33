"""Pictures of components that share rows: the confusion of the responsibilities, and the merge tree."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.description.merging import MergeTree, describe_merges
from gmm_spark.core.mixture.density import responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.plots import draw_confusion, draw_merges
from gmm_spark.plots.merges import _lay_out
from tests.plots.conftest import make_mixture, marks, parse, texts
from tests.plots.test_portraits import draw_rows


@pytest.fixture(scope="module")
def near() -> MixtureParameters:
    """Two components on top of each other, and one apart."""
    return MixtureParameters([0.4, 0.3, 0.3], [[0.0, 0.0], [30.0, 0.0], [1.0, 0.0]], [1.0, 1.0, 1.0], "spherical")


def test_the_confusion_is_that_of_the_responsibilities(near: MixtureParameters) -> None:
    rows = draw_rows(near)
    figure = draw_confusion(Portrait.of(near, rows))
    shares = responsibilities(near, rows)
    expected = shares @ shares.T / shares.sum(axis=1)[:, None]
    for one in figure.table.itertuples():
        assert one.shared == pytest.approx(expected[one.component, one.other], abs=1e-6)
    assert (figure.table["component"].tolist()[:2], figure.table["other"].tolist()[:2]) == ([2, 0], [0, 2])
    assert "Component 2 shares the most" in figure.reading
    assert f"{100 * expected[2, 0]:.0f}" in texts(parse(figure))


def test_components_that_share_nothing_are_said_to(near: MixtureParameters) -> None:
    apart = MixtureParameters([0.5, 0.5], [[0.0], [90.0]], [1.0, 1.0], "spherical")
    figure = draw_confusion(Portrait.of(apart, draw_rows(apart)))
    assert figure.reading.endswith("agree in 100 % of cases: no component shares rows with another.")
    parse(figure)


@pytest.mark.parametrize("k", [1, 2, 8, 9, 60])
def test_few_and_many_components_have_a_confusion(k: int) -> None:
    mixture = make_mixture(k, 2)
    figure = draw_confusion(Portrait.of(mixture, draw_rows(mixture, 2000)))
    root = parse(figure)
    assert len(figure.table) == k * k
    assert len(marks(root, "image")) == (k > 8)


@pytest.mark.parametrize("k", [2, 5, 30, 60])
def test_the_tree_has_a_leaf_for_each_cluster_it_begins_with_and_crosses_no_line(k: int) -> None:
    mixture = make_mixture(k, 2)
    tree = MergeTree.of(mixture, draw_rows(mixture, 2000))
    figure = draw_merges(tree)
    assert figure.table["clusters"].tolist() == list(range(k, 0, -1))
    np.testing.assert_array_equal(figure.table["entropy"], tree.entropies)
    assert figure.reading == describe_merges(tree)
    parse(figure)
    first = min(k, 30)
    leaves, lines = _lay_out(tree, first)
    assert sorted(leaves) == sorted(tree.clusters(first))
    # No line runs through the upright of a merge that it is no part of.
    uprights = [one for one in lines if one["row"] != one["row2"]]
    assert len(uprights) == first - 1
    for up in uprights:
        for one in lines:
            along = one["row"] == one["row2"] and one["clusters2"] < up["clusters"] < one["clusters"]
            assert not (along and up["row"] < one["row"] < up["row2"])


def test_the_bend_is_marked(near: MixtureParameters) -> None:
    tree = MergeTree.of(near, draw_rows(near))
    assert tree.suggested == 2
    figure = draw_merges(tree)
    assert "once 0 with 2 are merged" in figure.reading
    assert "probably belong to one cluster" in figure.reading
    assert "the fall bends here" in texts(parse(figure))
    with pytest.raises(ParameterError, match="two at least"):
        draw_merges(MergeTree(1, 0.0, (), 1))
