from __future__ import annotations

import html
from typing import Any

import pytest

from gmm_spark.core.formatting import show_name
from gmm_spark.report.facts import Facts
from gmm_spark.report.single import write_report
from tests.report.pages import require_sound
from tests.report.subjects import HOSTILE, build_facts, build_parameters, build_subject

SHAPES = [(1, 1, "full"), (3, 2, "full"), (50, 40, "diag"), (2, 7, "full")]


@pytest.mark.parametrize(("k", "d", "kind"), SHAPES)
def test_a_page_is_whole_and_fetches_nothing(k: int, d: int, kind: str) -> None:
    page = require_sound(write_report(build_subject(build_parameters(k, d, kind), facts=build_facts())))
    assert f"{k} component" in page.words
    assert page.open == []


def test_a_model_without_a_run_says_what_is_not_known() -> None:
    page = require_sound(write_report(build_subject()))
    assert "Not judged" in page.text
    assert "there is no run report" in page.text


def test_names_and_values_of_users_are_shown_whole_and_run_nothing() -> None:
    skipped = {f"null feature in {name}": 5 for name in HOSTILE}
    checks = [
        {"code": "x", "severity": "serious", "meaning": f"column {name!r}", "remedy": name, "column": name}
        for name in HOSTILE
    ]
    facts = build_facts(
        rows={"read": 100, "used": 75, "skipped": skipped},
        checks=checks,
        configuration={"input": {"path": HOSTILE[0], "where": HOSTILE[1]}, "model": {}},
        versions={HOSTILE[0]: HOSTILE[1]},
    )
    subject = build_subject(build_parameters(2, 5), HOSTILE, facts=facts, path=HOSTILE[0], scores=facts)
    written = write_report(subject)
    page = require_sound(written)
    for name in HOSTILE:
        assert show_name(name) in page.text
        assert "<script>alert" not in written
    assert html.escape(HOSTILE[0]) in written
    assert "\u202e" not in written


def test_a_report_of_any_form_makes_a_page() -> None:
    keys = ("rows", "fit", "checks", "seconds", "spark", "versions", "configuration", "selection", "resume", "input")
    odds: list[Any] = [
        None,
        5,
        "text",
        [],
        [1, None, "x", {"code": 3}],
        {"a": {"b": []}},
        {"history": [None], "skipped": [1]},
    ]
    for odd in odds:
        require_sound(write_report(build_subject(facts=Facts(dict.fromkeys(keys, odd)))))


@pytest.mark.parametrize(
    ("severities", "word"),
    [
        ([], "Pass"),
        (["info"], "Pass"),
        (["warning", "info"], "Look"),
        (["serious", "warning"], "Stop"),
        (["new"], "Look"),
    ],
)
def test_the_verdict_is_that_of_the_worst_check(severities: list[str], word: str) -> None:
    checks = [{"code": f"c{i}", "severity": one, "meaning": "m", "remedy": "r"} for i, one in enumerate(severities)]
    page = require_sound(write_report(build_subject(facts=build_facts(checks=checks))))
    strip = page.words.split("What was fitted on what")[0]
    assert f" {word} " in strip
    assert all(f"c{i}" in strip for i in range(len(severities)))


def test_rows_are_told_by_reason_and_column() -> None:
    page = require_sound(write_report(build_subject(facts=build_facts())))
    assert "skipped: null feature x0 60 6.0 %" in page.words
    assert "skipped: NaN x1 40 4.0 %" in page.words


def test_a_long_history_is_cut_in_the_middle_and_says_so() -> None:
    history = [{"iteration": i, "lower_bound": -3.0 + i, "step": "plain"} for i in range(1, 101)]
    page = require_sound(write_report(build_subject(facts=build_facts(fit={"converged": False, "history": history}))))
    assert "the first 15 and the last 15 of 100" in page.words
    assert "100 plain" in page.words
