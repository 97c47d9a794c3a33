"""The choice of k and structure: every mixture that was tried, against the best."""

from __future__ import annotations

from gmm_spark.core.formatting import count_of, show_name, show_number
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.drawing import draw, read_selection
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Subject

_NAMES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "heldout": "held-out log-likelihood, nats per row"}


def describe_choice(subject: Subject) -> Section:
    """Say which mixtures were tried, and by what this one was chosen."""
    selection = subject.facts["selection"]
    mixtures = list(selection["mixtures"])
    if not mixtures:
        k, kind, command = (
            subject.parameters.n_components,
            subject.parameters.covariance_type,
            subject.selection_command,
        )
        beside = "" if subject.parameters.noise is None else " beside noise"
        return Section(
            "choice",
            "Choice of k and structure",
            [
                Missing(
                    f"Nothing was compared: k = {k} and {kind} covariances{beside} were given. Select fits "
                    "several in the same passes over the table, and keeps the best by BIC.",
                    f"GaussianMixtureSelector(ks={list_near(k)}, covarianceTypes=[...]).fit(table)"
                    if command is None
                    else command.line,
                ),
                *(Text(note) for note in (command.notes if command is not None else ())),
            ],
        )
    criterion = selection.text("criterion") or "bic"
    chosen = selection.number("chosen")
    at = int(chosen) if chosen is not None and 0 <= chosen < len(mixtures) else None
    best = None if at is None else mixtures[at].number(criterion)
    found = read_selection(subject.facts)
    blocks: list[Block] = [
        Text(_tell_choice(mixtures, at, criterion)),
        *([] if found is None else [draw("draw_selection", found)]),
        Table(
            "Mixtures that were tried; Δ is the difference from the chosen one, in the criterion's units",
            ["k", "structure", "parameters", _NAMES.get(criterion, criterion), "Δ", "converged", "note"],
            [_list_cells(one, criterion, best, i == at) for i, one in enumerate(mixtures)],
        ),
    ]
    return Section("choice", "Choice of k and structure", blocks)


def _tell_choice(mixtures: list[Facts], at: int | None, criterion: str) -> str:
    name = _NAMES.get(criterion, criterion)
    failed = sum(one["failure"].value is not None for one in mixtures)
    told = f"{count_of(len(mixtures), 'mixture')} tried, {failed} of which could not be fitted. "
    if at is None:
        return told + "Which was chosen is not known."
    one = mixtures[at]
    ks = [k for row in mixtures if _name_structure(row) == _name_structure(one) and (k := row.number("k"))]
    k = one.number("k") or 0
    told += f"Chosen: k = {k:.0f}, {_name_structure(one)}, with the best {name}."
    if len(ks) > 1 and k in (max(ks), min(ks)) and k > 1:
        edge = "highest" if k == max(ks) else "lowest"
        told += f" That is the {edge} k that was tried with this structure: a better one may lie beyond."
    return told


def _list_cells(one: Facts, criterion: str, best: float | None, is_chosen: bool) -> list[Cell]:
    value = one.number(criterion)
    difference = None if value is None or best is None else value - best
    failure = one.text("failure")
    note = "chosen" if is_chosen else show_name(failure) if failure else ""
    return [
        word(f"{one.number('k') or 0:.0f}"),
        word(_name_structure(one)),
        Cell(show_number(one.number("nParameters"))),
        Cell(show_number(value, 9)),
        Cell(show_number(difference, 4)),
        word({True: "yes", False: "no", None: "–"}[one.flag("converged") if not failure else None]),
        Cell(note, tone="pass" if is_chosen else "stop" if failure else "", is_number=False),
    ]


def _name_structure(one: Facts) -> str:
    return show_name(one.text("covarianceType") or "?") + (" + noise" if one.flag("noise") else "")


def list_near(k: int) -> list[int]:
    """List numbers of components to compare a mixture of k with: fewer, and up to about twice as many."""
    step = max(k // 4, 1)
    return sorted({max(k + step * i, 1) for i in range(-2, 4)})
