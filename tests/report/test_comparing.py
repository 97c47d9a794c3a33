from __future__ import annotations

import numpy as np
import pytest

from gmm_spark import MixtureParameters
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.errors import DataError
from gmm_spark.report.comparing import render_comparison
from gmm_spark.report.subject import Setting
from tests.report.pages import require_sound
from tests.report.subjects import HOSTILE, build_facts, build_parameters, build_portrait, build_subject

SECTIONS = ("verdict", "fitted", "components", "moves", "fit", "checks", "cost")


def move(parameters: MixtureParameters, by: float) -> MixtureParameters:
    """Move the first component along the first feature, in its standard deviations."""
    means = parameters.means.copy()
    means[0, 0] += by * parameters.deviations[0, 0]
    return MixtureParameters(parameters.weights, means, parameters.covariances, parameters.covariance_type)


@pytest.mark.parametrize(("by", "word"), [(0.0, "Alike"), (1.5, "Moved"), (50.0, "Changed")])
def test_the_verdict_says_whether_components_moved(by: float, word: str) -> None:
    parameters = build_parameters()
    sides = [build_subject(one, facts=build_facts()) for one in (parameters, move(parameters, by))]
    page = require_sound(render_comparison(*sides), SECTIONS)
    assert f" {word} " in page.words.split("What is compared")[0]
    assert ("x0: +1.50 sd" in page.words) == (by == 1.5)
    assert ("Gone: component 0" in page.words) == (by == 50.0)


def test_a_component_that_moved_far_alone_has_not_gone_and_changes_the_verdict() -> None:
    parameters = MixtureParameters([0.5, 0.5], [[0.0, 0.0], [900.0, 0.0]], np.ones((2, 2)), "diag")
    words = require_sound(render_comparison(*map(build_subject, (parameters, move(parameters, 50)))), SECTIONS).words
    assert "1 component moved to where it shares nothing with itself, 0 moved less far" in words
    assert "Gone: component" not in words


def test_ids_and_names_are_told_with_what_was_split_gone_and_merged() -> None:
    means = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    before = MixtureParameters([0.4, 0.4, 0.2], means, np.ones((3, 2)), "diag")
    after = MixtureParameters([0.4, 0.4, 0.2], means[[1, 0, 0]] + [[0, 0], [1, 0], [-2, 0]], np.ones((3, 2)), "diag")
    sides = (
        build_subject(before, identities=Identities((0, 4, 5), (None, HOSTILE[0], None), 6)),
        build_subject(after, identities=Identities((4, 0, 6), (HOSTILE[0], None, None), 7)),
    )
    words = require_sound(render_comparison(*sides), SECTIONS).words
    assert f"1, id 4 ({HOSTILE[0]}) 0, id 4 ({HOSTILE[0]})" in words
    assert "Gone: component 2, id 5, which had 20" in words
    assert "New: component 2, id 6 with 20" in words
    assert "its rows were in 0, id 0 before: it was split off" in words
    merged = require_sound(render_comparison(*sides[::-1]), SECTIONS).words
    assert "most of its rows are now in 0, id 0: it was merged" in merged


def test_a_mixture_saved_without_ids_is_said_to_be() -> None:
    parameters = build_parameters()
    sides = (
        build_subject(parameters, identities=Identities.fresh(3, recorded=False)),
        build_subject(parameters, identities=Identities.fresh(3).rename({2: "x"})),
    )
    words = require_sound(render_comparison(*sides), SECTIONS).words
    assert "The earlier mixture was saved without ids: they are taken as 0 to k - 1." in words


def test_of_fits_to_the_same_rows_the_better_is_told_and_moves_that_are_none_are_not() -> None:
    files = {"input": {"files": {"checksum": "c"}}}
    before = build_subject(facts=build_facts(**files))
    after = build_subject(facts=build_facts(**files, fit={"bic": 4990.0}))
    words = require_sound(render_comparison(before, after), SECTIONS).words
    told = "Both were fitted to the same rows. The later has the lower BIC, by 10: it describes them better."
    assert words.count(told) == 2  # beside the verdict too
    assert "No mean of a component that has its counterpart moved by 0.01 standard deviations or more." in words
    fewer = build_subject(facts=build_facts(**files, rows={"read": 1000, "used": 800}))
    assert "do not say which is better" in render_comparison(before, fewer)


def test_features_in_another_order_are_the_same_features() -> None:
    parameters = build_parameters()
    turned = MixtureParameters(
        parameters.weights, parameters.means[:, ::-1], parameters.covariances[:, ::-1, ::-1], "full"
    )
    page = render_comparison(build_subject(parameters, ("a", "b")), build_subject(turned, ("b", "a")))
    assert "Alike" in require_sound(page, SECTIONS).words


def test_other_features_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="only before has a, only after c"):
        render_comparison(build_subject(names=("a", "b")), build_subject(names=("b", "c")))


def test_settings_and_checks_that_differ_are_told() -> None:
    check = {"code": "k-at-edge", "severity": "warning", "meaning": "m", "remedy": "r"}
    parameters = build_parameters(2, 5)
    portrait = build_portrait(parameters, HOSTILE)
    before = build_subject(parameters, HOSTILE, facts=build_facts(), portrait=portrait)
    after = build_subject(
        move(parameters, 0.1),
        HOSTILE,
        facts=build_facts(checks=[check]),
        settings=[Setting("model.k", "7", "2", "Number")],
        portrait=portrait,
    )
    page = require_sound(render_comparison(before, after), SECTIONS)
    assert "model.k 2 7" in page.words
    assert "Only after" in page.words
    assert "k-at-edge" in page.words
