from __future__ import annotations

import ast
import html
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gmm_spark.core.formatting import show_name
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.facts import Facts
from gmm_spark.report.single import render_report
from gmm_spark.report.subject import UnlikelyRow
from tests.core.drift.profiles import MIXTURE, draw, profile_of
from tests.report.pages import require_sound
from tests.report.subjects import HOSTILE, build_facts, build_parameters, build_portrait, build_subject

SHAPES = [(1, 1, "full"), (3, 2, "full"), (50, 40, "diag"), (2, 7, "full")]


@pytest.mark.parametrize(("k", "d", "kind"), SHAPES)
def test_a_page_is_whole_and_fetches_nothing(k: int, d: int, kind: str) -> None:
    page = require_sound(render_report(build_subject(build_parameters(k, d, kind), facts=build_facts())))
    assert f"{k} component" in page.words
    assert page.open == []


@pytest.mark.parametrize(("k", "d", "kind"), SHAPES)
def test_a_page_with_a_portrait_is_whole_and_misses_nothing(k: int, d: int, kind: str) -> None:
    parameters = build_parameters(k, d, kind)
    portrait = build_portrait(parameters)
    page = require_sound(render_report(build_subject(parameters, facts=build_facts(), portrait=portrait)))
    assert page.tags.count("svg") >= 2
    assert "one pass over the table" not in page.words
    assert "could not be drawn" not in page.words


def test_the_page_of_a_very_large_mixture_stays_small_and_says_what_it_leaves_out() -> None:
    page = require_sound(render_report(build_subject(build_parameters(120, 90, "diag"), facts=build_facts())))
    assert "The 50 of 90 features in which the components differ most are listed" in page.words


def test_features_that_are_described_poorly_stand_beside_the_verdict() -> None:
    fitted = build_parameters(2, 2)
    portrait = Portrait.of(fitted, np.random.default_rng(0).normal(0.0, 500.0, (2, 4000)))
    page = require_sound(render_report(build_subject(fitted, facts=build_facts(), portrait=portrait)))
    assert "2 of 2 features are described poorly: x0, x1." in page.words.split("Rows, and why some")[0]


def test_the_first_screen_says_why_to_trust_the_fit() -> None:
    parameters = build_parameters(2, 2)
    facts = build_facts()
    subject = build_subject(parameters, facts=facts, portrait=build_portrait(parameters))
    strip = require_sound(render_report(subject)).words.split("What was fitted on what")
    said = " ".join(strip[:2])
    assert (
        "90.0 % of the rows were used; the others were left out: 60 with a null feature in x0, 40 with a NaN in x1."
        in said
    )
    assert "of the rows are certain of their component: its responsibility is 0.9 or more." in said
    assert "EM has converged; 3 of 10 starts ended where the best did." in said
    assert "2 features: 2 described well, none poorly." in said
    assert "k = 2 and full covariances were given: no others were tried." in said
    lost = build_facts(fit={"converged": False, "history": [{"lower_bound": 1.0, "remaining": 0.25}]})
    assert "EM has not converged: more passes would gain about 0.25 nats per row." in render_report(
        build_subject(facts=lost)
    )


def test_the_least_likely_rows_are_listed_only_if_given() -> None:
    assert "least likely rows of the table" not in render_report(build_subject())
    rows = (UnlikelyRow(-99.5, 1, (4.25, 7.5), ((1, -8.25), (0, 0.5))),)
    page = require_sound(render_report(build_subject(names=("<i>", "b"), unlikely=rows)))
    assert "−99.5 1 b 8.2 sd below; <i> 0.5 sd above 4.25 7.5" in page.words


def test_a_page_without_rows_says_in_which_features_the_least_likely_are_off_and_how_to_list_them() -> None:
    parameters = build_parameters(2, 2)
    portrait = build_portrait(parameters, ("usual", "odd"), n=4000)
    far, spreads = portrait.other_means + np.array([0.0, 9.0]) * portrait.other_spreads, portrait.other_spreads
    portrait = replace(portrait, least_likely_means=far, least_likely_spreads=spreads)
    subject = build_subject(parameters, ("usual", "odd"), portrait=portrait, report_command="gmm-spark report models/a")
    page = require_sound(render_report(subject))
    assert "are farthest off in odd." in page.words
    table = page.words.split("in sd of the other rows")[1]
    assert re.match(r" odd \S+ ± \S+ \S+ ± \S+ 9.1 usual \S+ ± \S+ \S+ ± \S+ 1 ", table)  # sqrt(9^2 + 1), and as usual
    assert "gmm-spark report models/a --input.path TABLE --anomalies 20" in page.words
    in_memory = render_report(build_subject(model_path=""))
    assert 'write_report(model, "page.html", table, anomalies=20)' in html.unescape(in_memory)


def test_where_the_mixture_reaches_and_no_row_is_stands_beside_the_fit_and_beside_sample() -> None:
    known = profile_of(draw(4000, seed=1))
    assert known.lows is not None
    subject = build_subject(MIXTURE, ("delay", "<b>"), training=known)
    assert "no row is" not in require_sound(render_report(subject)).words
    cut = replace(known, lows=np.array([0.0, known.lows[1]]))
    page = render_report(replace(subject, training=cut)).replace("\u00a0", " ")
    told = "34 % with delay below 0, the least value of any row"
    fit, use = (page.split(f'<section id="{id_}">')[1].split("</section>")[0] for id_ in ("fit", "use"))
    assert f"The mixture reaches where no row is: {told}." in fit
    assert f"Some drawn rows have values that no row has: {told}." in use
    older = replace(known, lows=None, highs=None)
    assert "no row is" not in require_sound(render_report(replace(subject, training=older))).words
    meaning = "the mixture reaches where no row is: 5 % with delay below 0."
    checks = build_facts(checks=[{"code": "mass-out-of-range", "severity": "info", "meaning": meaning}])
    incomplete = require_sound(render_report(replace(subject, training=None, facts=checks)))
    assert "values that no row has: 5 % with delay below 0. Drop" in incomplete.words


def test_of_a_wide_table_the_features_that_are_reasons_are_listed() -> None:
    rows = (UnlikelyRow(-99.5, 1, tuple(range(40)), ((39, -8.25), (0, 0.5), (7, 0.25))),)
    page = require_sound(render_report(build_subject(build_parameters(3, 40, "diag"), unlikely=rows)))
    assert "The 1 least likely rows of the table that was read, with 6 of 40 features" in page.words
    assert "x39 8.2 sd below; x0 0.5 sd above; x7 0.25 sd above 0 1 2 3 7 39" in page.words


def test_a_model_without_a_run_says_what_is_not_known() -> None:
    page = require_sound(render_report(build_subject()))
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
    parameters = build_parameters(2, 5)
    portrait = build_portrait(parameters, HOSTILE)
    subject = build_subject(parameters, HOSTILE, facts=facts, path=HOSTILE[0], scores=facts, portrait=portrait)
    written = render_report(subject)
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
        require_sound(render_report(build_subject(facts=Facts(dict.fromkeys(keys, odd)))))


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
    page = require_sound(render_report(build_subject(facts=build_facts(checks=checks), log_densities=None)))
    strip = page.words.split("What was fitted on what")[0]
    assert f" {word} " in strip
    assert all(f"c{i}" in strip for i in range(len(severities)))


def test_no_page_passes_a_mixture_that_describes_another_distribution() -> None:
    fitted = build_parameters(2, 2)
    unlike = Portrait.of(fitted, np.random.default_rng(0).normal(0.0, 500.0, (2, 4000)))
    page = require_sound(render_report(build_subject(fitted, facts=build_facts(), portrait=unlike)))
    assert "Look No check speaks against the fit. But what is marked ✕ below does" in page.words
    alike = require_sound(render_report(build_subject(fitted, facts=build_facts(), portrait=build_portrait(fitted))))
    assert "Pass No check speaks against the fit." in alike.words


def test_rows_are_told_by_reason_and_column() -> None:
    page = require_sound(render_report(build_subject(facts=build_facts())))
    assert "skipped: null feature x0 60 6.0 %" in page.words
    assert "skipped: NaN x1 40 4.0 %" in page.words


def test_a_long_history_is_cut_in_the_middle_and_says_so() -> None:
    history = [{"iteration": i, "lower_bound": -3.0 + i, "step": "plain"} for i in range(1, 101)]
    page = require_sound(render_report(build_subject(facts=build_facts(fit={"converged": False, "history": history}))))
    assert "the first 15 and the last 15 of 100" in page.words
    assert "100 plain" in page.words


def test_what_is_to_be_copied_into_python_is_python() -> None:
    page = render_report(build_subject(model_path='it\'s "odd"\n/model'))
    blocks = [html.unescape(text) for text in re.findall(r"<pre tabindex=0>(.*?)</pre>", page, re.DOTALL)]
    programs = [text for text in blocks if text.startswith("from gmm_spark import")]
    assert len(programs) == 2
    for text in programs:
        assert 'it\'s "odd"\n/model' in [
            one.value for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Constant)
        ]


def test_what_a_model_refuses_is_not_to_be_copied() -> None:
    plain = build_parameters()
    noisy = plain.with_noise(Noise(0.1, plain.means.min(axis=0) - 1, plain.means.max(axis=0) + 1))
    incomplete = Facts({"configuration": {"features": {"handle_invalid": "marginal"}}})
    whole, with_noise, with_holes = (
        render_report(build_subject(one, facts=facts))
        for one, facts in ((plain, build_facts()), (noisy, build_facts()), (plain, incomplete))
    )
    assert all(word in whole for word in ("setAnomalyCol", "--output.anomaly", "is_anomaly(rows)", "export"))
    assert not any(word in with_noise for word in ("setAnomalyCol", "--output.anomaly", "is_anomaly(rows)", "export "))
    assert "--features.handle_invalid marginal" in with_holes
    assert "export " not in with_holes
    assert "of the drawn rows" in whole
    assert "of the drawn rows" not in with_noise


def test_ids_changes_and_the_verdict_of_an_update_are_told() -> None:
    gone = {"id": 4, "name": HOSTILE[0], "kind": "merged", "other": 0, "weight_before": 0.25}
    kept = {"id": 0, "kind": "kept", "weight_before": 0.5, "weight": 0.75, "distance": 0.125}
    verdict = {"word": "refit", "reasons": ["rows differ"], "log_density": -5.5, "expected": -4.5}
    facts = build_facts(
        components={"previous": {"run_id": "monday"}, "changes": [kept, gone, {}, 7]},
        update={"day": "tuesday", "verdict": verdict},
    )
    known = Identities((0, 7, 9), (None, "late", None), 10)
    words = require_sound(render_report(build_subject(facts=facts, identities=known))).words
    assert "Components since monday" in words
    assert f"4 ({HOSTILE[0]}) merged, into 0 25" in words
    assert "7 (late)" in words
    assert "An update by the rows of tuesday alone" in words
    assert "Its verdict: refit. rows differ." in words


def test_a_page_of_rows_with_missing_values_says_what_it_compares() -> None:
    parameters = build_parameters(3, 3)
    rows = draw_chunk(parameters, component_counts(parameters, 2000, seed=1), 1, 0)[0]
    rows[0, ::4], rows[2, ::5] = np.nan, np.nan
    missing = {"rows": 360, "columns": {"x0": 225, "<x2>": 180}, "patterns": 3}
    facts = build_facts(rows={"read": 900, "used": 900, "effective": 900.0, "skipped": {}, "missing": missing})
    by_pattern = {
        write_pattern(np.array([True, False, False])): LogDensityHistogram(
            0.0, bin_weights(np.ones(20_000), np.ones(20_000))
        )
    }
    subject = build_subject(
        parameters, facts=facts, portrait=Portrait.of(parameters, rows), log_densities_by_pattern=by_pattern
    )
    words = require_sound(render_report(subject)).words
    assert "All 900 rows were used. 40.0 % of those used have missing values." in words
    assert "360 of the rows used lack 2 columns in all, in 3 patterns" in words
    assert "25.0 %" in words
    assert "40.0 % of the rows have missing values. A log-density is over the features that a row has" in words
    assert "With a fraction of 0.1 % it is the quantile of their own rows for 1 of the 3 patterns" in words
    assert "For the other 2 rows were too few to measure it" in words
    assert "could not be drawn" not in words


def test_a_page_of_complete_rows_is_silent_about_missing_values() -> None:
    parameters = build_parameters(2, 2)
    words = require_sound(
        render_report(build_subject(parameters, facts=build_facts(), portrait=build_portrait(parameters)))
    ).words
    assert "missing values" not in words.split("How to use")[0]
