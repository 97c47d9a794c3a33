"""The job select: what it reads, writes and prints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gmm_spark import GaussianMixtureModel
from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]


def arguments(table: Path, output: Path, *more: object) -> tuple[object, ...]:
    return (
        *("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--selection.ks", 1, 2, 3, "--selection.covariance_types", "full", "spherical"),
        *("--output.model", output / "best", "--output.results", output / "results", *more),
    )


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

    results = pq.read_table(tmp_path / "results").to_pandas()
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


@pytest.mark.parametrize("taken", ["best", "results"])
def test_existing_outputs_are_replaced_only_if_asked(run_job: Run, table: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "old").write_text("")
    refused = run_job("select", *arguments(table, tmp_path, "--model.max_iter", 1))
    assert refused.code == 2, refused.err
    assert "which is there already; set output.overwrite = true" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    done = run_job("select", *arguments(table, tmp_path, "--model.max_iter", 1, "--output.overwrite"))
    assert done.code == 0, done.err
    assert not (tmp_path / taken / "old").exists()


def test_a_best_mixture_that_must_converge_and_does_not_is_not_saved(run_job: Run, table: Path, tmp_path: Path) -> None:
    strict = ("--model.max_iter", 2, "--model.tol", 0, "--run.require_convergence", "--output.report", tmp_path / "r")
    done = run_job("select", *arguments(table, tmp_path, *strict))
    assert done.code == 4, done.err
    assert "did not converge to model.tol=0 in model.max_iter=2" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_mixtures_that_cannot_be_fitted_are_listed_and_if_none_can_the_job_fails(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    done = run_job("select", *arguments(table, tmp_path, "--selection.ks", 2, 1000))
    assert done.code == 0, done.err
    assert "best bic of 4 mixtures, 2 of which could not be fitted" in done.out
    failures = pq.read_table(tmp_path / "results").to_pandas().set_index("k")["failure"]
    assert failures[2].isna().all()
    assert failures[1000].str.contains("k=1000 but the input has 595 valid row").all()
    none = run_job("select", *arguments(table, tmp_path / "none", "--selection.ks", 1000))
    assert none.code == 3, none.err
    assert "none of the 2 mixture(s) could be fitted: k=1000 full: k=1000 but the input has" in none.err
