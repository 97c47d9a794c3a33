"""The job report: a page from a run or a model, beside it and never in it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gmm_spark import GaussianMixtureModel
from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.formatting import show_number
from tests.jobs.conftest import Outcome
from tests.report.pages import require_sound


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test puts a model; the others copy it, since a fit takes seconds."""
    return tmp_path_factory.mktemp("fitted") / "model"


@pytest.fixture
def model(run_job: Callable[..., Outcome], table: Path, fitted: Path, tmp_path: Path) -> Path:
    if not fitted.exists():
        features = ("--features.columns", "x", "y", "--features.handle_invalid", "skip", "--model.tol", "1e-6")
        done = run_job("fit", "--input.path", table, *features, "--output.model", fitted)
        assert done.code == 0, done.err
    return Path(shutil.copytree(fitted, tmp_path / "model"))


@pytest.fixture
def run_folder(model: Path) -> Path:
    (found,) = model.glob("run_id=*")
    return found


def test_the_page_of_a_run_is_beside_its_directory_and_leaves_it_as_it_was(
    run_job: Callable[..., Outcome], model: Path, run_folder: Path, table: Path
) -> None:
    before = sorted(model.rglob("*"))
    done = run_job("report", model)
    assert done.code == 0, done.err
    run_id = run_folder.name.removeprefix("run_id=")
    path = model.parent / f"model-{run_id}.html"
    assert str(path) in done.out
    page = require_sound(path.read_text(encoding="utf-8"))
    assert sorted(model.rglob("*")) == before
    assert str(table) in page.text
    assert "595" in page.text
    assert "skipped: null feature x 5 0.8 %" in page.words
    assert "one pass over the table" not in page.words  # the fit has taken the portrait
    again = page.words.partition("The command again")[2].partition("Components")[0]
    assert "--features.columns x y --features.handle_invalid skip" in again
    assert "--model.tol 1e-06" in again


def test_a_model_outside_a_run_has_a_page_too(
    run_job: Callable[..., Outcome], model: Path, table: Path, tmp_path: Path
) -> None:
    GaussianMixtureModel.load(str(model)).save(str(tmp_path / "plain"))
    done = run_job("report", tmp_path / "plain")
    assert done.code == 0, done.err
    page = require_sound((tmp_path / "plain.html").read_text(encoding="utf-8"))
    assert "Not judged" in page.text
    assert "takes one pass over the table" in page.words
    done = run_job("report", tmp_path / "plain", "--input.path", table, "--anomalies", 3)
    assert done.code == 0, done.err
    page = require_sound((tmp_path / "plain.html").read_text(encoding="utf-8"))
    assert "one pass over the table" not in page.words
    assert "The 3 least likely rows of the table" in page.words
    assert page.words.count(" sd above; ") + page.words.count(" sd below; ") == 3  # two features, in three rows
    assert page.tags.count("svg") >= 4
    done = run_job("report", tmp_path / "plain", "--anomalies", 3)
    assert done.code == 2
    assert "needs a table to find them in" in done.err


def test_a_model_that_was_saved_with_columns_for_its_verdicts_has_a_page_of_any_table(
    run_job: Callable[..., Outcome], model: Path, table: Path, tmp_path: Path
) -> None:
    saved = GaussianMixtureModel.load(str(model)).setReasonsCol("reasons").setAnomalyCol("anomaly")
    saved.setLogDensityCol("density").save(str(tmp_path / "reasoned"))
    done = run_job("report", tmp_path / "reasoned", "--input.path", table, "--anomalies", 2)
    assert done.code == 0, done.err
    page = require_sound((tmp_path / "reasoned.html").read_text(encoding="utf-8"))
    assert "The 2 least likely rows of the table" in page.words


def test_what_the_fit_has_learned_of_its_rows_is_in_the_run_and_on_the_page(
    run_job: Callable[..., Outcome], model: Path, run_folder: Path
) -> None:
    (portrait,) = run_folder.glob("*/portrait.json")
    stored = json.loads(portrait.read_text(encoding="utf-8"))
    assert stored["rows"] == 595
    (report,) = run_folder.glob("*/report.json")
    tree = MergeTree.from_dict(json.loads(report.read_text(encoding="utf-8"))["merge_tree"])
    assert run_job("report", model).code == 0
    (path,) = model.parent.glob("model-*.html")
    page = require_sound(path.read_text(encoding="utf-8"))
    assert "that of the fit's sample" in page.words
    assert "rows drawn from the mixture: 0 if" not in page.words
    assert show_number(tree.entropy, 5) in page.words
    for merge in tree.merges:
        assert f"{show_number(merge.entropy, 5)} {show_number(merge.weight, 5)}" in page.words


def test_a_page_is_never_written_into_a_run_or_among_runs(
    run_job: Callable[..., Outcome], model: Path, run_folder: Path
) -> None:
    for inside in (run_folder / "report.html", run_folder / "attempt-1" / "x.html", model / "report.html"):
        done = run_job("report", model, "--output", inside)
        assert done.code == 2, done.err
        assert "name a file beside" in done.err
        assert not inside.exists()


def test_a_damaged_report_of_a_run_is_refused(run_job: Callable[..., Outcome], run_folder: Path) -> None:
    (report,) = run_folder.glob("*/report.json")
    told = report.read_text(encoding="utf-8")
    report.write_text(told.replace('"converged": true', '"converged": null'), encoding="utf-8")
    done = run_job("report", run_folder)
    assert done.code == 3
    assert "is damaged" in done.err


def test_the_drift_of_scores_is_on_the_page(
    run_job: Callable[..., Outcome], model: Path, table: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "score.json"
    scored = ("--model", model, "--input.path", table, "--features.handle_invalid", "keep", "--output.report", scores)
    done = run_job("score", *scored, "--output.path", tmp_path / "scored", "--drift.compare", "true")
    assert done.code == 0, done.err
    done = run_job("report", model, "--scores", scores, "--output", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = require_sound((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "no change beyond chance" in page.text
    assert "rows kept without a score 5" in page.words
    scores.write_text(json.dumps({"job": "fit"}))
    done = run_job("report", model, "--scores", scores)
    assert done.code == 3
    assert "which is not the report of a job score" in done.err


def test_a_dry_run_writes_nothing(run_job: Callable[..., Outcome], model: Path) -> None:
    done = run_job("report", model, "--dry-run")
    assert done.code == 0, done.err
    assert "would write" in done.out
    assert not list(model.parent.glob("*.html"))


def test_paths_are_quoted_for_the_shell_and_for_python(
    run_job: Callable[..., Outcome], model: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "it's $HOME"
    os.rename(model, odd)
    done = run_job("report", odd, "--output", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = require_sound((tmp_path / "page.html").read_text(encoding="utf-8"))
    line = page.words.partition("By the job, for a scheduler")[2].partition("Rows that look like")[0]
    words = shlex.split(line)
    assert Path(words[words.index("--model") + 1]).is_dir()


def test_two_runs_are_compared(run_job: Callable[..., Outcome], model: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(model, tmp_path / "other"))
    done = run_job("compare", model, other)
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("other-*-compared.html")
    assert str(path) in done.out
    sections = ("verdict", "fitted", "components", "moves", "fit", "checks", "cost")
    assert " Alike " in require_sound(path.read_text(encoding="utf-8"), sections).words
    done = run_job("compare", model, other, "--output", model / "page.html")
    assert done.code == 2
    assert "name a file beside" in done.err
