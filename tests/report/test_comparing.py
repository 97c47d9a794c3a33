from __future__ import annotations

import pytest

from gmm_spark import MixtureParameters
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
