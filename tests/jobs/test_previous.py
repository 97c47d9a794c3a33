"""Scheduled refits: ids and names go from run to run, and what becomes of components is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from gmm_spark import GaussianMixtureModel
from tests.jobs.conftest import Outcome

Run = Callable[..., Outcome]


def find_report(output: Path, run_id: str) -> Any:
    (path,) = output.glob(f"run_id={run_id}/attempt-*/report.json")
    return json.loads(path.read_text())


def test_ids_and_names_go_from_run_to_run(run_job: Run, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    common: tuple[object, ...] = ("--input.path", table, "--features.handle_invalid", "skip")
    common += ("--output.model", output, "--output.portrait", "false", "--model.max_iter", 5)
    columns = ("--features.columns", "x", "y")

    def fit(run_id: str, *more: object, job: str = "fit") -> str:
        done = run_job(job, *common, *more, "--run-id", run_id)
        assert done.code == 0, done.err
        return done.out.splitlines()[-1]

    assert "since run" not in fit("1", *columns, "--model.seed", 1, "--model.component_names", "0=first", "9=nobody")
    assert find_report(output, "1")["components"]["names"] == ["first", None]
    assert "since run 1, 2 components keep their ids" in fit("2", *columns, "--model.seed", 4)
    second = find_report(output, "2")["components"]
    assert sorted(second["ids"]) == [0, 1]
    assert second["names"][second["ids"].index(0)] == "first"
    assert second["previous"]["run_id"] == "1"
    one, two = (GaussianMixtureModel.load(str(output / f"run_id={day}")) for day in "12")
    assert two.means[two.componentIds.index(0)] == pytest.approx(one.means[0], abs=0.1)

    grid = ("--selection.ks", 3, "--selection.covariance_types", "diag")
    line = fit("3", *columns, *grid, job="select")
    assert "since run 2, 2 components keep their ids" in line
    assert "2 was split off from" in line
    assert {one["kind"] for one in find_report(output, "3")["components"]["changes"] if one["id"] == 2} == {"split"}

    assert "since run 1, 2 components" in fit("4", *columns, "--model.previous", output / "run_id=1")
    assert "since" not in fit("5", *columns, "--model.previous", "none")
    assert "run 5 has other features: ids begin at 2" in fit("6", "--features.columns", "y")
    assert find_report(output, "6")["components"]["ids"] == [2, 3]
    refused = run_job("fit", *common, *columns, "--model.previous", output, "--run-id", "7")
    assert refused.code == 2
    assert "model.previous: got" in refused.err
    planned = run_job("fit", *common, "--features.columns", "y", "--dry-run", "--run-id", "8")
    assert "components keep those of run 6" in planned.out

    score = ("--model", output / "run_id=2", "--input.path", table, "--features.handle_invalid", "keep")
    done = run_job("score", *score, "--output.path", tmp_path / "s", "--output.component_id", "id_now")
    assert done.code == 0, done.err
    scored = ds.dataset(tmp_path / "s").to_table().to_pandas()
    known = scored.dropna(subset=["id_now"])
    assert len(known) == pq.read_metadata(table).num_rows - 5
    assert (known["id_now"] == known["prediction"].map(dict(enumerate(second["ids"])))).all()

    (manifest,) = output.glob("run_id=6/_manifest.json")
    manifest.write_text("{")
    damaged = run_job("fit", *common, *columns, "--run-id", "9")
    assert damaged.code == 3
    assert "run 6 is damaged" in damaged.err
