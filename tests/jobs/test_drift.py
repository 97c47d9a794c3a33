"""Score compares a day's rows with the training rows: report, last line, limits, and what becomes of the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]
LIMITS = ("--drift.max_psi", 0.25, "--drift.max_mean_shift", 0.5)


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """A day on which nearly all rows are of one cluster, and y has moved."""
    rng = np.random.default_rng(21)
    rows = rng.normal([0, 2], 1, (200, 2))
    pq.write_table(pa.table({"id": range(200), "x": rows[:, 0], "y": rows[:, 1]}), tmp_path / "later.parquet")
    return tmp_path / "later.parquet"


def arguments(model: Path, source: Path, folder: Path) -> tuple[object, ...]:
    return (
        *("--model", model, "--input.path", source, "--features.handle_invalid", "skip"),
        *("--output.path", folder / "scored", "--output.mode", "overwrite", "--output.columns", "id"),
        *("--output.report", folder / "score.json"),
    )


def drift_of(folder: Path) -> dict:
    found: dict = json.loads((folder / "score.json").read_text())["drift"]
    return found


def test_the_training_rows_themselves_have_not_drifted(run_job: Run, model: Path, table: Path, tmp_path: Path) -> None:
    done = run_job("score", *arguments(model, table, tmp_path), *LIMITS)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].endswith("largest change: no change beyond chance")
    drift = drift_of(tmp_path)
    assert (drift["compared"], drift["verdict"], drift["exceeded"]) == (True, "within limits", [])
    assert drift["psi"]["value"] == pytest.approx(0, abs=1e-12)
    assert drift["log_density"]["change"] == pytest.approx(0, abs=1e-9)
    for one in drift["below"]:
        assert one["ratio"] == pytest.approx(1)
    for one in drift["features"]:
        assert one["shift"] == pytest.approx(0, abs=1e-9)
        assert one["spread_ratio"] == pytest.approx(1)
    share = N_NULLS / N_ROWS
    assert drift["bad_rows"] == {"share": pytest.approx(share), "training_share": pytest.approx(share)}


def test_drift_beyond_a_limit_ends_with_code_6_after_the_table_is_written(
    run_job: Run, model: Path, later: Path, tmp_path: Path
) -> None:
    done = run_job("score", *arguments(model, later, tmp_path), *LIMITS)
    assert done.code == 6
    assert "(drift.max_psi is 0.25)" in done.err
    assert "(drift.max_mean_shift is 0.5)" in done.err
    assert f"the table in {tmp_path / 'scored'} is written" in done.err
    assert "largest change: " in done.out
    assert ds.dataset(tmp_path / "scored").count_rows() == 200
    drift = drift_of(tmp_path)
    assert drift["verdict"] == "beyond limits"
    assert drift["limits"]["psi"] == 0.25
    day = pq.read_table(later).to_pandas()
    assert drift["features"][1]["mean"] == pytest.approx(day["y"].mean())
    assert drift["features"][1]["spread"] == pytest.approx(day["y"].std(ddof=0))
    assert sum(one["share"] for one in drift["components"]) == pytest.approx(1)


def test_drift_can_stop_the_job_before_the_old_table_is_replaced(
    run_job: Run, model: Path, table: Path, later: Path, tmp_path: Path
) -> None:
    assert run_job("score", *arguments(model, table, tmp_path)).code == 0
    before = sorted((tmp_path / "scored").iterdir())
    done = run_job("score", *arguments(model, later, tmp_path), *LIMITS, "--drift.stop", "before")
    assert done.code == 6
    assert f"the new rows were not put in place, {tmp_path / 'scored'} is as it was" in done.err
    assert sorted((tmp_path / "scored").iterdir()) == before
    assert not (tmp_path / "_scored.writing").exists()
    assert drift_of(tmp_path)["verdict"] == "beyond limits"
    done = run_job("score", *arguments(model, later, tmp_path), "--drift.stop", "before", "--drift.compare", "true")
    assert done.code == 0, done.err
    assert drift_of(tmp_path)["verdict"] == "no limits"
    assert ds.dataset(tmp_path / "scored").count_rows() == 200


def test_a_model_without_a_profile_is_scored_and_not_judged_unless_there_are_limits(
    run_job: Run, model: Path, later: Path, tmp_path: Path
) -> None:
    from gmm_spark import GaussianMixtureModel

    known = GaussianMixtureModel.load(str(model))
    bare = GaussianMixtureModel(known.parameters, known.featureNames)
    bare.setInputCols(["x", "y"]).save(str(tmp_path / "bare"))
    done = run_job("score", *arguments(tmp_path / "bare", later, tmp_path), "--drift.compare", "true")
    assert done.code == 0, done.err
    assert "drift not judged: the model has no profile of its training rows" in done.out
    assert drift_of(tmp_path)["compared"] is False
    done = run_job("score", *arguments(tmp_path / "bare", later, tmp_path), *LIMITS)
    assert done.code == 2
    assert "drift: got limits, but the model has no profile" in done.err


def test_nothing_is_compared_unless_asked_and_limits_without_a_comparison_are_refused(
    run_job: Run, model: Path, later: Path, tmp_path: Path
) -> None:
    done = run_job("score", *arguments(model, later, tmp_path), *LIMITS, "--drift.compare", "false")
    assert done.code == 2
    assert "got limits with drift.compare = false" in done.err
    done = run_job("score", *arguments(model, later, tmp_path))
    assert done.code == 0, done.err
    assert "largest change" not in done.out
    assert drift_of(tmp_path) == {"compared": False, "reason": "drift.compare is off", "verdict": "not compared"}


def test_a_day_of_bad_rows_alone_does_not_pass_its_limits(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    keep = ("--features.handle_invalid", "keep")
    bad = ("--input.where", "x is null or y is null")
    done = run_job("score", *arguments(model, table, tmp_path), *LIMITS, *keep, *bad)
    assert done.code == 6, done.err
    assert f"no row was scored, so the limits of drift cannot be judged: {N_NULLS} rows are bad" in done.err
    assert not (tmp_path / "scored").exists()
