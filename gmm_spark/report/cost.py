"""The cost: seconds by step, passes, bytes, and what Spark's executors did."""

from __future__ import annotations

from gmm_spark.core.formatting import count_of, show_bytes, show_count, show_name, show_seconds
from gmm_spark.report.blocks import Block, Cell, Figures, Missing, Section, Table, Text, word
from gmm_spark.report.subject import Subject

# Steps within the fit, as the report names them; all else is a step of the job.
_WITHIN_FIT = {
    "pack": "reading the table once, into blocks on the executors' disks",
    "sample": "drawing the sample",
    "starts": "drawing starts",
    "search": "running starts on the sample",
    "passes": "EM's passes over the table",
    "evaluate": "evaluating the fitted mixture",
    "portrait": "counting rows for the pictures of this page",
}
_STEPS = {
    "read": "finding the table",
    "check": "checks before the work",
    "fit": "the fit, all in all",
    "write": "writing the model",
    "total": "the job, all in all",
}


def describe_cost(subject: Subject) -> Section:
    """Say what the fit took."""
    seconds, spark = subject.facts["seconds"], subject.facts["spark"]
    blocks: list[Block] = []
    spent = {key: value for key, one in seconds.items() if (value := one.number()) is not None}
    if not spent:
        return Section("cost", "Cost", [Missing("What the fit took is not known: there is no run report.")])
    total = max(spent.get("total", 0.0), *spent.values()) or 1.0
    known = {**_STEPS, **_WITHIN_FIT}
    order = ["read", "check", *_WITHIN_FIT, *(key for key in spent if key not in known), "fit", "write", "total"]
    rows = [
        [
            word(f"{show_name(key)} (in fit)" if key in _WITHIN_FIT else show_name(key)),
            word(known.get(key, "")),
            Cell(show_seconds(spent[key]), min(spent[key] / total, 1.0)),
        ]
        for key in order
        if key in spent
    ]
    blocks.append(Table("Time by step", ["step", "what it is", "time"], rows))
    packing = spark["packing"]
    figures = []
    if (passes := packing.number("passes")) is not None:
        figures.append(("passes over the blocks, all in all", show_count(passes)))
    if (written := packing.number("bytes_written")) is not None:
        times = packing.number("packings") or 1
        figures.append(("blocks written", f"{show_bytes(written)} in {count_of(times, 'packing')}"))
    if read_by := packing.text("read_by"):
        why = f", since {packing.text('reason')}" if packing.text("reason") else ""
        figures.append(("rows read by", "the executors, from Parquet" if read_by == "parquet" else f"Spark{why}"))
    if packing.flag("held"):
        figures.append(("where the rows were", "on the driver, since they are few"))
    if packing.number("misses"):
        figures.append(("passes in vain, since blocks were lost", show_count(packing.number("misses"))))
    for key, name in (("tasks", "tasks"), ("tasks_failed", "tasks that failed"), ("executors", "executors")):
        if (count := spark.number(key)) is not None:
            figures.append((name, show_count(count)))
    if (lost := spark.number("executors_lost")) is not None:
        figures.append(("executors lost", show_count(lost)))
    if (shuffled := spark.number("bytes_shuffled")) is not None:
        figures.append(("bytes shuffled", show_bytes(shuffled)))
    if figures:
        blocks.append(Figures(figures))
    recalled = subject.facts["resume"].number("answers_recalled")
    attempt = subject.facts["resume"].number("attempt")
    if recalled:
        blocks.append(
            Text(f"Attempt {attempt or 0:.0f} of this run: {count_of(recalled, 'answer')} of earlier ones were reused.")
        )
    return Section("cost", "Cost", blocks)
