"""The score job with missing values: rows are scored by what is observed, counted, and filled in if asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from gmm_spark import Mixture
from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]


def test_rows_with_missing_values_are_scored_counted_and_filled_in(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    done = run_job(
        *("score", "--model", model, "--input.path", table, "--features.handle_invalid", "marginal"),
        *("--output.path", tmp_path / "scored", "--output.anomaly", "odd", "--output.reasons", "why"),
        *("--output.impute", "_filled", "--output.report", tmp_path / "report.json"),
    )
    assert done.code == 0, done.err
    assert f"{N_ROWS} rows read, {N_NULLS} with missing values, {N_ROWS} scored, 0 kept without a score" in done.out
    counts = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert (counts["read"], counts["scored"], counts["incomplete"]) == (N_ROWS, N_ROWS, N_NULLS)
    found = ds.dataset(tmp_path / "scored").to_table().sort_by("id")
    whole = pq.read_table(table)
    appended = ["prediction", "log_density", "odd", "why", "x_filled", "y_filled"]
    assert found.column_names == [*whole.column_names, *appended]
    mixture = Mixture.load(model, handle_invalid="marginal")
    np.testing.assert_allclose(found["log_density"], mixture.log_density(whole), rtol=1e-12)
    np.testing.assert_array_equal(found["odd"], mixture.is_anomaly(whole))
    filled = mixture.impute(whole)
    np.testing.assert_allclose(found["x_filled"], filled["x_imputed"], rtol=1e-12)
    assert found["y_filled"].to_pylist() == found["y"].to_pylist()
    assert found["x"].null_count == N_NULLS


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        (["--output.impute", "_imputed"], 2, "output.impute: got '_imputed', needs features.handle_invalid = marginal"),
        (["--drift.max_missing_change", 0.1], 2, "a row that lacks a value is then a bad row, which no limit counts"),
        (
            ["--features.handle_invalid", "marginal", "--drift.max_missing_change", 0.1],
            2,
            f"the fit has left {N_NULLS} rows out and does not know how often each feature was missing",
        ),
        (["--features.handle_invalid", "marginal", "--output.impute", "2", "--output.prediction", "x2"], 2, "x2"),
    ],
)
def test_what_cannot_be_done_with_missing_values_is_refused_before_the_work(
    run_job: Run, model: Path, table: Path, tmp_path: Path, changed: list[object], code: int, message: str
) -> None:
    done = run_job("score", "--model", model, "--input.path", table, "--output.path", tmp_path / "scored", *changed)
    assert done.code == code
    assert message in done.err
    assert not (tmp_path / "scored").exists()


def test_a_model_of_rows_with_missing_values_is_reported_and_compared_with_later_rows(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    fit = ("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "marginal")
    done = run_job("fit", *fit, "--model.n_init", 2, "--output.model", tmp_path / "model")
    assert done.code == 0, done.err
    assert "the fit has no portrait" not in done.err
    score = (
        *("--model", tmp_path / "model", "--input.path", table, "--output.path", tmp_path / "scored"),
        *("--output.mode", "overwrite", "--output.report", tmp_path / "score.json"),
    )
    limits = ("--drift.max_psi", 0.1, "--drift.max_missing_change", 0.1, "--drift.max_below_ratio", 2)
    done = run_job("score", *score, *limits, "--features.handle_invalid", "marginal", "--output.impute", "_filled")
    assert done.code == 0, done.err
    drift = json.loads((tmp_path / "score.json").read_text())["drift"]
    assert (drift["verdict"], drift["missing"]["compared_rows"]) == ("within limits", N_ROWS - N_NULLS)
    assert drift["missing"]["features"][0]["share"] == pytest.approx(N_NULLS / N_ROWS)
    assert drift["missing"]["features"][0]["change"] == pytest.approx(0.0)
    done = run_job("score", *score, *limits[:2], "--features.handle_invalid", "skip")
    assert done.code == 2
    assert "complete rows alone do not compare with them; set features.handle_invalid to marginal" in done.err
    lost = pq.read_table(table).to_pandas()
    lost.loc[:, "x"] = np.nan
    lost.to_parquet(tmp_path / "lost.parquet")
    lost_score = ("--input.path", tmp_path / "lost.parquet", "--features.handle_invalid", "marginal")
    done = run_job("score", *score, *lost_score, "--drift.max_missing_change", 0.1)
    assert done.code == 6
    assert "'x' is missing in 100.0% of the rows, in 0.8% in training (drift.max_missing_change is 0.1)" in done.err
    done = run_job("score", *score, *lost_score, "--drift.max_below_ratio", 2)
    assert done.code == 6
    assert "cannot be judged: none of the 600 scored rows lacks the same features as enough training rows" in done.err
    page = tmp_path / "page.html"
    done = run_job("report", tmp_path / "model", "--output", page, "--scores", tmp_path / "score.json")
    assert done.code == 0, done.err
    said = page.read_text()
    assert "5 of the rows used lack 1 column in all" in said
    assert "could not be drawn" not in said


def test_noise_goes_with_missing_values_and_only_anomalies_are_refused(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    marginal = ("--features.handle_invalid", "marginal")
    fit = ("--input.path", table, "--features.columns", "x", "y", *marginal, "--model.noise", "true")
    done = run_job("fit", *fit, "--model.n_init", 2, "--output.model", tmp_path / "model")
    assert done.code == 0, done.err
    score = ("--model", tmp_path / "model", "--input.path", table, "--output.path", tmp_path / "scored", *marginal)
    done = run_job("score", *score, "--output.anomaly", "odd")
    assert done.code == 2, done.err
    assert "noise" in done.err
    assert not (tmp_path / "scored").exists()
    done = run_job("score", *score, "--output.impute", "_filled", "--drift.max_psi", 0.1)
    assert done.code == 0, done.err
    found = ds.dataset(tmp_path / "scored").to_table()
    assert found["x_filled"].null_count == 0
    assert set(found["prediction"].to_pylist()) <= {0, 1, 2}
    done = run_job("report", tmp_path / "model", "--output", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "Beside noise, rows with missing values have no threshold" in (tmp_path / "page.html").read_text()
