"""The search: starts, the steps of EM, what was accepted, refused and lost, and what is left to gain."""

from __future__ import annotations

from collections import Counter

from gmm_spark.core.formatting import count_of, show_number, show_seconds
from gmm_spark.report.blocks import Block, Cell, Figures, Missing, Section, Table, Text, word
from gmm_spark.report.drawing import draw, read_history, read_starts
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Subject

_STEPS = {
    "plain": "an EM step",
    "extrapolated": "an extrapolated step, accepted",
    "refused": "an extrapolated step, refused: the EM step was likelier",
    "lost": "an extrapolated step, lost: the likelihood fell, and the fit went back",
}
# Passes that are listed one by one at each end of a long history.
_LISTED = 15


def describe_search(subject: Subject) -> Section:
    """Say how the fit went."""
    fit, model = subject.facts["fit"], subject.facts["configuration"]["model"]
    history = list(fit["history"])
    if not fit:
        return Section("search", "The search", [Missing("How the fit went is not known: there is no run report.")])
    converged, tol = fit.flag("converged"), model.number("tol")
    steps = Counter(one.text("step") or "plain" for one in history)
    told = ", ".join(f"{steps[step]} {step}" for step in _STEPS if steps[step])
    rows = [
        ("converged", {True: "yes", False: "no", None: "–"}[converged]),
        ("passes of EM over the table", count_of(len(history), "pass", "passes") + (f" ({told})" if told else "")),
        ("lower bound, mean log-likelihood per row", f"{show_number(fit.number('lower_bound'), 7)} nats"),
        ("log-likelihood", f"{show_number(fit.number('log_likelihood'), 10)} nats"),
        ("BIC", show_number(fit.number("bic"), 10)),
        ("AIC", show_number(fit.number("aic"), 10)),
    ]
    if (starts := model.number("n_init")) is not None:
        rows.insert(0, ("starts", f"{starts:.0f}{_describe_agreement(fit)}"))
    blocks: list[Block] = [Figures(rows)]
    records = read_starts(subject.facts)
    if len(records) > 1:
        blocks.append(draw("draw_starts", records))
    if history:
        passes = read_history(subject.facts)
        blocks += [draw("draw_bound", passes, records)] if len(passes) > 1 else []
        blocks += [_say_what_is_left(subject, history[-1], tol, converged), _list_passes(history)]
        blocks.append(Text("Steps: " + "; ".join(f"{step}, {_STEPS[step]}" for step in _STEPS if steps[step]) + "."))
    return Section("search", "The search", blocks)


def _describe_agreement(fit: Facts) -> str:
    """Say how many starts ended where the best did, if that is known: it is counted on the sample."""
    starts, alike = fit["starts"].number("compared"), fit["starts"].number("alike")
    if not starts or alike is None:
        return ""
    return f"; on the sample, {alike:.0f} of {starts:.0f} ended where the best did"


def _say_what_is_left(subject: Subject, last: Facts, tol: float | None, converged: bool | None) -> Text:
    left, limit = last.number("remaining"), "" if tol is None else f" (tol is {tol:g})"
    if left is None:
        change = last.number("change")
        last_change = (
            "" if change is None else f" The last pass changed the bound by {show_number(change)} nats per row{limit}."
        )
        return Text(f"What is left to gain by more passes cannot be estimated from so few changes.{last_change}")
    advice = "" if converged else f" Raise {subject.name_key('maxIter', 'model.max_iter')} to gain it."
    return Text(
        f"More passes would raise the lower bound by about {show_number(left, 2)} nats per row, as the last changes "
        f"show{limit}.{advice} Another start may end higher: only more starts "
        f"({subject.name_key('nInit', 'model.n_init')}) can tell."
    )


def _list_passes(history: list[Facts]) -> Table:
    caption = "Passes of EM"
    shown = history
    if len(history) > 2 * _LISTED:
        shown = history[:_LISTED] + history[-_LISTED:]
        caption = f"Passes of EM: the first {_LISTED} and the last {_LISTED} of {len(history)}"
    rows = []
    for one in shown:
        reseeded = ", ".join(f"{j.number():.0f}" for j in one["reseeded"] if j.number() is not None)
        rows.append(
            [
                word(f"{one.number('iteration') or 0:.0f}"),
                Cell(show_number(one.number("lower_bound"), 8)),
                Cell(show_number(one.number("change"), 3)),
                word(one.text("step") or "plain"),
                Cell(show_number(one.number("remaining"), 2)),
                word(reseeded or "–"),
                Cell(show_seconds(one.number("seconds"))),
            ]
        )
    head = ["pass", "lower bound, nats per row", "change", "step", "left to gain", "reseeded components", "time"]
    return Table(caption, head, rows)
