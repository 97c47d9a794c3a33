"""The job select: what it reads, writes and prints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gmm_spark import GaussianMixtureModel
from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]


def arguments(table: Path, output: Path, *more: object) -> tuple[object, ...]:
    return (
        *("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--selection.ks", 1, 2, 3, "--selection.covariance_types", "full", "spherical"),
        *("--output.model", output / "best", "--run-id", "a", *more),
    )


def read_mixtures(output: Path) -> Any:
    """Return the table of all mixtures that the run keeps."""
    return pq.read_table(output / "best" / "run_id=a" / "attempt-1" / "mixtures").to_pandas()


def test_the_best_is_saved_with_the_table_of_all_the_picture_and_the_report(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    picture, report_file = tmp_path / "plots" / "bic.png", tmp_path / "report.json"
    done = run_job("select", *arguments(table, tmp_path, "--output.plot", picture, "--output.report", report_file))
    assert done.code == 0, done.err
    model = GaussianMixtureModel.load(str(tmp_path / "best"))
    assert (model.getK(), model.getCovarianceType()) == (2, "spherical")  # what made the table
    assert "select: k=2 spherical has the best bic of 6 mixtures, 0 of which could not be fitted" in done.out
    assert f"{N_ROWS - N_NULLS} rows used, 0 held out, {N_NULLS} skipped" in done.out

    results = read_mixtures(tmp_path)
    assert len(results) == 6
    best = results.loc[results["bic"].idxmin()]
    assert (best["k"], best["covarianceType"]) == (2, "spherical")
    report = json.loads(report_file.read_text())
    assert report["rows"]["read"] == N_ROWS
    assert report["rows"]["held_out"] == 0
    assert report["fit"]["bic"] == pytest.approx(best["bic"], rel=1e-12)
    assert report["fit"]["log_density_quantiles"]["0.5"] == pytest.approx(model.logDensityQuantile(0.5), rel=1e-12)
    assert report["mixture"]["covariance_type"] == "spherical"
    listed = report["selection"]
    assert listed["criterion"] == "bic"
    assert [one["bic"] for one in listed["mixtures"]] == pytest.approx(results["bic"].tolist(), rel=1e-12)
    assert listed["mixtures"][listed["chosen"]]["k"] == 2
    assert listed["mixtures"][0]["heldout"] is None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rows_can_be_held_out_and_decide(run_job: Run, table: Path, tmp_path: Path) -> None:
    held_out = ("--selection.validation_fraction", 0.3, "--selection.criterion", "heldout")
    done = run_job("select", *arguments(table, tmp_path, *held_out, "--output.report", tmp_path / "r.json"))
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "r.json").read_text())
    rows = report["rows"]
    assert rows["read"] == N_ROWS == rows["used"] + rows["held_out"] + N_NULLS
    assert 0.2 * N_ROWS < rows["held_out"] < 0.4 * N_ROWS
    found = [one["heldout"] for one in report["selection"]["mixtures"]]
    assert found[report["selection"]["chosen"]] == max(found)
    assert all(math.isfinite(value) for value in found)


def test_a_second_selection_replaces_nothing(run_job: Run, table: Path, tmp_path: Path) -> None:
    few = ("--model.max_iter", 1, "--selection.ks", 2)
    assert run_job("select", *arguments(table, tmp_path, *few)).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "best").rglob("*") if path.is_file()}
    done = run_job("select", *arguments(table, tmp_path, *few, "--run-id", "b"))
    assert done.code == 0, done.err
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "best" / "run_id=b" / "_manifest.json").exists()


def test_a_directory_for_results_is_refused_since_its_readers_would_read_old_ones(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    done = run_job("select", *arguments(table, tmp_path, "--output.results", tmp_path / "results"))
    assert done.code == 2
    assert "which is no longer written: each run keeps the table of its mixtures" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_best_mixture_that_must_converge_and_does_not_is_not_saved(run_job: Run, table: Path, tmp_path: Path) -> None:
    strict = ("--model.max_iter", 2, "--model.tol", 0, "--run.require_convergence", "--output.report", tmp_path / "r")
    done = run_job("select", *arguments(table, tmp_path, *strict))
    assert done.code == 4, done.err
    assert "did not converge to model.tol=0 in model.max_iter=2" in done.err
    assert json.loads((tmp_path / "r").read_text())["fit"]["converged"] is False
    assert list((tmp_path / "best").rglob("_manifest.json")) == []


def test_mixtures_that_cannot_be_fitted_are_listed_and_if_none_can_the_job_fails(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    done = run_job("select", *arguments(table, tmp_path, "--selection.ks", 2, 1000))
    assert done.code == 0, done.err
    assert "best bic of 4 mixtures, 2 of which could not be fitted" in done.out
    failures = read_mixtures(tmp_path).set_index("k")["failure"]
    assert failures[2].isna().all()
    assert failures[1000].str.contains("k=1000 but the input has 595 valid row").all()
    none = run_job("select", *arguments(table, tmp_path / "none", "--selection.ks", 1000))
    assert none.code == 3, none.err
    assert "none of the 2 mixture(s) could be fitted: k=1000 full: k=1000 but the input has" in none.err
