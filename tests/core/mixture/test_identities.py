"""Ids and names stay with the rows: components permuted, moved, split, merged, removed and new, over several models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gmm_spark.core.mixture.changes import describe_changes, list_changes
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.matching import match_components, pair_components
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from tests.examples import COVARIANCE_TYPES, random_mixture

MEANS = np.array([[0.0, 0], [20, 0], [0, 20], [20, 20]])
STEP = np.array([[0, 0], [1, 0], [0, 0], [0, 0]])  # of the second


def mixture(means, weights=None) -> MixtureParameters:
    means = np.asarray(means, float)
    weights = np.full(len(means), 1 / len(means)) if weights is None else weights
    return MixtureParameters(weights, means, np.full(means.shape, 4.0), "diag")


def follow(before: MixtureParameters, after: MixtureParameters, known: Identities):
    matching = match_components(before, after)
    found = known.carry(matching)
    return found, list_changes(matching, known, found, before.class_weights.tolist(), after.class_weights.tolist())


def kinds(changes) -> dict:
    return {one.id: (one.kind, one.other) for one in changes}


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_permuted_components_keep_their_ids_and_names(kind, rng):
    before, order = random_mixture(kind, 6, 3, rng), rng.permutation(6)
    shared = before.covariances if kind == "tied" else before.covariances[order]
    after = MixtureParameters(before.weights[order], before.means[order], shared, kind)
    known = Identities((4, 9, 0, 2, 7, 3), ("calm", None, "storm", None, None, None), 12)
    found, changes = follow(before, after, known)
    assert found.ids == tuple(known.ids[i] for i in order)
    assert found.names == tuple(known.names[i] for i in order)
    assert found.next_id == 12
    assert {one.kind for one in changes} == {"kept"}


@pytest.mark.parametrize("by", [1.5, 4.0, 9.0])
def test_one_that_moves_keeps_its_id_while_no_other_is_nearer(by):
    known = Identities.fresh(4).rename({1: "drifting"})
    found, changes = follow(mixture(MEANS), mixture((MEANS + by * STEP)[::-1]), known)
    assert found.ids == (3, 2, 1, 0)
    assert found.names[2] == "drifting"
    moved = next(one for one in changes if one.id == 1)
    assert (moved.kind, moved.before, moved.after, moved.label) == ("moved", 1, 2, "1 (drifting)")
    assert moved.distance == pytest.approx(by / 2, rel=0.01)
    assert [one.kind for one in changes if one.id != 1] == ["kept"] * 3


def test_the_larger_part_of_a_split_keeps_the_id_and_the_other_gets_a_new_one():
    before = mixture(MEANS[:2], [0.6, 0.4])
    after = mixture([[1.5, 0], [20, 0], [-3, 0]], [0.4, 0.4, 0.2])
    found, changes = follow(before, after, Identities((5, 8), ("a", "b"), 9))
    assert (found.ids, found.names, found.next_id) == ((5, 8, 9), ("a", "b", None), 10)
    assert kinds(changes)[9] == ("split", 5)
    assert describe_changes(changes).endswith("9 was split off from 5")


def test_one_that_is_merged_goes_and_its_id_is_not_given_again():
    before = mixture([[1.5, 0], [20, 0], [-3, 0]], [0.4, 0.4, 0.2])
    after = mixture(MEANS[:2], [0.6, 0.4])
    found, changes = follow(before, after, Identities((0, 1, 2), (None, None, "gone with its name"), 3))
    assert (found.ids, found.next_id) == ((0, 1), 3)
    assert kinds(changes)[2] == ("merged", 0)
    again, changes = follow(after, before, found)
    assert (again.ids, again.names[2]) == ((0, 1, 3), None)
    assert kinds(changes)[3] == ("split", 0)


def test_one_that_is_removed_goes_and_one_elsewhere_is_new():
    found, changes = follow(mixture(MEANS), mixture([*MEANS[1:], [-90, -90]]), Identities.fresh(4))
    assert (found.ids, found.next_id) == ((1, 2, 3, 4), 5)
    assert kinds(changes)[0] == ("gone", None)
    assert kinds(changes)[4][0] == "new"
    assert describe_changes(changes) == "3 components keep their ids; 4 is new; 0 has gone"


def test_a_rare_component_is_followed_as_a_common_one_is():
    weights = [0.5 - 5e-7, 0.5 - 5e-7, 1e-6]
    found, _ = follow(mixture(MEANS[:3], weights), mixture(MEANS[[2, 0, 1]], [1e-6, *weights[:2]]), Identities.fresh(3))
    assert found.ids == (2, 0, 1)


def test_another_structure_and_another_number_of_components_keep_what_is_the_same():
    after = MixtureParameters([0.5, 0.25, 0.25], MEANS[[3, 0, 1]], np.full(3, 4.0), "spherical")
    found, changes = follow(mixture(MEANS), after, Identities.fresh(4))
    assert found.ids == (3, 0, 1)
    assert kinds(changes)[2][0] == "gone"


def test_components_that_overlap_wholly_are_their_own_counterparts():
    before = MixtureParameters([0.5, 0.3, 0.2], [[0.0], [0.1], [0.2]], [[1.0], [1.1], [0.9]], "diag")
    found, changes = follow(before, before, Identities((2, 1, 0), (None,) * 3, 3))
    assert found.ids == (2, 1, 0)
    assert [one.shared for one in changes] == pytest.approx([1] * 3)


def test_noise_is_itself_whatever_k_is_and_may_come_and_go():
    def noisy(means) -> MixtureParameters:
        return mixture(means).with_noise(Noise(0.1, [-50.0, -50.0], [50.0, 50.0]))

    known = Identities((0, 1, 2), (None, None, "noise"), 3)
    found, changes = follow(noisy(MEANS[:2]), noisy(MEANS[[2, 1, 0]]), known)
    assert (found.ids, found.names[-1]) == ((3, 1, 0, 2), "noise")
    assert [(one.kind, one.before, one.after) for one in changes if one.id == 2] == [("kept", 2, 3)]
    without, changes = follow(noisy(MEANS[:2]), mixture(MEANS[:2]), known)
    assert (without.ids, kinds(changes)[2][0]) == ((0, 1), "gone")
    again, changes = follow(mixture(MEANS[:2]), noisy(MEANS[:2]), without)
    assert (again.ids, kinds(changes)[3][0]) == ((0, 1, 3), "new")


def test_components_in_a_known_order_are_paired_by_it():
    found = pair_components(mixture(MEANS[:2]), mixture(MEANS[1::-1]))
    assert [(one.before, one.after, one.shared < 0.01) for one in found.matches] == [(0, 0, True), (1, 1, True)]


def test_names_are_given_taken_away_and_checked():
    known = Identities.fresh(3).rename({0: "a", 2: "b"})
    assert known.rename({0: None, 2: "a"}).names == (None, None, "a")
    assert (known.label(0), known.label(1), known.is_plain, Identities.fresh(3).is_plain) == ("0 (a)", "1", False, True)
    for names, message in (({3: "c"}, "no component has the id 3; the ids are 0, 1, 2"), ({1: "a"}, "different texts")):
        with pytest.raises(ParameterError, match=message):
            known.rename(names)
    with pytest.raises(ParameterError, match="1 to 200 characters"):
        known.rename({1: " "})


def test_identities_survive_json_and_damaged_ones_are_refused():
    known = Identities((3, 0), ("ü", None), 4)
    assert Identities.from_dict(json.loads(json.dumps(known.to_dict())), 2) == known
    for changed in (
        {"ids": [3, 3]},
        {"ids": [3, -1]},
        {"ids": [True, 0]},
        {"nextId": 3},
        {"nextId": 1 << 40},
        {"names": ["a", "a"]},
        {"names": [1, None]},
        {"names": ["a"]},
        {"ids": 3},
        {"ids": [1, 2, 3], "names": [None] * 3},
    ):
        with pytest.raises(ParameterError):
            Identities.from_dict(known.to_dict() | changed, 2)
