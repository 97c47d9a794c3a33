"""Quarantine: bad rows in Parquet, a directory for each run, beside a result without them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]


def arguments(job: str, table: Path, model: Path, place: Path) -> tuple[object, ...]:
    """Return the arguments of a job that puts bad rows in quarantine."""
    common = (job, "--input.path", table, "--features.handle_invalid", "quarantine", "--output.quarantine", place / "q")
    written: tuple[object, ...]
    if job == "score":
        written = ("--model", model, "--output.path", place / "scored", "--output.mode", "overwrite")
    else:
        written = ("--features.columns", "x", "y", "--output.model", place / "m")
        written += ("--selection.ks", 2, "--selection.validation_fraction", 0.5) if job == "select" else ()
    return (*common, *written, "--output.report", place / "report.json")


def read(path: Path) -> list[dict]:
    runs = ds.partitioning(pa.schema([("run_id", pa.string())]), flavor="hive")
    return sorted(
        ds.dataset(path, partitioning=runs).to_table().to_pylist(), key=lambda row: (row["run_id"], row["id"])
    )


@pytest.mark.parametrize("job", ["fit", "select", "score"])
def test_bad_rows_go_to_quarantine_with_their_reason_under_the_run(
    run_job: Run, model: Path, table: Path, tmp_path: Path, job: str
) -> None:
    done = run_job(*arguments(job, table, model, tmp_path), "--run-id", "mon")
    assert done.code == 0, done.err
    rows = read(tmp_path / "q")
    whole = pq.read_table(table).slice(0, N_NULLS).to_pylist()
    assert rows == [{**row, "_reason": "null feature", "_column": "x", "run_id": "mon"} for row in whole]
    told = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert (told["quarantined"], told["quarantine"]) == (N_NULLS, str(tmp_path / "q" / "run_id=mon"))
    assert f"{job}: 5 bad rows in quarantine, {tmp_path / 'q' / 'run_id=mon'}" in done.out
    if job == "score":
        assert ds.dataset(tmp_path / "scored").count_rows() == N_ROWS - N_NULLS


def test_a_run_again_replaces_its_own_rows_in_quarantine_and_no_others(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    score = arguments("score", table, model, tmp_path)
    for run_id, only in (("mon", "id < 3"), ("tue", "id < 100"), ("mon", "id between 1 and 9")):
        assert run_job(*score, "--run-id", run_id, "--input.where", only).code == 0
    found = [(row["run_id"], row["id"]) for row in read(tmp_path / "q")]
    assert found == [("mon", i) for i in range(1, 5)] + [("tue", i) for i in range(5)]
    assert run_job(*score, "--run-id", "mon", "--input.where", "id > 9").code == 0  # none is bad any more
    assert {row["run_id"] for row in read(tmp_path / "q")} == {"tue"}


@pytest.mark.parametrize("job", ["fit", "score"])
def test_bad_rows_are_in_quarantine_even_if_there_are_more_than_allowed(
    run_job: Run, model: Path, table: Path, tmp_path: Path, job: str
) -> None:
    done = run_job(*arguments(job, table, model, tmp_path), "--features.max_bad_fraction", 0.001)
    assert done.code == 3
    assert len(read(tmp_path / "q")) == N_NULLS
    assert not (tmp_path / "scored").exists()


@pytest.mark.parametrize(
    ("job", "changed", "code", "message"),
    [
        ("score", ["--output.quarantine", ""], 2, "output.quarantine: got none"),
        ("fit", ["--features.handle_invalid", "skip"], 2, 'features.handle_invalid is "skip"'),
        ("score", ["--output.quarantine", "{table}/q"], 2, "output.quarantine"),
        ("score", ["--output.quarantine", "{place}/scored/q"], 2, "output.quarantine"),
        ("score", ["--output.quarantine", "{place}"], 2, "output.quarantine"),
        ("score", ["--output.quarantine", "{model}"], 2, "output.quarantine"),
        ("fit", ["--output.quarantine", "{place}/m/q"], 2, "output.quarantine"),
        ("fit", ["--input.options", "mergeSchema=false", "--input.path", "{marked}"], 3, "already has _reason"),
    ],
)
def test_a_quarantine_that_cannot_be_written_is_refused_before_the_work(
    run_job: Run, model: Path, table: Path, tmp_path: Path, job: str, changed: list[str], code: int, message: str
) -> None:
    marked = tmp_path / "marked.parquet"
    whole = pq.read_table(table)
    pq.write_table(whole.append_column("_reason", whole["day"]), marked)
    words = {"table": table, "place": tmp_path, "model": model, "marked": marked}
    done = run_job(*arguments(job, table, model, tmp_path), *(word.format(**words) for word in changed))
    assert done.code == code, done.err
    assert message in done.err
    assert not (tmp_path / "q").exists()
    assert not (tmp_path / "scored").exists()
