"""Anomalies: which log-density goes with which share of the rows, and how many alerts to expect."""

from __future__ import annotations

from gmm_spark.core.formatting import show_count, show_name, show_number, show_share
from gmm_spark.core.kernels.histogram import find_threshold
from gmm_spark.errors import ParameterError
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.drawing import draw
from gmm_spark.report.subject import Subject

FRACTIONS = (0.0001, 0.001, 0.005, 0.01, 0.05)
_USUAL = 0.001  # the default of anomalyFraction
_ROWS = 1_000_000


def describe_anomalies(subject: Subject) -> Section:
    """Say which threshold goes with which fraction."""
    histogram = subject.log_densities
    if histogram is None:
        return Section(
            "anomalies",
            "Anomalies",
            [
                Missing(
                    "The model does not know how likely its training rows are: it was built from parameters, or saved "
                    "by an older gmm-spark. Fit it again (model.initial_model starts from it)."
                )
            ],
        )
    rows = []
    for fraction in FRACTIONS:
        try:
            threshold = find_threshold(histogram, fraction, subject.parameters.noise)
        except ParameterError:  # noise holds more rows than that
            continue
        alerts = [fraction * _ROWS]
        if subject.training is not None:
            alerts.append(fraction * subject.training.rows)
        rows.append(
            [Cell(show_share(fraction)), Cell(show_number(threshold, 5)), *(Cell(show_count(n)) for n in alerts)]
        )
    head = ["fraction of the training rows", "log-density below, nats", f"alerts in {_ROWS:,} rows like these"]
    if subject.training is not None:
        head.append("training rows that it flags")
    blocks: list[Block] = [
        Text(
            "A row is an anomaly if its log-density is below the threshold. The fraction is what you choose "
            "(output.anomaly_fraction, anomalyFraction); of new rows like the training rows, as many are flagged."
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
    if subject.unlikely:
        names = list(subject.unlikely[0])
        head = [show_name(name) for name in names]
        listed = [[_show(one[name]) for name in names] for one in subject.unlikely]
        blocks.append(Table(f"The {len(listed)} least likely rows of the table that was read", head, listed))
    return Section("anomalies", "Anomalies", blocks)


def _show(value: object) -> Cell:
    return Cell(show_number(float(value), 6)) if isinstance(value, (int, float)) else word(show_name(str(value)))
