"""The components: how large each is, where it lies, and what is nearest to it."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.formatting import count_of, show_count, show_number, show_share, show_spread
from gmm_spark.core.mixture.matching import bhattacharyya_distances
from gmm_spark.report.blocks import Block, Cell, Section, Table, Text, word
from gmm_spark.report.subject import Subject

# Columns of a table of means: more do not fit on a printed page.
_FEATURES = 6


def describe_components(subject: Subject) -> Section:
    """Say what the components are, the heaviest first."""
    parameters = subject.parameters
    order = [int(j) for j in np.argsort(-parameters.weights, kind="stable")]
    blocks: list[Block] = [
        Text(
            f"{count_of(len(order), 'component')}, the heaviest first. Numbers of components are those of the "
            "prediction column. A component's weight is its share of the rows, each counted by its responsibilities."
        ),
        _list_sizes(subject, order),
        *_list_means(subject, order),
    ]
    return Section("components", "Components", blocks)


def _list_sizes(subject: Subject, order: list[int]) -> Table:
    parameters, training = subject.parameters, subject.training
    heaviest = float(parameters.weights.max())
    head = ["component", "weight"]
    if training is not None:
        head += ["rows, by most probable component"]
    if len(order) > 1:
        head += ["nearest component", "overlap with it"]
    distances = bhattacharyya_distances(parameters, parameters)
    np.fill_diagonal(distances, np.inf)
    rows = []
    for j in order:
        weight = float(parameters.weights[j])
        cells = [word(str(j)), Cell(show_share(weight), weight / heaviest if heaviest else 0.0)]
        if training is not None:
            cells.append(Cell(show_count(float(training.shares[j]) * training.rows)))
        if len(order) > 1:
            nearest = int(distances[j].argmin())
            overlap = float(np.exp(-distances[j, nearest]))
            cells += [Cell(str(nearest)), Cell(show_number(overlap, 2), min(overlap, 1.0))]
        rows.append(cells)
    return Table("Size of each component, and what is nearest to it", head, rows)


def _list_means(subject: Subject, order: list[int]) -> list[Block]:
    parameters, names = subject.parameters, subject.shown_names
    deviations = parameters.deviations
    tables: list[Block] = []
    for first in range(0, len(names), _FEATURES):
        some = range(first, min(first + _FEATURES, len(names)))
        caption = "Mean ± standard deviation, in the units of the table"
        if len(names) > _FEATURES:
            caption += f": features {first + 1} to {some[-1] + 1} of {len(names)}"
        rows = [
            [word(str(j)), *(Cell(show_spread(float(parameters.means[j, i]), float(deviations[j, i]))) for i in some)]
            for j in order
        ]
        tables.append(Table(caption, ["component", *(names[i] for i in some)], rows))
    return tables
