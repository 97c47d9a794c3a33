"""fit, score and sample: what they read, what they write, and how they end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from scipy.special import logsumexp
from scipy.stats import chisquare, multivariate_normal

from tests.jobs.conftest import N_NULLS, N_ROWS, Outcome

Run = Callable[..., Outcome]
FEATURES = ("--features.columns", "x", "y")


def read(path: Path) -> pa.Table:
    return ds.dataset(path, partitioning="hive").to_table()


def log_density(parameters: dict, rows: np.ndarray) -> np.ndarray:
    """Oracle: scipy's normal densities."""
    components = zip(parameters["weights"], parameters["means"], parameters["covariances"], strict=True)
    return logsumexp([np.log(w) + multivariate_normal(m, c).logpdf(rows) for w, m, c in components], axis=0)


def test_a_fit_reports_what_it_read_and_found(model: Path, tmp_path: Path, table: Path) -> None:
    report = json.loads((tmp_path / "fit.json").read_text())
    assert report["rows"] == {
        "read": N_ROWS,
        "used": N_ROWS - N_NULLS,
        "effective": N_ROWS - N_NULLS,
        "skipped": report["rows"]["skipped"],
    }
    assert sum(report["rows"]["skipped"].values()) == N_NULLS
    mixture, fit = report["mixture"], report["fit"]
    assert mixture["features"] == ["x", "y"]
    assert sorted(np.round(np.array(mixture["means"])[:, 0])) == [0, 6]

    rows = pq.read_table(table, columns=["x", "y"]).to_pandas().dropna().to_numpy()
    assert fit["log_likelihood"] == pytest.approx(log_density(mixture, rows).sum(), rel=1e-9)
    n_parameters = 1 + 2 * 2 + 2 * 3
    assert fit["aic"] == pytest.approx(2 * n_parameters - 2 * fit["log_likelihood"])
    assert fit["bic"] == pytest.approx(n_parameters * np.log(len(rows)) - 2 * fit["log_likelihood"])
    logs = log_density(mixture, rows)
    for q, found in fit["log_density_quantiles"].items():
        assert found == pytest.approx(np.quantile(logs, float(q), method="inverted_cdf"), abs=0.05), q
    assert list(fit["log_density_quantiles"]) == ["0.001", "0.01", "0.1", "0.5", "0.9"]
    assert fit["converged"] is True
    assert report["checks"] == []
    assert [one["iteration"] for one in fit["history"]] == list(range(1, len(fit["history"]) + 1))
    assert fit["history"][0]["change"] is None
    assert report["seconds"].keys() >= {"read", "fit", "write", "total"}


def test_what_speaks_against_a_fit_is_printed_and_reported_with_the_jobs_keys(run_job: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=400)
    x[::50] = 9999.0
    pq.write_table(pa.table({"x": x, "y": rng.normal(size=400)}), tmp_path / "t.parquet")
    arguments = ("--input.path", tmp_path / "t.parquet", *FEATURES, "--output.model", tmp_path / "m", "--model.k", 2)
    done = run_job("fit", *arguments, "--model.max_iter", 1, "--output.report", tmp_path / "r.json")
    assert done.code == 0, done.err
    checks = json.loads((tmp_path / "r.json").read_text())["checks"]
    assert checks[0]["code"] == "missing-value-code"
    assert {"missing-value-code", "not-converged"} <= {one["code"] for one in checks}
    assert checks[0]["figures"]["rows"] == 8
    assert "features.handle_invalid" in checks[0]["remedy"]
    lines = done.out.splitlines()
    assert lines[0].startswith("check serious missing-value-code: column 'x' is exactly 9999 in 8 of 400 sample rows")
    assert any(line.startswith("check warning not-converged: ") and "model.max_iter" in line for line in lines)
    assert lines[-1].startswith("fit: 400 rows used")
    strict = ("--model.max_iter", 1, "--run.require_convergence", "--output.model", tmp_path / "n")
    refused = run_job("fit", *arguments, *strict)
    assert refused.code == 4
    assert "check warning not-converged: " in refused.out


def test_scoring_keeps_every_row_and_column_and_appends_the_outputs(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    done = run_job(
        "score",
        *("--model", model, "--input.path", table, "--output.path", tmp_path / "scored"),
        *("--features.handle_invalid", "keep", "--output.probability", "probability", "--output.partition_by", "day"),
        *("--output.report", tmp_path / "score.json"),
    )
    assert done.code == 0, done.err
    scored = read(tmp_path / "scored").sort_by("id")
    assert set(scored.column_names) == {"id", "x", "y", "day", "probability", "prediction", "log_density"}
    assert scored.schema.field("prediction").type == pa.int32()
    assert scored.schema.field("log_density").type == pa.float64()
    assert scored["id"].to_pylist() == list(range(N_ROWS))
    assert scored["log_density"].null_count == scored["prediction"].null_count == N_NULLS

    mixture = json.loads((tmp_path / "fit.json").read_text())["mixture"]
    known = scored.slice(N_NULLS).to_pandas()
    expected = log_density(mixture, known[["x", "y"]].to_numpy())
    np.testing.assert_allclose(known["log_density"], expected, rtol=1e-9)
    left = int(np.argmin(np.array(mixture["means"])[:, 0]))
    assert (known["prediction"] == np.where(known["x"] < 3, left, 1 - left)).mean() > 0.98
    counts = json.loads((tmp_path / "score.json").read_text())["rows"]
    assert counts == {"read": N_ROWS, "scored": N_ROWS - N_NULLS, "unscored": N_NULLS, "dropped": 0}


def test_the_least_likely_share_of_the_training_rows_can_be_flagged(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    done = run_job(
        "score",
        *("--model", model, "--input.path", table, "--output.path", tmp_path / "scored", "--output.columns", "id"),
        *("--features.handle_invalid", "keep", "--output.anomaly", "odd", "--output.anomaly_fraction", 0.05),
        *("--output.reasons", "why", "--drift.compare", "true"),
        *("--output.report", tmp_path / "score.json"),
    )
    assert done.code == 0, done.err
    scored = read(tmp_path / "scored").sort_by("log_density").to_pandas()
    assert scored.columns.tolist() == ["id", "prediction", "log_density", "odd", "why"]
    assert scored["why"].notna().tolist() == scored["odd"].eq(True).tolist()
    assert {reason["feature"] for why in scored["why"].dropna() for reason in why} == {"x", "y"}
    assert scored["odd"].isna().sum() == N_NULLS
    flags = scored["odd"].dropna().astype(bool).tolist()
    n_odd = round(0.05 * (N_ROWS - N_NULLS))
    assert abs(sum(flags) - n_odd) <= 1
    assert all(flags[: sum(flags)]), "the least likely, and no others"
    assert json.loads((tmp_path / "score.json").read_text())["rows"]["anomalies"] == sum(flags)
    assert f"{N_NULLS} kept without a score, {sum(flags)} anomalies, 0 dropped" in done.out


@pytest.mark.parametrize(("asked", "mode"), [((), 0o600), (("--run.umask", "022"), 0o644)], ids=["default", "shared"])
def test_outputs_are_for_their_owner_alone_unless_the_job_is_told_otherwise(
    run_job: Run, table: Path, tmp_path: Path, asked: tuple[str, ...], mode: int
) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", *asked),
        *("--output.model", tmp_path / "m", "--output.report", tmp_path / "fit.json"),
    )
    assert done.code == 0, done.err
    ours = [tmp_path / "fit.json", *(tmp_path / "m").rglob("_*.json")]  # Spark's files are the JVM's: a slow test
    assert len(ours) > 1
    assert {path.stat().st_mode & 0o777 for path in ours} == {mode}


def test_a_model_that_knows_no_training_rows_flags_none(run_job: Run, model: Path, table: Path, tmp_path: Path) -> None:
    from gmm_spark import GaussianMixtureModel

    known = GaussianMixtureModel.load(str(model))
    GaussianMixtureModel(known.parameters, known.featureNames).save(str(tmp_path / "bare"))
    arguments = ("--model", tmp_path / "bare", "--input.path", table, "--output.path", tmp_path / "scored")
    done = run_job("score", *arguments, "--features.columns", "x", "y", "--output.anomaly", "odd")
    assert_failed(done, 2, "this model does not know how likely its training rows are")
    assert not (tmp_path / "scored").exists()


def test_scoring_can_keep_some_columns_and_drop_bad_rows(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    done = run_job(
        "score",
        *("--model", model, "--input.path", table, "--output.path", tmp_path / "scored", "--input.where", "id < 100"),
        *("--features.handle_invalid", "skip", "--output.columns", "id", "--output.prediction", ""),
    )
    assert done.code == 0, done.err
    scored = read(tmp_path / "scored")
    assert scored.column_names == ["id", "log_density"]
    assert sorted(scored["id"].to_pylist()) == list(range(N_NULLS, 100))
    assert f"100 rows read, {100 - N_NULLS} scored, 0 kept without a score, {N_NULLS} dropped" in done.out


def test_a_damaged_file_of_the_input_is_named(run_job: Run, model: Path, table: Path, tmp_path: Path) -> None:
    place = tmp_path / "t"
    pq.write_to_dataset(pq.read_table(table), place, basename_template="part-{i}.parquet")
    (damaged,) = place.glob("*.parquet")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])  # the footer is sound
    fit = ("fit", "--input.path", place, "--features.columns", "x", "y", "--output.model", tmp_path / "m")
    score = ("score", "--model", model, "--input.path", place, "--output.path", tmp_path / "s")
    for job in (fit, score):
        done = run_job(*job, "--features.handle_invalid", "skip")
        assert_failed(done, 3, damaged.name)
    assert not (tmp_path / "s").exists()


def test_a_named_run_that_appends_again_replaces_its_own_rows(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    score = ("score", "--model", model, "--input.path", table, "--features.handle_invalid", "skip")
    output = ("--output.path", tmp_path / "s", "--output.mode", "append", "--output.report", tmp_path / "r.json")
    for run_id in ("mon", "tue", "mon"):
        done = run_job(*score, *output, "--run-id", run_id)
        assert done.code == 0, done.err
        assert f"; run {run_id}, table in {tmp_path / 's'}" in done.out
        assert json.loads((tmp_path / "r.json").read_text())["run_id"] == run_id
    assert read(tmp_path / "s").num_rows == 2 * (N_ROWS - N_NULLS)
    names = {path.name.split("-")[1] for path in (tmp_path / "s").glob("*.parquet")}
    assert names == {"mon", "tue"}


def test_a_table_is_not_scored_over_itself(run_job: Run, model: Path, table: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    pq.write_to_dataset(pq.read_table(table), place)
    arguments = ("--model", model, "--input.path", place, "--output.path", place, "--features.handle_invalid", "keep")
    done = run_job("score", *arguments, "--output.mode", "overwrite")
    assert_failed(done, 2, "which is or lies in")
    assert read(place).column_names == ["id", "x", "y", "day"]


def test_scoring_other_columns_than_those_of_the_fit(run_job: Run, model: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.parquet"
    pq.write_table(pa.table({"v": pa.array([[0.0, 0.0], [6.0, 3.0]])}), renamed)
    done = run_job(
        "score", "--model", model, "--input.path", renamed, "--output.path", tmp_path / "s", "--features.columns", "v"
    )
    assert done.code == 0, done.err
    assert len(set(read(tmp_path / "s")["prediction"].to_pylist())) == 2


def test_sampling_names_the_features_of_the_fit(run_job: Run, model: Path, tmp_path: Path) -> None:
    done = run_job("sample", "--model", model, "--n", 500, "--output.path", tmp_path / "sampled")
    assert done.code == 0, done.err
    sampled = read(tmp_path / "sampled")
    assert set(sampled.column_names) == {"component", "x", "y"}
    assert sampled.num_rows == 500


def test_sampling_from_written_parameters_follows_them(run_job: Run, tmp_path: Path) -> None:
    parameters: dict[str, Any] = {
        "covariance_type": "diag",
        "weights": [0.2, 0.3, 0.5],
        "means": [[0, 0], [10, 0], [0, 10]],
        "covariances": [[1, 4], [4, 1], [1, 1]],
    }
    (tmp_path / "mixture.json").write_text(json.dumps(parameters))
    n = 20_000
    done = run_job(
        "sample",
        *("--parameters", tmp_path / "mixture.json", "--n", n, "--seed", 3),
        *("--output.path", tmp_path / "sampled", "--output.vector", "v", "--output.partitions", 3),
    )
    assert done.code == 0, done.err
    sampled = read(tmp_path / "sampled")
    components, rows = sampled["component"].to_numpy(), np.array(sampled["v"].to_pylist())
    assert (np.diff(components) >= 0).all(), "ordered by component"
    assert chisquare(np.bincount(components), n * np.array(parameters["weights"])).pvalue > 1e-3
    for component, (mean, variance) in enumerate(zip(parameters["means"], parameters["covariances"], strict=True)):
        drawn = rows[components == component]
        error = np.sqrt(np.array(variance) / len(drawn))
        assert (np.abs(drawn.mean(axis=0) - mean) < 5 * error).all()
        np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.1)


def test_a_fit_can_start_from_a_model(run_job: Run, model: Path, table: Path, tmp_path: Path) -> None:
    again = ("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", "--model.initial_model", model)
    done = run_job("fit", *again, "--output.model", tmp_path / "again", "--output.report", tmp_path / "again.json")
    assert done.code == 0, done.err
    first, second = (json.loads((tmp_path / f"{name}.json").read_text())["fit"] for name in ("fit", "again"))
    assert second["iterations"] <= 3
    assert second["log_likelihood"] == pytest.approx(first["log_likelihood"], rel=1e-6)


def test_a_fit_can_start_from_written_parameters(run_job: Run, table: Path, tmp_path: Path) -> None:
    parameters: dict[str, Any] = {
        "covariance_type": "diag",
        "weights": [0.5, 0.3, 0.2],
        "means": [[0, 0], [6, 3], [3, 1]],
        "covariances": [[1, 1], [1, 1], [2, 2]],
    }
    (tmp_path / "start.json").write_text(json.dumps(parameters))
    done = run_job(
        "fit",
        *("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", "--output.model", tmp_path / "m"),
        *("--model.initial_parameters", tmp_path / "start.json", "--output.report", tmp_path / "fit.json"),
    )
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "fit.json").read_text())
    assert (report["mixture"]["covariance_type"], len(report["mixture"]["weights"])) == ("diag", 3)
    rows = pq.read_table(table, columns=["x", "y"]).to_pandas().dropna().to_numpy()
    start = {**parameters, "covariances": [np.diag(variances) for variances in parameters["covariances"]]}
    assert report["fit"]["history"][0]["lower_bound"] == pytest.approx(log_density(start, rows).mean(), rel=1e-9)


def assert_failed(done: Outcome, code: int, message: str) -> None:
    """A failure ends with its code, its message, and a last line that says what to do."""
    assert done.code == code, done.err
    assert message in done.err
    assert done.err.splitlines()[-1].startswith(
        tuple(f"{job} ended with exit code" for job in ("fit", "select", "score", "sample"))
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--input.path", "/no/such/place"], 3, "fit failed: input.path: got '/no/such/place', which cannot be read"),
        (["--input.path", "", "--input.table", "no_such_table"], 3, "input.table: got 'no_such_table'"),
        (["--features.columns", "x", "z"], 3, "features.columns: got z, which the table lacks; it has id, x, y, day"),
        (["--features.columns", "x", "day"], 3, "day"),
        (["--input.where", "x >"], 2, "input.where: got 'x >', needs a Spark SQL condition"),
        (["--input.where", "y > 1e9"], 3, "no usable row"),
        (
            ["--features.handle_invalid", "error"],
            3,
            "5 with a null feature in x (d=2); clean the table, or set features.handle_invalid to 'skip'",
        ),
        (["--features.weight", "w"], 3, "w"),
        (["--output.model", "{table}"], 2, "which is or lies in input.path"),
        (["--output.report", "{table}/r.json"], 2, "which is or lies in input.path"),
        (["--output.model", "m", "--output.report", "m/r.json"], 2, "which is or lies in output.model"),
        (["--output.report", "/proc/no/r.json"], 2, "output.report: got '/proc/no/r.json', which cannot be written"),
        (["--output.model", "/proc/no/model"], 2, "output.model: got '/proc/no/model', which cannot be written"),
        (["--model.initial_model", "/no/such/model"], 3, "/no/such/model"),
        (["--model.initial_parameters", "/no/such/start.json"], 3, "/no/such/start.json: no such file"),
        (["--model.initial_parameters", str(Path(__file__))], 2, "model.initial_parameters: got"),
    ],
)
def test_how_a_fit_fails(
    run_job: Run, table: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", "--output.model", tmp_path / "m"),
        *(argument.replace("{table}", str(table)) for argument in arguments),
    )
    assert_failed(done, code, message)
    assert "Traceback" not in done.err
    assert published(tmp_path / "m") == [], "nothing was published"


def test_a_fit_that_must_converge_and_does_not_writes_its_report_and_no_model(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", "--output.model", tmp_path / "m"),
        *("--model.max_iter", 1, "--model.tol", 0, "--run.require_convergence"),
        *("--output.report", tmp_path / "report.json"),
    )
    assert_failed(done, 4, "no convergence to model.tol=0 in model.max_iter=1")
    assert published(tmp_path / "m") == []
    assert json.loads((tmp_path / "report.json").read_text())["fit"]["converged"] is False


def published(output: Path) -> list[str]:
    """Return the files of models, complete or not, that lie in a directory of runs."""
    return [str(path) for path in output.rglob("*") if path.name == "_manifest.json" or "attempt-" in str(path)]


def test_bad_rows_met_while_scoring_end_with_code_3_and_leave_the_old_table(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    pq.write_to_dataset(pa.table({"old": [1]}), tmp_path / "scored")
    done = run_job(
        "score",
        *("--model", model, "--input.path", table, "--output.path", tmp_path / "scored"),
        *("--output.mode", "overwrite", "--output.report", tmp_path / "score.json"),
    )
    assert_failed(done, 3, "5 with a null feature")
    assert read(tmp_path / "scored").to_pydict() == {"old": [1]}
    assert not (tmp_path / "score.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "/no/such/model"], 3, "/no/such/model"),
        (["--parameters", "/no/such/file.json"], 3, "/no/such/file.json: no such file"),
        (["--parameters", "{broken}"], 2, "needs a JSON file"),
        (["--parameters", "{list}"], 2, "needs a JSON object"),
        (["--parameters", "{half}"], 2, "weights"),
    ],
)
def test_how_a_sample_fails(run_job: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    texts = {"broken": "{", "list": "[1]", "half": '{"weights": [0.5], "means": [[0]], "covariances": [[[1]]]}'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    named = [str(tmp_path / one.strip("{}")) if one.startswith("{") else one for one in arguments]
    done = run_job("sample", *named, "--n", 10, "--output.path", tmp_path / "sampled")
    assert_failed(done, code, message)
    assert not (tmp_path / "sampled").exists()


@pytest.mark.parametrize("setting", [None, "DYNAMIC", "static"])
def test_scoring_one_day_again_replaces_that_day_and_no_other(
    run_job: Run, spark: SparkSession, model: Path, table: Path, tmp_path: Path, setting: str | None
) -> None:
    path, name = tmp_path / "scored", "spark.sql.sources.partitionOverwriteMode"
    score = ("score", "--model", model, "--input.path", table, "--features.handle_invalid", "keep")
    partitioned = ("--output.path", path, "--output.partition_by", "day")
    assert run_job(*score, *partitioned).code == 0
    one_day = ("--input.where", "day = 'mon' AND id < 100", "--output.mode", "overwrite")
    if setting is not None:
        spark.conf.set(name, setting)
    try:
        done = run_job(*score, *partitioned, *one_day)
    finally:
        spark.conf.unset(name)
    if setting == "static":
        assert_failed(done, 2, f'output.mode: got "overwrite" with {name} = static')
    else:
        assert done.code == 0, done.err
    days = read(path).to_pandas().groupby("day").size().to_dict()
    assert days == {"mon": N_ROWS // 2 if setting == "static" else 50, "tue": N_ROWS // 2}


def test_a_report_that_fails_after_the_table_was_written_does_not_say_that_nothing_was(
    run_job: Run, model: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gmm_spark.jobs.run.report.RunReport.write", fail)
    arguments = ("--model", model, "--input.path", table, "--output.path", tmp_path / "scored")
    done = run_job("score", *arguments, "--features.handle_invalid", "skip")
    assert_failed(done, 1, f"the table in {tmp_path / 'scored'} is written, but what follows it failed: ")
    assert "Nothing was published" not in done.err
    assert read(tmp_path / "scored").num_rows == N_ROWS - N_NULLS


def test_anything_else_ends_with_code_1_and_a_traceback_without_secrets_in_a_file(
    run_job: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("cannot log in with hunter2")

    monkeypatch.setattr("gmm_spark.jobs.fit.read_table", fail)
    done = run_job(
        "fit", "--input.path", table, *FEATURES, "--output.model", tmp_path / "m", "--input.options", "password=hunter2"
    )
    assert_failed(done, 1, "fit failed: RuntimeError: cannot log in with [redacted]")
    named = re.search(r"Details are in (\S+\.log)\. ", done.err)
    assert named
    told = Path(named[1]).read_text()
    assert "Traceback" in told
    assert "hunter2" not in told + done.err
    assert "Traceback" not in done.err


def test_an_interruption_ends_with_code_1_and_publishes_nothing(
    run_job: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gmm_spark.jobs.fit.read_table", interrupt)
    done = run_job("fit", "--input.path", table, *FEATURES, "--output.model", tmp_path / "m")
    assert_failed(done, 1, "fit failed: interrupted")
    assert published(tmp_path / "m") == []


def test_outputs_may_have_dots_and_partition_columns_any_case(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    done = run_job(
        "score",
        *(
            "--model",
            model,
            "--input.path",
            table,
            "--output.path",
            tmp_path / "s",
            "--features.handle_invalid",
            "keep",
        ),
        *("--output.prediction", "gmm.cluster", "--output.anomaly", "gmm.odd", "--output.partition_by", "DAY"),
    )
    assert done.code == 0, done.err
    assert {"gmm.cluster", "gmm.odd", "day"} <= set(read(tmp_path / "s").column_names)


def test_a_scored_table_can_be_scored_again_if_its_old_scores_are_not_kept(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    score = ("score", "--model", model, "--features.handle_invalid", "keep")
    assert run_job(*score, "--input.path", table, "--output.path", tmp_path / "once").code == 0
    again = (*score, "--input.path", tmp_path / "once", "--output.path", tmp_path / "twice", "--output.columns", "id")
    done = run_job(*again)
    assert done.code == 0, done.err
    assert read(tmp_path / "twice").column_names == ["id", "prediction", "log_density"]
    assert read(tmp_path / "twice").sort_by("id") == read(tmp_path / "once").sort_by("id").select(
        ["id", "prediction", "log_density"]
    )
    kept = run_job(*again, "prediction", "--output.mode", "overwrite")
    assert kept.code == 3, "a column cannot be kept and appended"
    assert "prediction" in kept.err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--output.columns", "id"], "which has other columns: x (there double, now no)"),
        (["--output.prediction", "cluster"], "cluster (there no, now int)"),
        (["--output.partition_by"], "output.partition_by: got nothing, but output.path '"),
        (["--output.partition_by", "day", "id"], "output.partition_by: got day, id, but output.path '"),
    ],
)
def test_rows_are_not_appended_to_a_table_of_another_kind(
    run_job: Run, model: Path, table: Path, tmp_path: Path, changed: list[str], message: str
) -> None:
    score = ("score", "--model", model, "--input.path", table, "--features.handle_invalid", "skip")
    one = ("--output.path", tmp_path / "s", "--output.mode", "append", "--output.partition_by", "day")
    assert run_job(*score, *one).code == 0
    if "--output.columns" in changed:
        changed = [*changed, "day"]
    assert_failed(run_job(*score, *one, *changed), 2, message)
    assert run_job(*score, *one, "--output.partition_by", "Day").code == 0
    assert read(tmp_path / "s").num_rows == 2 * (N_ROWS - N_NULLS)


def test_a_scheduled_fit_starts_from_its_newest_run_and_says_what_has_moved(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    output = tmp_path / "models"
    common = (*FEATURES, "--features.handle_invalid", "skip", "--output.model", output, "--model.k", 2)
    yesterdays = (*common, "--model.initial_model", output, "--input.path", table)
    assert_failed(run_job("fit", *yesterdays, "--run-id", "day-0"), 3, "where there is nothing")
    first = run_job("fit", *yesterdays, "--model.initial_model_optional", "--run-id", "day-1")
    assert first.code == 0, first.err
    assert "; since" not in first.out
    frame = pq.read_table(table).to_pandas()
    frame["y"] += np.where(frame["x"] > 3, 0.5, 0.0)
    frame.iloc[:450].to_parquet(tmp_path / "later.parquet")
    later = ("--input.path", tmp_path / "later.parquet", "--output.report", tmp_path / "later.json")
    second = run_job("fit", *yesterdays, *later, "--model.initial_model_optional", "--run-id", "day-2")
    assert second.code == 0, second.err
    assert "; since run day-1 the mean of component " in second.out.splitlines()[-1]
    moved = json.loads((tmp_path / "later.json").read_text())["moved"]
    assert (moved["since"]["run_id"], moved["gone"], moved["new"]) == ("day-1", [], [])
    right = max(moved["components"], key=lambda one: one["shifts"]["y"])
    assert right["shifts"]["y"] == pytest.approx(0.5, abs=0.15)
    assert right["weight"] == pytest.approx(1 / 3, abs=0.02)
    assert_failed(run_job("fit", *yesterdays, "--model.k", 3), 2, "model.k: got 3, but model.initial_model has 2")
    other = ("--features.columns", "y", "x")
    assert_failed(run_job("fit", *yesterdays, *other), 2, "has them in another order")
    (manifest,) = output.glob("run_id=day-2/_manifest.json")
    manifest.write_text("{")
    assert_failed(run_job("fit", *yesterdays, "--model.initial_model_optional"), 3, "damaged")
