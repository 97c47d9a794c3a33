"""Anomalies: which log-density goes with which share of the rows, and how many alerts to expect."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gmm_spark.core.formatting import say_share, show_count, show_number, show_share, show_spread
from gmm_spark.core.kernels.histogram import find_threshold
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.drawing import draw
from gmm_spark.report.incomplete import tell_thresholds
from gmm_spark.report.subject import Subject

FRACTIONS = (0.0001, 0.001, 0.005, 0.01, 0.05)
_USUAL = 0.001  # the default of anomalyFraction
_ROWS = 1_000_000
# Features of the least likely rows that are listed: more columns do not fit on a page.
_FEATURES = 6
# Features in which the least likely rows are compared with the others: those in which they differ most.
_COMPARED = 6
_MANY = 20  # rows that a reader may ask for


def describe_anomalies(subject: Subject) -> Section:
    """Say which threshold goes with which fraction."""
    histogram = subject.log_densities
    if histogram is None:
        missing = Missing(
            "The model does not know how likely its training rows are: it was built from parameters, fitted to a table "
            "without complete rows, or saved by an older gmm-spark. Fit it again (model.initial_model starts from it)."
        )
        return Section("anomalies", "Anomalies", [missing, *tell_thresholds(subject, _USUAL), *_tell_unlikely(subject)])
    rows = []
    for fraction in FRACTIONS:
        try:
            threshold = find_threshold(histogram, fraction, subject.parameters.noise)
        except ParameterError:  # noise holds more rows than that
            continue
        expected = [fraction * _ROWS]
        if subject.training is not None:
            expected.append(fraction * subject.training.rows)
        rows.append(
            [Cell(show_share(fraction)), Cell(show_number(threshold, 5)), *(Cell(show_count(n)) for n in expected)]
        )
    head = ["fraction of the training rows", "log-density below, nats", f"anomalies in {_ROWS:,} rows like these"]
    if subject.training is not None:
        head.append("anomalies among the training rows")
    blocks: list[Block] = [
        Text(
            "A row is an anomaly if its log-density is below the threshold. The fraction is what you choose "
            "(output.anomaly_fraction, anomalyFraction): if new rows are like the training rows, that is the share of "
            "anomalies among them."
        ),
        Table("What a fraction means", head, rows),
        draw("draw_log_densities", histogram, histogram.quantile(_USUAL)),
    ]
    noise = subject.parameters.noise
    if noise is not None:
        blocks.insert(
            1,
            Text(
                f"The mixture has noise, with {show_share(noise.weight)} of the weight: rows that are predicted to be "
                f"number {subject.parameters.n_components} belong to no component. No row is less likely than noise "
                "alone makes it, so a fraction of the rows that noise exceeds has no threshold, and is not listed."
            ),
        )
    blocks += tell_thresholds(subject, _USUAL)
    blocks += _tell_unlikely(subject)
    return Section("anomalies", "Anomalies", blocks)


def _tell_unlikely(subject: Subject) -> list[Block]:
    """Say what makes rows unlikely: of a portrait's least likely all together, and of rows that were asked for."""
    told = [] if subject.shown_portrait is None else _compare_unlikely(subject.shown_portrait)
    if subject.unlikely:
        return [*told, *_list_unlikely(subject)]
    asked = Missing(
        "No rows are listed here: they are data, and whoever gets the page sees them. This lists the least likely rows "
        "of a table, and why each is odd.",
        subject.anomalies_command(_MANY),
    )
    return [*told, asked]


def _compare_unlikely(portrait: Portrait) -> list[Block]:
    """Compare the least likely rows, all together, with the others: the features in which they differ most."""
    # Densities of rows that lack different features do not compare: if values are missing, these are complete rows.
    whole = 1.0 if portrait.observed is None else 1.0 - portrait.observed.incomplete
    if not 0 < portrait.least_likely < whole * portrait.weight_sum:
        return []
    means, spreads = portrait.least_likely_means, portrait.least_likely_spreads
    unit = np.where(portrait.other_spreads > 0, portrait.other_spreads, np.inf)
    # How far off a row is on average, whatever the side: 1 for the others.
    off = np.sqrt((means - portrait.other_means) ** 2 + spreads**2) / unit
    order = np.argsort(-off, kind="stable")[:_COMPARED].tolist()
    rows = [
        [
            word(portrait.feature_names[i]),
            Cell(show_spread(float(means[i]), float(spreads[i]))),
            Cell(show_spread(float(portrait.other_means[i]), float(portrait.other_spreads[i]))),
            Cell(show_number(float(off[i]), 2)),
        ]
        for i in order
    ]
    share = say_share(portrait.least_likely / (whole * portrait.weight_sum))
    of_rows = "rows" if portrait.observed is None else "complete rows"
    head = ["feature", "least likely rows", "other rows", "how far off, in sd of the other rows"]
    caption = f"The least likely {share} of the {of_rows} and the others: mean ± standard deviation"
    if len(order) < len(portrait.feature_names):
        caption += f", of the {len(order)} features in which they differ most"
    text = (
        f"What makes rows unlikely, all in all: the least likely {share} of the {of_rows} are farthest off in "
        f"{portrait.feature_names[order[0]]}. How far off is the root mean square of the distance from the other rows' "
        "mean: 1 is as usual. A feature that is as usual by itself may be odd beside others."
    )
    return [Text(text), Table(caption, head, rows)]


def _list_unlikely(subject: Subject) -> list[Block]:
    """List the least likely rows, and why each is."""
    names = subject.shown_names
    shown = list(range(len(names)))
    if len(names) > _FEATURES:  # those that are a reason most often
        named = Counter(i for row in subject.unlikely for i, _ in row.reasons)
        shown = sorted(sorted(shown, key=lambda i: -named[i])[:_FEATURES])
    rows = [
        [
            word(show_number(row.log_density, 6)),
            Cell(str(row.component)),
            word("; ".join(_tell_reason(names[i], None if i in shown else row.values[i], z) for i, z in row.reasons)),
            *(Cell(show_number(row.values[i], 6)) for i in shown),
        ]
        for row in subject.unlikely
    ]
    caption = f"The {len(rows)} least likely rows of the table that was read"
    if len(shown) < len(names):
        caption += f", with {len(shown)} of {len(names)} features"
    head = ["log-density, nats", "component", "why: how far off, given the row's other features"]
    return [
        Table(caption, [*head, *(names[i] for i in shown)], rows),
        Text(
            "Sd are standard deviations within the row's most probable component, from what the row's other features "
            "let expect there. A feature may be usual by itself, and odd beside the others; features that are odd "
            "together explain each other, so that each seems less odd. The job score writes such reasons for each "
            "anomaly (output.reasons, reasonsCol). Rows that lack a value are not listed."
        ),
    ]


def _tell_reason(name: str, value: float | None, z: float) -> str:
    """Tell how far off a feature is, and its value unless that has a column of its own."""
    known = "" if value is None else f" ({show_number(value, 6)})"
    return f"{name}{known} {show_number(abs(z), 2)} sd {'above' if z > 0 else 'below'}"
