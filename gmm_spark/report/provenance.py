"""What was fitted on what: the table, its rows, the settings, and the command again."""

from __future__ import annotations

import re

from gmm_spark.core.formatting import count_of, show_bytes, show_count, show_name, show_share
from gmm_spark.report.blocks import Block, Cell, Code, Figures, Missing, Section, Table, Text, word
from gmm_spark.report.facts import Facts
from gmm_spark.report.incomplete import list_missing
from gmm_spark.report.subject import Subject


def describe_fitted(subject: Subject) -> Section:
    """Say what was fitted on what."""
    facts, parameters = subject.facts, subject.parameters
    noise = "" if parameters.noise is None else " and noise"
    mixture = (
        f"{count_of(parameters.n_components, 'component')}{noise}, {parameters.covariance_type} covariances, "
        f"{count_of(parameters.n_features, 'feature')}, {count_of(parameters.n_parameters, 'free parameter')}"
    )
    rows = [("mixture", mixture), ("features", ", ".join(subject.shown_names)), *_list_input(facts)]
    rows += [("model", show_name(subject.model_path or subject.path))]
    if subject.run_id is not None:
        rows += [("run", show_name(subject.run_id)), ("ended (UTC)", subject.finished)]
    seed = facts["configuration"]["model"].number("seed")
    if seed is not None:
        rows.append(("seed", f"{seed:.0f}"))
    if facts["versions"]:
        rows.append(
            (
                "versions",
                ", ".join(f"{show_name(a)} {show_name(b.text() or '?')}" for a, b in facts["versions"].items()),
            )
        )
    blocks: list[Block] = [Figures(rows)]
    if not facts:
        blocks.append(
            Missing(
                "This model was saved by save(), or its run report is gone: the table, its rows, the settings and the "
                "checks are not known. The jobs fit and select keep them in a run, beside the model."
            )
        )
        return Section("fitted", "What was fitted on what", blocks)
    blocks += _describe_rows(facts)
    blocks += list_missing(facts)
    blocks += _describe_settings(subject)
    return Section("fitted", "What was fitted on what", blocks)


def _list_input(facts: Facts) -> list[tuple[str, str]]:
    source, found, table = facts["configuration"]["input"], facts["input"], name_table(facts)
    rows = [("table", table)] if table else []
    if where := source.text("where"):
        rows.append(("only rows with", show_name(where)))
    size, count = found["files"].number("bytes"), found["files"].number("count")
    if size is not None and count is not None:
        rows.append(("files", f"{count_of(count, 'file')}, {show_bytes(size)}"))
    if checksum := found["files"].text("checksum"):
        rows.append(("checksum of the files' names, sizes and times", show_name(checksum)))
    features = facts["configuration"]["features"]
    if weight := features.text("weight"):
        rows.append(("row weights", f"{show_name(weight)}, as {show_name(features.text('weight_kind') or '?')}"))
    elif features:
        rows.append(("row weights", "none: every row counts 1"))
    return rows


def _describe_rows(facts: Facts) -> list[Block]:
    rows = facts["rows"]
    read, used, held_out = rows.number("read"), rows.number("used"), rows.number("held_out")
    if read is None or used is None:
        return []
    lines = [("read", "", read), ("used by the fit", "", used)]
    if held_out:
        lines.append(("held out, to judge the mixtures by", "", held_out))
    skipped = [(f"skipped: {reason}", column, n) for reason, column, n in list_reasons(facts) if n]
    lines += skipped or [("skipped", "", 0.0)]
    cells = [
        [word(what), word(column), Cell(show_count(n)), Cell(show_share(n / read), min(n / read, 1.0))]
        for what, column, n in lines
        if read
    ]
    table = Table("Rows, and why some were left out", ["rows", "column", "number", "share of those read"], cells)
    effective = rows.number("effective")
    blocks: list[Block] = [table]
    if effective is not None and abs(effective - used) > 0.5:
        blocks.append(
            Text(f"By their weights, these rows say as much as {show_count(effective)} rows of equal weight.")
        )
    return blocks


def _describe_settings(subject: Subject) -> list[Block]:
    blocks: list[Block] = []
    if subject.settings:
        cells = [[word(show_name(text)) for text in one] for one in subject.settings]
        blocks.append(Table("Settings that differ from the defaults", ["key", "value", "default", "meaning"], cells))
    if subject.command is not None:
        blocks.append(Code("The command again", subject.command.line))
        blocks += [Text(note) for note in subject.command.notes]
    return blocks


def name_table(facts: Facts) -> str:
    """Name the table that was read; an empty text if that is not known."""
    source = facts["configuration"]["input"]
    return show_name(source.text("table") or source.text("path") or facts["input"].text("source") or "")


def list_reasons(facts: Facts) -> list[tuple[str, str, float]]:
    """List why rows were skipped: reason, column and number, the most first; the column is empty if not known."""
    found = []
    for key, count in facts["rows"]["skipped"].items():
        match = re.fullmatch(r"(.*?) in (.*)", key, re.DOTALL)
        reason, column = match.groups() if match else (key, "")
        found.append((show_name(reason), show_name(column), count.number() or 0.0))
    return sorted(found, key=lambda one: -one[2])
