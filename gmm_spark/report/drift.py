"""Drift: how the rows of the latest scores differ from the training rows."""

from __future__ import annotations

from gmm_spark.core.formatting import show_count, show_name, show_number, show_share
from gmm_spark.report.blocks import Block, Cell, Figures, Missing, Section, Table, Text, word
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Subject

# What the counts of a report of score are called.
_COUNTS = {
    "read": "rows read",
    "scored": "rows scored",
    "unscored": "rows kept without a score",
    "dropped": "rows dropped",
    "anomalies": "anomalies among them",
}


def describe_drift(subject: Subject) -> Section:
    """Say how the rows that were scored differ from those of the fit."""
    scores, drift = subject.scores, subject.scores["drift"]
    if not scores:
        return Section(
            "drift",
            "Drift of the latest scores",
            [
                Missing(
                    "No scores were given. Let score compare its rows and write a report, and name that report here.",
                    "gmm-spark score ... --drift.compare true --output.report score.json\n"
                    f"{subject.report_command} --scores score.json"
                    if subject.model_path
                    else "",
                )
            ],
        )
    rows: list[tuple[str, str]] = [("scores begun", show_name(scores.text("started") or "–"))]
    rows += [("run of the scores", show_name(run))] if (run := scores.text("run_id")) else []
    rows += [
        (_COUNTS.get(key, f"rows {show_name(key)}"), show_count(one.number()))
        for key, one in scores["rows"].items()
        if one.number() is not None
    ]
    blocks: list[Block] = [Figures(rows)]
    if (of := scores["model"].text("run_id")) is not None and of != subject.run_id:
        blocks.append(Text(f"These scores were made with another model: run {show_name(of)}.", "look"))
    if not drift.flag("compared"):
        reason = show_name(drift.text("reason") or "the report has no comparison")
        blocks.append(
            Missing(
                f"The rows were not compared with the training rows: {reason}.",
                "gmm-spark score ... --drift.compare true",
            )
        )
        return Section("drift", "Drift of the latest scores", blocks)
    if _are_training_rows(drift):
        blocks.append(
            Text("These are the rows that the mixture was fitted on: this says nothing about others.", "look")
        )
    verdict = drift.text("verdict") or ""
    largest = f"Largest change: {show_name(drift.text('largest_change') or '–')}."
    if verdict == "no limits":
        blocks.append(Text(f"{largest} No limits were set (drift.max_psi and others), so that nothing was judged."))
    else:
        blocks.append(
            Text(f"Verdict: {show_name(verdict)}. {largest}", "stop" if verdict == "beyond limits" else "pass")
        )
    blocks += [Text(show_name(one.text() or ""), "stop") for one in drift["exceeded"]]
    blocks += _list_changes(drift, subject)
    return Section("drift", "Drift of the latest scores", blocks)


def _are_training_rows(drift: Facts) -> bool:
    """Whether nothing at all differs from training: the same rows, to rounding."""
    scored, training = (drift["rows"].number(key) for key in ("scored", "training"))
    changes = [abs(change) for one in drift["components"] if (change := one.number("change")) is not None]
    moved = drift["log_density"].number("change")
    return scored is not None and scored == training and moved is not None and max([abs(moved), *changes]) < 1e-9


def _show_shift(shift: float | None) -> str:
    """Write a shift to the hundredth: less is chance."""
    return "–" if shift is None else "0" if abs(shift) < 0.005 else f"{shift:+.2f}"


def _list_changes(drift: Facts, subject: Subject) -> list[Block]:
    features = [
        [
            word(show_name(one.text("feature") or "?")),
            Cell(show_number(one.number("training_mean"))),
            Cell(show_number(one.number("mean"))),
            Cell(_show_shift(one.number("shift"))),
            Cell(show_number(one.number("spread_ratio"), 3)),
        ]
        for one in drift["features"]
    ]
    components = [
        [
            word(f"{one.number('component') or 0:.0f}"),
            Cell(show_share(one.number("training_share"))),
            Cell(show_share(one.number("share"))),
            Cell(show_share(one.number("change"))),
        ]
        for one in drift["components"]
    ]
    below = [
        [
            word(show_share(one.number("quantile"))),
            Cell(show_number(one.number("log_density"))),
            Cell(show_share(one.number("training_share"))),
            Cell(show_share(one.number("share"))),
        ]
        for one in drift["below"]
    ]
    return [
        *_list_missing(drift),
        Table(
            "Features",
            ["feature", "mean in training", "mean now", "shift, in standard deviations", "spread, as a multiple"],
            features,
        ),
        Table(
            "Shares of the rows by most probable component", ["component", "in training", "now", "change"], components
        ),
        Table(
            "Rows that are less likely than quantiles of the training rows",
            ["quantile", "log-density, nats", "in training", "now"],
            below,
        ),
    ]


def _list_missing(drift: Facts) -> list[Block]:
    """List how often each feature is missing, if values may be."""
    cells = [
        [
            word(show_name(one.text("feature") or "?")),
            Cell(show_share(one.number("training_share"))),
            Cell(show_share(one.number("share"))),
            Cell(show_share(one.number("change"))),
        ]
        for one in drift["missing"]["features"]
    ]
    if not cells:
        return []
    compared, scored = drift["missing"].number("compared_rows"), drift["rows"].number("scored")
    said = "A feature is compared over the rows that have it, and a row's log-density with those of training rows that "
    said += "lack the same features"
    if compared is not None and scored and compared < scored:
        said += f"; {show_share(1 - compared / scored)} of the rows had too few of these"
    return [
        Table("How often each feature is missing", ["feature", "in training", "now", "change"], cells),
        Text(f"{said}."),
    ]
