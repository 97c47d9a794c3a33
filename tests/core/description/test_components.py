"""Sentences say what makes a component different, in the units of the table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gmm_spark.core.description.components import describe_components, relate_features
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from tests.examples import draw_rows, random_mixture
from tests.oracles import sklearn_mixture

NAMES = ["delay", "distance"]


def test_what_is_higher_lower_wider_and_related_is_said() -> None:
    mixture = MixtureParameters(
        [0.6, 0.2, 0.2],
        [[2.0, 900.0], [95.4, 900.0], [2.0, 60.0]],
        np.array([[[9.0, 0.0], [0.0, 1e4]], [[900.0, 2400.0], [2400.0, 1e4]], [[9.0, 0.0], [0.0, 100.0]]]),
    )
    described = describe_components(mixture, NAMES, rows=1000)
    assert described[1].sentence == (
        "Much higher delay (95; others 2), somewhat higher distance (900; others 690) and wider in delay (sd 30; "
        "others 3). Within it delay and distance rise together (correlation 0.80; in the others 0.00)."
    )
    assert described[2].sentence == (
        "Much lower distance (60; others 900), somewhat lower delay (2; others 25.4) and narrower in distance (sd 10; "
        "others 100)."
    )
    assert [one.rows for one in described] == pytest.approx([600, 200, 200])
    assert [(one.feature, one.kind) for one in described[1].differences] == [
        (0, "level"),
        (1, "level"),
        (0, "spread"),
    ]
    assert described[1].differences[0].value == 95.4


def test_a_correlation_is_told_of_a_component_only_if_it_is_unlike_that_of_the_others() -> None:
    related, unrelated = [[1.0, 0.9], [0.9, 1.0]], [[1.0, 0.1], [0.1, 1.0]]
    means = [[0.0, 0.0], [9.0, 0.0], [18.0, 0.0]]
    alike = MixtureParameters(np.ones(3) / 3, means, np.array([related] * 3))
    assert not any("Within" in one.sentence for one in describe_components(alike, NAMES))
    assert "delay and distance rise together (correlation 0.90 on average)" in relate_features(alike, NAMES)
    unlike = MixtureParameters(np.ones(3) / 3, means, np.array([related, related, unrelated]))
    described = describe_components(unlike, NAMES)
    assert described[2].sentence.endswith("hardly go together (correlation 0.10; in the others 0.90).")
    assert relate_features(MixtureParameters([1.0], [[0.0, 0.0]], np.array([unrelated])), NAMES) == ""


def test_the_only_component_and_one_like_all_others_and_one_without_weight() -> None:
    (alone,) = describe_components(MixtureParameters([1.0], [[1.0]], [4.0], "spherical"), ["x"])
    assert alone.sentence == "The only component."
    assert (alone.nearest, alone.overlap, alone.certain, alone.rows) == (None, 0.0, None, None)
    assert alone.tightness == pytest.approx(1.0)
    like = MixtureParameters([0.5, 0.5, 0.0], [[0.0], [0.1], [9.0]], np.ones(3), "spherical")
    described = describe_components(like, ["x"])
    assert described[0].sentence == "Much like all others together in each feature alone."
    assert described[2].sentence.startswith("Without weight")
    assert described[0].nearest == 1


def test_tightness_is_relative_to_the_spread_of_drawn_rows(covariance_type, rng) -> None:
    mixture = random_mixture(covariance_type, 3, 2, rng)
    rows, components = draw_rows(mixture, 50_000, rng)
    for j, one in enumerate(describe_components(mixture, NAMES)):
        ratio = rows[:, components == j].std(axis=1) / rows.std(axis=1)
        assert one.tightness == pytest.approx(np.sqrt(ratio.prod()), rel=0.03)


def test_overlap_is_the_integral_of_the_root_of_two_densities() -> None:
    mixture = MixtureParameters([0.2, 0.3, 0.5], [[0.0], [2.0], [30.0]], [1.0, 2.0, 1.0], "spherical")
    one = describe_components(mixture, ["x"])[0]
    densities = norm(0, 1).pdf, norm(2, np.sqrt(2)).pdf
    expected = quad(lambda x: np.sqrt(densities[0](x) * densities[1](x)), -20, 20)[0]
    assert one.nearest == 1
    assert one.overlap == pytest.approx(expected)


def test_certainty_is_the_share_of_its_rows_that_are_surely_its_own(rng) -> None:
    mixture = random_mixture("full", 3, 2, rng, spread=1.5)
    rows, _ = draw_rows(mixture, 1000, rng)
    shares = sklearn_mixture(mixture).predict_proba(rows.T)
    described = describe_components(mixture, NAMES, portrait=Portrait.of(mixture, rows))
    for j, one in enumerate(described):
        mine = shares.argmax(axis=1) == j
        assert one.certain == pytest.approx((shares[mine].max(axis=1) >= 0.9).mean())


def test_what_sets_a_component_apart_from_its_nearest_is_told_if_it_is_something_else() -> None:
    mixture = MixtureParameters(
        [0.4, 0.3, 0.3], [[0.0, 0.0], [3.0, 0.0], [99.0, 900.0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 25.0]], "diag"
    )
    _, second, far = describe_components(mixture, NAMES)
    assert (second.nearest, second.differences[0].size < 0) == (0, True)
    assert second.sentence.endswith(" Unlike its nearest, 0: much higher delay (3; 0 has 0).")
    assert [(one.feature, one.kind, one.value, one.others) for one in second.unlike_nearest] == [(0, "level", 3.0, 0.0)]
    assert "Unlike" not in far.sentence  # what sets it apart from all others does so from its nearest


def test_differences_from_the_nearest_come_by_their_part_in_the_distance_of_the_two() -> None:
    mixture = MixtureParameters(
        [0.4, 0.3, 0.3], [[0.0, 0.0], [0.6, 0.0], [90.0, 90.0]], [[1.0, 1.0], [1.0, 100.0], [1.0, 1.0]], "diag"
    )
    found = describe_components(mixture, NAMES)[0].unlike_nearest
    assert [(one.name, one.kind) for one in found] == [("distance", "spread"), ("delay", "level")]
    assert [one.size for one in found] == pytest.approx([-np.log2(10), -0.6])


def test_of_two_components_the_nearest_is_all_others() -> None:
    mixture = MixtureParameters([0.5, 0.5], [[0.0, 0.0], [9.0, 1.0]], np.ones(2), "spherical")
    assert not any("nearest" in one.sentence for one in describe_components(mixture, NAMES))
