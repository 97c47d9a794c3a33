"""The page that compares two mixtures: components matched, what moved, and what differs about their fits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gmm_spark.core.formatting import count_of, show_count, show_name, show_number, show_share
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.matching import ALIKE, Match, Matching, match_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import DataError
from gmm_spark.report.blocks import Block, Cell, Section, Table, Text, word
from gmm_spark.report.fits import compare_checks, compare_cost, compare_fits, tell_better
from gmm_spark.report.page import render
from gmm_spark.report.subject import Subject
from gmm_spark.report.verdict import Note, Verdict, judge

# Hellinger distance from which on a component shares nothing with itself: two of one shape are six deviations apart.
_APART = 0.995
# Moves that are listed.
_MOVES = 12
# Move of a mean, in standard deviations, from which on it is listed.
_WORTH = 0.01


class _Ids(NamedTuple):
    """Ids and names of the components of the two mixtures."""

    before: Identities
    after: Identities

    @property
    def are_told(self) -> bool:
        """Whether ids or names say more than the components' numbers."""
        return not (self.before.is_plain and self.after.is_plain)

    def name_before(self, i: int) -> str:
        """Return what to call a component of the earlier mixture."""
        return f"{i}, id {self.before.label(i)}" if self.are_told else str(i)

    def name_after(self, j: int) -> str:
        """Return what to call a component of the later mixture."""
        return f"{j}, id {self.after.label(j)}" if self.are_told else str(j)

    def explain(self) -> str:
        """Say what ids are, and whether a mixture was saved without them."""
        if not self.are_told:
            return ""
        sides = [word_ for word_, one in (("earlier", self.before), ("later", self.after)) if not one.recorded]
        lacks = (
            f" The {' and the '.join(sides)} mixture was saved without ids: they are taken as 0 to k - 1."
            if sides
            else ""
        )
        return (
            f" A component is told by its number in its mixture, and by its id and name, which survive refits.{lacks}"
        )


def render_comparison(before: Subject, after: Subject) -> str:
    """Return the comparison of two mixtures of the same features, as one HTML page.

    Raises
    ------
    DataError
        If their features are not the same; their order does not matter.
    MissingExtraError
        If Jinja2 is not installed.
    """
    later = _reorder(before, after)
    matching = match_components(before.parameters, later)
    ids = _Ids(before.known, after.known)
    sections = [
        _tell_what(before, after),
        _tell_components(matching, before, later, ids),
        _tell_moves(matching, before, ids),
        compare_fits(before, after),
        compare_checks(before, after),
        compare_cost(before, after),
    ]
    lead = f"before: {before.title}; after: {after.title}"
    return render("Two Gaussian mixtures, compared", lead, _judge(matching, before, after), sections)


def _reorder(before: Subject, after: Subject) -> MixtureParameters:
    """Return the later mixture with its features in the order of the earlier."""
    if before.names == after.names:
        return after.parameters
    if sorted(before.names) != sorted(after.names):
        one, other = ({*subject.names} for subject in (before, after))
        raise DataError(
            f"mixtures of different features cannot be compared: only before has {_list_names(one - other)}, only "
            f"after {_list_names(other - one)}"
        )
    return after.parameters.reordered([after.names.index(name) for name in before.names])


def _list_names(names: set[str]) -> str:
    return ", ".join(map(show_name, sorted(names)[:5])) or "none"


def _judge(matching: Matching, before: Subject, after: Subject) -> Verdict:
    moved = [one for one in matching.matches if one.hellinger > ALIKE]
    far = [one for one in matching.matches if one.hellinger > _APART]
    notes = []
    for word_, subject in (("before", before), ("after", after)):
        own = judge(subject.facts)
        notes.append(Note(f"The fit {word_}, by itself: {own.word.lower()}. {own.why}", "checks"))
    if better := tell_better(before, after):
        notes.append(Note(better, "fit"))
    if matching.gone or matching.new:
        parts = [f"{count_of(len(matching.gone), 'component')} gone" if matching.gone else ""]
        parts += [f"{count_of(len(matching.new), 'component')} new" if matching.new else ""]
        why = f"{' and '.join(part for part in parts if part)}; of the others, {len(moved)} moved."
        return Verdict("stop", "Changed", "≠", why, notes=notes)
    if far:
        why = (
            f"{count_of(len(far), 'component')} moved to where it shares nothing with itself, {len(moved) - len(far)} "
        )
        return Verdict("stop", "Changed", "≠", f"{why}moved less far; none is gone or new.", notes=notes)
    if moved:
        why = f"{len(moved)} of {count_of(len(matching.matches), 'component')} moved; none is gone or new."
        return Verdict("look", "Moved", "≈", why, notes=notes)
    why = f"Each component has its counterpart, within a Hellinger distance of {ALIKE:g}."
    return Verdict("pass", "Alike", "=", why, notes=notes)


def _tell_what(before: Subject, after: Subject) -> Section:
    def pair(name: str, *texts: str) -> list[Cell]:
        return [word(name), *map(word, texts)]

    subjects = (before, after)
    found = [one.parameters.noise for one in subjects]
    noises = ["none" if noise is None else f"{show_share(noise.weight)} of the weight" for noise in found]
    rows = [
        pair("model", *(show_name(one.model_path) for one in subjects)),
        pair("run", *(show_name(one.run_id or "none: a saved model") for one in subjects)),
        pair("ended (UTC)", *(one.finished or "–" for one in subjects)),
        pair("components", *(str(one.parameters.n_components) for one in subjects)),
        *([pair("noise", *noises)] if noises != ["none", "none"] else []),
        pair("covariances", *(one.parameters.covariance_type for one in subjects)),
        pair("rows used", *(show_count(one.rows) for one in subjects)),
    ]
    blocks: list[Block] = [Table("The two", ["", "before", "after"], rows)]
    first, second = ({one.key: one for one in subject.settings} for subject in subjects)
    different = [
        key for key in {**first, **second} if key not in first or key not in second or first[key] != second[key]
    ]
    if different:
        same_job = before.facts.text("job") == after.facts.text("job")  # else a key may be unknown to one of them
        cells = []
        for key in different:
            known = first.get(key) or second[key]
            unset = known.default if same_job and known.default != "required" else "–"
            values = [side[key].value if key in side else unset for side in (first, second)]
            cells.append(pair(key, *map(show_name, values)))
        blocks.append(Table("Settings that differ", ["key", "before", "after"], cells))
    elif before.settings and after.settings:
        blocks.append(Text("All settings are the same."))
    return Section("fitted", "What is compared", blocks)


def _tell_components(matching: Matching, before: Subject, later: MixtureParameters, ids: _Ids) -> Section:
    names = before.shown_names
    rows = [_list_match(one, names, ids) for one in sorted(matching.matches, key=lambda one: -one.weights.max())]
    head = ["before", "after", "weight before", "weight after", "rows shared", "Hellinger distance"]
    head += ["distance of the means", "largest move of a mean", "largest change of a spread"]
    blocks: list[Block] = [
        Text(
            "Components are matched one to one by the rows that they share, of rows drawn from both mixtures. "
            "Hellinger's distance is 0 if they are the same, 1 if they are apart; the distance of the means is in "
            f"standard deviations.{ids.explain()}"
        ),
        Table("Components that go together", head, rows),
    ]
    for i in matching.gone:
        share, label = show_share(float(before.parameters.weights[i])), ids.name_before(i)
        heir = matching.merged.get(i)
        became = "" if heir is None else f"; most of its rows are now in {ids.name_after(heir)}: it was merged"
        blocks.append(Text(f"Gone: component {label}, which had {share}{became}.", "stop"))
    for j in matching.new:
        share, label = show_share(float(later.weights[j])), ids.name_after(j)
        origin = ids.name_before(matching.nearest[j])
        was = (
            f"its rows were in {origin} before: it was split off"
            if j in matching.split
            else (f"before, component {origin} is the most like it")
        )
        blocks.append(Text(f"New: component {label} with {share}; {was}.", "stop"))
    return Section("components", "Components", blocks)


def _list_match(one: Match, names: list[str], ids: _Ids) -> list[Cell]:
    moved, spread = int(np.abs(one.shifts).argmax()), int(np.abs(np.log(one.spread_ratios)).argmax())
    return [
        word(ids.name_before(one.before)),
        Cell(ids.name_after(one.after)),
        *(Cell(show_share(float(weight)), float(weight)) for weight in one.weights),
        Cell(show_share(one.shared), one.shared),
        Cell(show_number(one.hellinger, 2), one.hellinger, "look" if one.hellinger > ALIKE else ""),
        Cell(show_number(one.distance, 2)),
        word(f"{names[moved]}: {one.shifts[moved]:+.2f} sd"),
        word(f"{names[spread]}: × {one.spread_ratios[spread]:.2f}"),
    ]


def _tell_moves(matching: Matching, before: Subject, ids: _Ids) -> Section:
    names = before.shown_names
    moves = [(float(abs(one.shifts[i])), one, i) for one in matching.matches for i in range(len(names))]
    worth = [move for move in moves if move[0] >= _WORTH]
    if not worth:
        told = f"No mean of a component that has its counterpart moved by {_WORTH:g} standard deviations or more."
        return Section("moves", "What moved", [Text(told)])
    listed = sorted(worth, key=lambda move: -move[0])[:_MOVES]
    rows = [
        [
            word(f"{ids.name_before(one.before)} → {ids.name_after(one.after)}"),
            word(names[i]),
            Cell(show_number(float(before.parameters.means[one.before, i]))),
            Cell(f"{one.shifts[i]:+.3f}"),
            Cell(f"{one.spread_ratios[i]:.3f}"),
        ]
        for _, one, i in listed
    ]
    caption = f"The {len(rows)} largest moves of a mean" + (f", of {len(moves)}" if len(moves) > len(rows) else "")
    head = ["component", "feature", "mean before", "move, in standard deviations before", "spread, as a multiple"]
    return Section("moves", "What moved", [Table(caption, head, rows)])
