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
        (["--features.handle_invalid", "marginal", "--drift.compare", "true"], 2, "drift: got a comparison"),
        (["--features.handle_invalid", "marginal", "--drift.max_psi", 1], 2, "drift: got a comparison"),
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
