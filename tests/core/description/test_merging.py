"""The merge tree is what the definition gives, and parts of one cluster are merged first."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import entropy

from gmm_spark.core.description.merging import Merge, MergeTree, describe_merges
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from tests.examples import draw_rows, random_mixture
from tests.oracles import sklearn_mixture


def by_definition(shares: np.ndarray, weight: np.ndarray) -> list[tuple[set[int], float]]:
    """Merge by trying each pair and computing the entropy anew (Baudry et al. 2010, section 3)."""
    clusters = [({j}, shares[j]) for j in range(len(shares))]
    found = []
    while len(clusters) > 1:
        tries = []
        for one, other in combinations(range(len(clusters)), 2):
            rest = [clusters[c] for c in range(len(clusters)) if c not in (one, other)]
            merged = [*rest, (clusters[one][0] | clusters[other][0], clusters[one][1] + clusters[other][1])]
            tries.append((float(entropy(np.array([part for _, part in merged]), axis=0) @ weight), merged))
        lowest, clusters = min(tries, key=lambda pair: pair[0])
        found.append((clusters[-1][0], lowest))
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_merges_are_those_of_the_definition(weighted, rng):
    mixture = random_mixture("full", 6, 2, rng, spread=1.5)
    rows, _ = draw_rows(mixture, 300, rng)
    weight = rng.uniform(0, 2, 300) if weighted else np.ones(300)
    tree = MergeTree.of(mixture, rows, weight if weighted else None)
    expected = by_definition(sklearn_mixture(mixture).predict_proba(rows.T).T, weight / weight.sum())
    assert [set(one.first) | set(one.second) for one in tree.merges] == [members for members, _ in expected]
    np.testing.assert_allclose(tree.entropies[1:], [value for _, value in expected], atol=1e-9)
    assert [one.clusters for one in tree.merges] == [5, 4, 3, 2, 1]


def test_two_halves_of_one_cluster_are_merged_first_and_the_bend_is_there(rng):
    # Three clusters: two of two halves each, side by side, and a third of one component.
    means = [[0.0, 0.0], [0.5, 0.0], [20.0, 0.0], [20.5, 0.0], [0.0, 20.0]]
    mixture = MixtureParameters(np.full(5, 0.2), means, np.ones(5), "spherical")
    tree = MergeTree.of(mixture, draw_rows(mixture, 2000, rng)[0])
    assert tree.suggested == 3
    assert tree.clusters(3) == ((0, 1), (2, 3), (4,))
    assert tree.clusters(5) == ((0,), (1,), (2,), (3,), (4,))
    assert tree.clusters(1) == ((0, 1, 2, 3, 4),)
    assert MergeTree.drawn(mixture).clusters(3) == tree.clusters(3)
    with pytest.raises(ParameterError, match="n=6"):
        tree.clusters(6)


def test_a_bend_is_slight_unless_merges_after_it_take_little_of_the_entropy() -> None:
    def bend(entropies: tuple[float, float, float]) -> MergeTree:
        merges = (Merge((0,), (1,), 3, entropies[0], 0.5), Merge((0, 1), (2,), 2, entropies[1], 0.75))
        return MergeTree(4, 1.0, (*merges, Merge((0, 1, 2), (3,), 1, entropies[2], 1.0)), 3)

    clear, slight = bend((0.1, 0.05, 0.0)), bend((0.6, 0.3, 0.0))
    assert (clear.is_slight, slight.is_slight) == (False, True)
    assert (clear.left, slight.left) == pytest.approx((0.1, 0.6))
    assert "90 % of all doubt" in describe_merges(clear)
    assert "they probably belong to one cluster" in describe_merges(clear)
    assert "they may be one cluster, or several that overlap" in describe_merges(slight)


def test_components_apart_need_no_merging(rng):
    for k in (1, 2, 3, 5):
        mixture = MixtureParameters(np.full(k, 1 / k), 100.0 * np.arange(k)[:, None], np.ones(k), "spherical")
        assert MergeTree.of(mixture, draw_rows(mixture, 500, rng)[0]).suggested == k


def test_of_three_components_two_that_overlap_are_one_cluster(rng):
    mixture = MixtureParameters(np.full(3, 1 / 3), [[0.0], [0.5], [50.0]], np.ones(3), "spherical")
    tree = MergeTree.of(mixture, draw_rows(mixture, 500, rng)[0])
    assert (tree.suggested, tree.clusters(2)) == (2, ((0, 1), (2,)))


def test_a_tree_survives_json(rng):
    mixture = random_mixture("diag", 4, 2, rng)
    tree = MergeTree.drawn(mixture)
    assert MergeTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree
    changes: list[dict[str, object]] = [{"merges": []}, {"suggested": 9}, {"n_components": None}]
    for change in changes:
        with pytest.raises(ParameterError, match="not a merge tree"):
            MergeTree.from_dict(tree.to_dict() | change)
