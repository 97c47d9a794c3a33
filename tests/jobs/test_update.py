"""Daily updates as runs: the same day twice changes nothing, a killed day goes on, and what cannot be told is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gmm_spark import GaussianMixtureModel
from gmm_spark.core.mixture.density import log_density
from tests.jobs.conftest import Outcome

Run = Callable[..., Outcome]
FIRST = date(2026, 2, 25)
N_DAYS, ROWS = 6, 400
COMMON = ("--features.columns", "x", "y", "--features.handle_invalid", "skip", "--output.portrait", "false")


def name(day: int) -> str:
    return (FIRST + timedelta(days=day)).isoformat()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Days of two clusters; the last day has a third."""
    rng, days = np.random.default_rng(4), []
    for day in range(N_DAYS):
        means = np.array([[0.0, 0.0], [7.0, 3.0]])[rng.choice(2, ROWS, p=[0.6, 0.4])]
        rows = rng.normal(size=(ROWS, 2)) + means
        if day == N_DAYS - 1:
            rows[: ROWS // 4] = rng.normal([-30.0, 40.0], 1.0, (ROWS // 4, 2))
        days.append(pa.table({"x": rows[:, 0], "y": rows[:, 1], "day": [name(day)] * ROWS}))
    path = tmp_path_factory.mktemp("days") / "table.parquet"
    pq.write_table(pa.concat_tables(days), path)
    return path


@pytest.fixture
def jobs(run_job: Run, table: Path) -> dict[str, Callable[..., Outcome]]:
    """Fit the first day, and update by another."""

    def fit(output: Path, *more: object) -> Outcome:
        where = ("--input.path", table, "--input.where", f"day = '{name(0)}'")
        return run_job("fit", *where, *COMMON, "--output.model", output, "--run-id", "fit", "--model.n_init", 2, *more)

    def update(output: Path, day: int, *more: object) -> Outcome:
        where = ("--input.path", table, "--input.where", f"day = '{name(day)}'", "--output.portrait", "false")
        return run_job(
            *("update", *where, "--output.model", output, "--update.half_life", 30, "--run-id", name(day), *more)
        )

    return {"fit": fit, "update": update}


def ended(outcome: Outcome, code: int = 0) -> str:
    assert outcome.code == code, outcome.err
    return (outcome.out if code == 0 else outcome.err).splitlines()[-1 if code == 0 else 0]


def read_report(output: Path, run_id: str) -> Any:
    (path,) = output.glob(f"run_id={run_id}/attempt-*/report.json")
    return json.loads(path.read_text())


def parameters_of(output: Path) -> Any:
    return GaussianMixtureModel.load(str(output)).parameters.to_dict()


def test_days_come_to_the_fit_of_all_and_a_killed_day_goes_on(
    jobs: dict[str, Callable[..., Outcome]], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for output in (one, other):
        ended(jobs["fit"](output, "--output.day", name(0)))
    for day in range(1, N_DAYS - 1):
        line = ended(jobs["update"](one, day))
        assert f"{ROWS} rows used, 0 skipped; run {'fit' if day == 1 else name(day - 1)} updated in" in line
    update = read_report(one, name(4))["update"]
    assert (update["verdict"]["word"], update["days"], update["elapsed"]) == ("updated", N_DAYS - 1, 1.0)
    assert read_report(one, name(4))["components"]["ids"] == [0, 1]
    whole = pq.read_table(table).to_pandas()
    rows = whole[whole["day"] < name(N_DAYS - 1)][["x", "y"]].to_numpy().T
    assert abs(log_density(GaussianMixtureModel.load(str(one)).parameters, rows).mean() - -3.49) < 0.1

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for day in range(1, N_DAYS - 1):
        if day in (2, 3):
            with monkeypatch.context() as patched:
                patched.setattr("gmm_spark.jobs.update.save_fit", die)
                assert jobs["update"](other, day, "--run.checkpoint_seconds", 0).code != 0
            assert not list(other.glob(f"run_id={name(day)}/_manifest.json"))
        ended(jobs["update"](other, day))
        if day in (2, 3):
            resumed = read_report(other, name(day))["resume"]
            assert (resumed["attempt"], resumed["answers_new"]) == (2, 0)
    assert parameters_of(other) == parameters_of(one)

    assert f"run {name(4)} in {other} is complete" in ended(jobs["update"](other, 4))
    twice = ended(jobs["update"](other, 3, "--run-id", "again", "--update.day", name(3)))
    assert twice == f"update: nothing to do, the model of run {name(4)} has seen the rows of {name(3)}"
    assert not list(other.glob("run_id=again/_manifest.json"))


def test_a_new_cluster_asks_for_a_refit_and_may_stop_the_job(
    jobs: dict[str, Callable[..., Outcome]], tmp_path: Path
) -> None:
    output, last = tmp_path / "m", N_DAYS - 1
    ended(jobs["fit"](output, "--output.day", name(0)))
    stopped = jobs["update"](output, last, "--update.if_refit", "stop", "--output.report", tmp_path / "r.json")
    assert "no updated model was published, since run fit should be fitted anew" in ended(stopped, 6)
    assert json.loads((tmp_path / "r.json").read_text())["update"]["verdict"]["word"] == "refit"
    assert not list(output.glob(f"run_id={name(last)}/_manifest.json"))
    line = ended(jobs["update"](output, last, "--run-id", "published", "--update.day", name(last)))
    assert "run fit refit: 25.8% of today's rows are less likely than all but 1 %" in line


def test_what_cannot_be_told_is_asked_before_any_work(
    jobs: dict[str, Callable[..., Outcome]], run_job: Run, table: Path, tmp_path: Path
) -> None:
    output = tmp_path / "m"
    assert "no model to update" in ended(jobs["update"](output, 1), 3)
    ended(jobs["fit"](output))
    assert "the model does not say of which day" in ended(jobs["update"](output, 1), 2)
    planned = jobs["update"](output, 1, "--update.elapsed", 60, "--dry-run")
    assert "60 days later: rows seen count 0.25 of it" in planned.out
    ended(jobs["update"](output, 1, "--update.elapsed", 60))
    early = ("--run-id", "early", "--update.day", name(0))
    assert "which is not after 2026-02-26" in ended(jobs["update"](output, 1, *early), 2)
    assert "which is a run of the job fit" in ended(jobs["update"](output, 2, "--run-id", "fit"), 2)
    lacking = ("--input.path", table, "--output.model", output, "--update.half_life", 7)
    assert "update: got no day, and run.id is not given" in run_job("update", *lacking).err
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "narrow.parquet")
    narrow = jobs["update"](output, 2, "--input.path", tmp_path / "narrow.parquet", "--input.where", "")
    assert "the table lacks y" in ended(narrow, 3)
    loaded = GaussianMixtureModel.load(str(output))
    loaded.memory = None
    loaded.save(str(tmp_path / "forgetful"))
    forgetful = jobs["update"](output, 2, "--update.model", tmp_path / "forgetful")
    assert "remembers no rows" in ended(forgetful, 2)
