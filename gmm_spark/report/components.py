"""The components: how large each is, what makes it different, where it lies, and what is nearest to it."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.description.components import CERTAIN, ComponentDescription, describe_components, relate_features
from gmm_spark.core.formatting import count_of, show_count, show_name, show_number, show_share, show_spread
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Subject

# What the other component is to one that changed.
_RELATIONS = {"split": "from", "merged": "into", "new": "nearest to"}
# Columns of a table of means: more do not fit on a printed page.
_FEATURES = 6
# Means that are listed: with more of them, the page would be too large.
_CELLS = 6000


def tell_components(subject: Subject) -> Section:
    """Say what the components are, the heaviest first."""
    parameters = subject.parameters
    order = [int(j) for j in np.argsort(-parameters.weights, kind="stable")]
    described = describe_components(parameters, subject.shown_names, subject.rows, subject.shown_portrait)
    told = "" if subject.known.is_plain else " A component's id, and the name that it was given, survive refits."
    intro = f"{count_of(len(order), 'component')}, the heaviest first. The numbers are those of the prediction column. "
    intro += (
        "A component's weight is its share of the rows, each counted by its responsibilities; the rows of which it is "
        f"the most probable component may be more or fewer.{told}"
    )
    blocks: list[Block] = [
        *([Text(intro)] if len(order) > 1 else []),
        _list_sizes([described[j] for j in order], subject.known),
        *_tell_noise(subject),
        *([Text(_explain())] if len(order) > 1 else []),
        *_tell_related(subject),
        *_list_means(subject, order),
        *_list_changes(subject.facts["components"]),
    ]
    if subject.portrait is None and len(order) > 1:
        blocks.append(Missing("How many rows are certain takes one pass over the table.", subject.portrait_command))
    return Section("components", "Components", blocks)


def _tell_noise(subject: Subject) -> list[Block]:
    """Say what noise holds, if the mixture has noise."""
    noise, names = subject.parameters.noise, subject.shown_names
    if noise is None:
        return []
    of_rows = "" if subject.rows is None else f", about {show_count(noise.weight * subject.rows)} rows"
    bounds = zip(names[:_FEATURES], noise.low.tolist(), noise.high.tolist(), strict=False)
    ranges = ", ".join(f"{name} from {show_number(low, 4)} to {show_number(high, 4)}" for name, low, high in bounds)
    more = f", and {len(names) - _FEATURES} more" if len(names) > _FEATURES else ""
    return [
        Text(
            f"Beside these there is noise, number {subject.parameters.n_components}, with {show_share(noise.weight)} "
            f"of the weight{of_rows}: a constant density over {ranges}{more}, for rows that belong to no component."
        )
    ]


def _tell_related(subject: Subject) -> list[Block]:
    """Say what the components share: which features go together within them."""
    told = relate_features(subject.parameters, subject.shown_names) if subject.parameters.n_components > 1 else ""
    return [Text(told)] if told else []


def _explain() -> str:
    tight = (
        "Tightness is the component's standard deviation over that of the whole table, the geometric mean over the "
        "features: below 1 it is tighter. What makes it different is told against the mean of all other rows, and "
        "against the spread within the other components; then, if that is something else, against the nearest "
        "component."
    )
    return (
        f"{tight} The overlap with the nearest component is the Bhattacharyya coefficient: 0 if they are apart, 1 if "
        "they are the same. A row is certain of its most probable component if that has a responsibility of at least "
        f"{CERTAIN:g}; the last column has the share of a component's rows that are."
    )


def _list_sizes(described: list[ComponentDescription], known: Identities) -> Table:
    is_mixture, knows_rows = len(described) > 1, described[0].rows is not None
    knows_certainty = is_mixture and any(one.certain is not None for one in described)
    heaviest = max(one.share for one in described) or 1.0
    head = [
        "component",
        *([] if known.is_plain else ["id"]),
        "weight",
        *(["weight in rows"] if knows_rows else []),
        "what makes it different" if is_mixture else "what it is like",
    ]
    head += ["tightness", "nearest", "overlap"] if is_mixture else []
    head += ["certain rows"] if knows_certainty else []
    rows = []
    for one in described:
        cells = [word(str(one.component)), *([] if known.is_plain else [word(known.label(one.component))])]
        cells += [Cell(show_share(one.share), one.share / heaviest)]
        cells += [Cell(show_count(one.rows))] if knows_rows else []
        cells += [word(one.sentence)]
        if is_mixture:
            cells += [Cell(show_number(one.tightness, 2))]
            nearest = "–" if one.nearest is None else str(one.nearest)
            cells += [Cell(nearest), Cell(show_number(one.overlap, 2), min(one.overlap, 1.0))]
        cells += [Cell(show_share(one.certain), one.certain)] if knows_certainty else []
        rows.append(cells)
    return Table("Each component, and what is nearest to it" if is_mixture else "The component", head, rows)


def _list_changes(facts: Facts) -> list[Block]:
    """List what became of the components of the model before, as the run's report has it."""
    source = facts["previous"].text("run_id") or facts["previous"].text("path")
    rows = []
    for one in facts["changes"]:
        number, name, other = one.number("id"), one.text("name"), one.number("other")
        label = "–" if number is None else f"{number:.0f}" + (f" ({show_name(name)})" if name else "")
        kind = show_name(one.text("kind") or "–")
        rows.append(
            [
                word(label),
                word(kind + (f", {_RELATIONS[kind]} {other:.0f}" if other is not None and kind in _RELATIONS else "")),
                *(
                    Cell("–" if (w := one.number(key)) is None else show_share(w))
                    for key in ("weight_before", "weight")
                ),
                Cell(show_number(one.number("distance"), 2)),
            ]
        )
    head = ["id", "what became of it", "weight before", "weight", "distance of the means"]
    return [Table(f"Components since {show_name(source)}", head, rows)] if rows and source else []


def _list_means(subject: Subject, order: list[int]) -> list[Block]:
    parameters, names = subject.parameters, subject.shown_names
    deviations = parameters.deviations
    tables: list[Block] = []
    listed = list(range(len(names)))
    if len(names) * len(order) > _CELLS:
        mean, variance = parameters.moments()
        apart = parameters.weights @ ((parameters.means - mean) ** 2 / variance)
        listed = sorted(np.argsort(-apart, kind="stable")[: max(_CELLS // len(order), _FEATURES)].tolist())
        tables.append(
            Text(
                f"The {len(listed)} of {len(names)} features in which the components differ most are listed; the table "
                "that model.describe() returns has all."
            )
        )
    for first in range(0, len(listed), _FEATURES):
        some = listed[first : first + _FEATURES]
        caption = "Mean ± standard deviation, in the units of the table"
        if len(listed) > _FEATURES:
            caption += f": features {first + 1} to {first + len(some)} of {len(listed)}"
        rows = [
            [word(str(j)), *(Cell(show_spread(float(parameters.means[j, i]), float(deviations[j, i]))) for i in some)]
            for j in order
        ]
        tables.append(Table(caption, ["component", *(names[i] for i in some)], rows))
    return tables
