"""Two fits beside each other: which describes its rows better, what checks say of each, what each took."""

from __future__ import annotations

from gmm_spark.core.description.fit import judge_features
from gmm_spark.core.formatting import show_count, show_number, show_seconds, show_share
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.subject import Subject
from gmm_spark.report.verdict import judge


def compare_fits(before: Subject, after: Subject) -> Section:
    """Say which describes its rows better."""
    both = [subject.facts for subject in (before, after)]
    blocks: list[Block] = []
    if all(both):
        names = {
            "lower_bound": "lower bound, nats per row",
            "bic": "BIC",
            "aic": "AIC",
            "log_likelihood": "log-likelihood",
        }
        rows = [
            [word(name), *(Cell(show_number(facts["fit"].number(key), 9)) for facts in both)]
            for key, name in names.items()
        ]
        blocks.append(Table("Likelihood", ["", "before", "after"], rows))
        better = tell_better(before, after)
        blocks.append(
            Text(better)
            if better
            else Text("Unless both were fitted to the same rows, these figures do not say which is better.", "look")
        )
    if before.portrait is not None and after.portrait is not None:
        fits = [
            {one.name: one for one in judge_features(subject.parameters, portrait)}
            for subject in (before, after)
            if (portrait := subject.shown_portrait) is not None
        ]
        rows = [
            [
                word(name),
                *(Cell(show_share(side[name].misplaced), min(side[name].misplaced, 1.0)) for side in fits),
            ]
            for name in fits[0]
        ]
        caption = "Rows in other bins than the mixture says; each side has bins of its own"
        blocks.append(Table(caption, ["feature", "before", "after"], rows))
    return Section("fit", "Which fits better", blocks or [Missing("Neither has a run report to compare.")])


def tell_better(before: Subject, after: Subject) -> str:
    """Say which has the better BIC, which weighs likelihood against size; an empty text if the rows may be others."""
    both = [subject.facts for subject in (before, after)]
    first, second = (facts["input"]["files"].text("checksum") for facts in both)
    if first is None or first != second or both[0]["rows"].number("used") != both[1]["rows"].number("used"):
        return ""
    earlier, later = (facts["fit"].number("bic") for facts in both)
    if earlier is None or later is None:
        return "Both were fitted to the same rows."
    if earlier == later:
        return "Both were fitted to the same rows, and have the same BIC."
    better, by = "later" if later < earlier else "earlier", show_number(abs(later - earlier), 4)
    return f"Both were fitted to the same rows. The {better} has the lower BIC, by {by}: it describes them better."


def compare_checks(before: Subject, after: Subject) -> Section:
    """Say what the checks of one have found, and those of the other have not."""
    first, second = (
        {(one.code, one.about): one for one in judge(subject.facts).findings} for subject in (before, after)
    )
    blocks: list[Block] = []
    for title, keys, side in (
        ("Only after", second.keys() - first.keys(), second),
        ("Only before", first.keys() - second.keys(), first),
        ("Both", first.keys() & second.keys(), second),
    ):
        rows = [
            [Cell(one.code, tone=one.tone, is_number=False), word(one.about), word(one.meaning), word(one.remedy)]
            for key, one in side.items()
            if key in keys
        ]
        if rows:
            blocks.append(Table(title, ["check", "about", "what it found", "what to change"], rows))
    return Section("checks", "Checks", blocks or [Text("No check speaks against either.")])


def compare_cost(before: Subject, after: Subject) -> Section:
    """Say what each took."""
    both = [subject.facts for subject in (before, after)]
    rows = [
        [word("seconds of the fit"), *(Cell(show_seconds(facts["seconds"].number("fit"))) for facts in both)],
        [word("seconds, all in all"), *(Cell(show_seconds(facts["seconds"].number("total"))) for facts in both)],
        [word("passes of EM"), *(Cell(show_count(facts["fit"].number("iterations"))) for facts in both)],
    ]
    return Section("cost", "Cost", [Table("What the fits took", ["", "before", "after"], rows)])
