"""Bad rows, inputs without rows, and columns of text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gmm_spark.spark.packing.table import PackedTable
from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]
SHARE = N_NULLS / N_ROWS
BAD = "5 of 600 rows are bad (0.83%): 5 with a null feature in x, more than features.max_bad_fraction="


@pytest.mark.parametrize("handle", ["skip", "keep"])
def test_more_bad_rows_than_allowed_leave_the_old_table(
    run_job: Run, model: Path, table: Path, tmp_path: Path, handle: str
) -> None:
    path = tmp_path / "scored"
    score = ("score", "--model", model, "--input.path", table, "--output.path", path, "--output.mode", "overwrite")
    invalid = ("--features.handle_invalid", handle, "--features.max_bad_fraction")
    assert run_job(*score, *invalid, SHARE, "--run-id", "mon").code == 0
    before = sorted(path.iterdir())
    done = run_job(*score, *invalid, SHARE / 2, "--run-id", "tue", "--output.report", tmp_path / "score.json")
    assert done.code == 3
    assert BAD in done.err
    assert json.loads((tmp_path / "score.json").read_text())["rows"]["bad"] == {"null feature in x": N_NULLS}
    assert sorted(path.iterdir()) == before
    assert [one.name for one in tmp_path.glob("_scored*")] == []


@pytest.mark.parametrize("job", ["fit", "select"])
def test_a_fit_of_more_bad_rows_than_allowed_ends_before_em(
    run_job: Run, table: Path, tmp_path: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackedTable, "expect", lambda *_: pytest.fail("a pass was made"))
    grid = () if job == "fit" else ("--selection.ks", 1, 2, "--selection.validation_fraction", 0.5)
    fit = (job, *grid, "--input.path", table, "--features.columns", "x", "y", "--output.model", tmp_path / "m")
    done = run_job(*fit, "--features.handle_invalid", "skip", "--features.max_bad_fraction", 0.001)
    assert done.code == 3
    assert BAD in done.err
    assert "EM" not in done.err
    assert list(tmp_path.rglob("_manifest.json")) == []


def test_text_is_read_as_numbers_if_the_types_are_given(run_job: Run, table: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pq.read_table(table, columns=["x", "y"]).to_pandas().to_csv(path, index=False, header=False)
    read = ("fit", "--input.path", path, "--input.format", "csv", "--features.handle_invalid", "skip")
    fit = (*read, "--output.model", tmp_path / "m", "--model.max_iter", 2, "--features.columns")
    done = run_job(*fit, "_c0", "_c1")
    assert done.code == 3
    assert "features.columns: _c0 is string, _c1 is string; needs numeric columns" in done.err
    assert "give their types by input.columns" in done.err
    done = run_job(*fit, "x", "y", "--input.columns", "x double, y double")
    assert done.code == 0, done.err
    assert f"{N_ROWS - N_NULLS} rows used, {N_NULLS} skipped" in done.out
    done = run_job(*fit, "x", "y", "--input.columns", "x doubl")
    assert done.code == 2, done.err
    assert "input.columns: got 'x doubl', needs columns and types" in done.err


def test_an_input_without_rows_is_refused_unless_it_is_allowed(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scored"
    score = ("score", "--model", model, "--input.path", table, "--output.path", path, "--input.where", "y > 1e9")
    done = run_job(*score)
    assert done.code == 3
    assert "the input has no row" in done.err
    assert "input.allow_empty" in done.err
    assert not path.exists()
    done = run_job(*score, "--input.allow_empty")
    assert done.code == 0, done.err
    empty = pq.read_table(path)
    assert empty.num_rows == 0
    assert {"x", "y", "prediction", "log_density"} <= {*empty.column_names}
