"""Why to trust a mixture, or not: what was seen of its fit, in a line each, beside the verdict of the checks."""

from __future__ import annotations

from collections import Counter

from gmm_spark.core.description.components import CERTAIN, share_certain
from gmm_spark.core.description.fit import FAIR, GOOD, POOR
from gmm_spark.core.description.merging import name_joined
from gmm_spark.core.formatting import count_of, show_count, show_number, show_share
from gmm_spark.report.goodness import TONES
from gmm_spark.report.provenance import list_reasons
from gmm_spark.report.subject import Subject
from gmm_spark.report.verdict import Note

# Features, and reasons for skipped rows, that are named.
_NAMED = 3
# Share of the starts that ended where the best did, up to which a check tells of it.
_FEW = 0.2


def note_trust(subject: Subject) -> list[Note]:
    """Say what the verdict, which comes from the checks alone, leaves open, in the order of the page."""
    told = (_tell_rows, _tell_likelihood, _tell_features, _tell_certainty, _tell_choice, _tell_search)
    return [note for tell in told if (note := tell(subject)) is not None]


def _tell_rows(subject: Subject) -> Note | None:
    rows = subject.facts["rows"]
    read, used = rows.number("read"), rows.number("used")
    if not read or used is None:
        return None
    lacking = rows["missing"].number("rows") or 0.0
    incomplete = f" {show_share(lacking / used)} of those used have missing values." if used and lacking else ""
    if used == read:
        return Note(f"All {show_count(read)} rows were used.{incomplete}", "fitted", "pass")
    reasons = [
        f"{show_count(n)} with a {why}{f' in {column}' if column else ''}"
        for why, column, n in list_reasons(subject.facts)
        if n
    ]
    held_out = rows.number("held_out")
    reasons += [f"{show_count(held_out)} held out"] if held_out else []
    listed = f": {', '.join(reasons[:_NAMED])}" + (", ..." if len(reasons) > _NAMED else "") if reasons else ""
    return Note(
        f"{show_share(used / read)} of the rows were used; the others were left out{listed}.{incomplete}", "fitted"
    )


def _tell_likelihood(subject: Subject) -> Note | None:
    found = subject.densities
    return None if found is None else Note(found.sentence, "fit", TONES[found.verdict])


def _tell_features(subject: Subject) -> Note | None:
    fits = subject.feature_fits
    if not fits:
        return None
    counts = Counter(one.verdict for one in fits)
    if not counts[POOR]:
        said = f"{counts[GOOD]} described well" + (f", {counts[FAIR]} fairly" if counts[FAIR] else "")
        return Note(f"{count_of(len(fits), 'feature')}: {said}, none poorly.", "fit", "pass")
    poor = [one for one in fits if one.verdict == POOR]
    named = ", ".join(one.name for one in poor[:_NAMED]) + (
        f" and {len(poor) - _NAMED} more" if len(poor) > _NAMED else ""
    )
    are = "is" if len(poor) == 1 else "are"
    said = f"{len(poor)} of {count_of(len(fits), 'feature')} {are} described poorly: {named}."
    return Note(said, "fit", "look", poor[0].remedy)


def _tell_certainty(subject: Subject) -> Note | None:
    if subject.portrait is None or subject.parameters.n_components < 2:
        return None
    said = (
        f"{show_share(share_certain(subject.portrait))} of the rows are certain of their component: its responsibility "
        f"is {CERTAIN:g} or more"
    )
    tree = subject.merge_tree
    if tree is not None and tree.suggested < tree.n_components:
        sure = "may" if tree.is_slight else "probably"
        said += f"; components that share many rows {sure} belong to one cluster: {name_joined(tree)}"
    return Note(f"{said}.", "ambiguity")


def _tell_choice(subject: Subject) -> Note | None:
    if not subject.facts or list(subject.facts["selection"]["mixtures"]):
        return None
    k, kind = subject.parameters.n_components, subject.parameters.covariance_type
    return Note(f"k = {k} and {kind} covariances were given: no others were tried.", "choice")


def _tell_search(subject: Subject) -> Note | None:
    fit = subject.facts["fit"]
    converged = fit.flag("converged")
    if converged is None:
        return None
    history = list(fit["history"])
    left = history[-1].number("remaining") if history else None
    said = "EM has converged" if converged else "EM has not converged"
    said += "" if left is None else f": more passes would gain about {show_number(left, 2)} nats per row"
    starts, alike = fit["starts"].number("compared"), fit["starts"].number("alike")
    if starts and alike is not None and alike > _FEW * starts:
        said += f"; {alike:.0f} of {starts:.0f} starts ended where the best did"
    return Note(f"{said}.", "search", "pass" if converged else "look")
