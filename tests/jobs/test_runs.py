"""fit and select as runs: what stands after any of them has ended, and what readers then read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixtureModel
from gmm_spark.errors import ModelFileError, ParameterError
from gmm_spark.storage import claims
from gmm_spark.storage.hadoop import HadoopFiles, files_of
from tests.jobs.conftest import ROOT, Outcome
from tests.jobs.test_spark_submit import PYTHON, environment

Run = Callable[..., Outcome]


@pytest.fixture
def fit(run_job: Run, table: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Fit a small mixture to the table, quickly."""
    features = ("--features.columns", "x", "y", "--features.handle_invalid", "skip")
    quick = ("--model.n_init", 1, "--model.max_iter", 2)

    def run(*arguments: object) -> Outcome:
        return run_job("fit", "--input.path", table, *features, *quick, "--output.model", tmp_path / "m", *arguments)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_runs_with_two_ids_both_stand_and_the_newer_is_read(fit: Run, run_job: Run, tmp_path: Path) -> None:
    assert fit("--run-id", "b", "--model.k", 2).code == 0
    before = contents(tmp_path / "m" / "run_id=b")
    done = fit("--run-id", "a", "--model.k", 3)
    assert done.code == 0, done.err
    assert done.out.rstrip().endswith(f"run a in {tmp_path / 'm'}")
    assert contents(tmp_path / "m" / "run_id=b") == before
    assert GaussianMixtureModel.load(str(tmp_path / "m")).getK() == 3
    assert GaussianMixtureModel.load(str(tmp_path / "m" / "run_id=b")).getK() == 2

    sampled = ("--n", 10, "--output.path", tmp_path / "sampled", "--output.report", tmp_path / "r.json")
    assert run_job("sample", "--model", tmp_path / "m", *sampled).code == 0
    assert json.loads((tmp_path / "r.json").read_text())["model"]["run_id"] == "a"
    listed = run_job("runs", tmp_path / "m").out.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["b", "complete"], ["a", "complete"]]
    assert run_job("prune", tmp_path / "m", "--keep", 1).out.splitlines()[0] == "prune: removed b, complete"
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["run_id=a"]
    assert GaussianMixtureModel.load(str(tmp_path / "m")).getK() == 3


def test_a_complete_run_is_not_done_again_and_says_so(fit: Run, tmp_path: Path) -> None:
    report = ("--output.report", tmp_path / "r.json")
    assert fit("--run-id", "a", *report).code == 0
    (tmp_path / "r.json").unlink()
    before = contents(tmp_path / "m")
    again = fit("--run-id", "a", "--model.k", 5, "--output.overwrite", *report)
    assert again.code == 0, again.err
    assert again.out.startswith(f"fit: nothing to do, run a in {tmp_path / 'm'} is complete since ")
    assert again.out.endswith("it was done with other values of model.k\n")
    assert again.err == "output.overwrite has no effect: every run has a directory of its own. Take it out.\n"
    assert contents(tmp_path / "m") == before
    own = tmp_path / "m" / "run_id=a" / "attempt-1" / "report.json"
    assert (tmp_path / "r.json").read_bytes() == own.read_bytes()


def test_a_manifest_says_what_was_fitted_from_what(fit: Run, table: Path, tmp_path: Path) -> None:
    fit("--run-id", "a", "--input.options", "password=hunter2")
    text = (tmp_path / "m" / "run_id=a" / "_manifest.json").read_text()
    assert "hunter2" not in text
    found = json.loads(text)
    assert (found["job"], found["fit"]["k"], found["fit"]["features"]) == ("fit", 2, ["x", "y"])
    assert found["rows"]["used"] == found["fit"]["rows"]
    assert found["input"]["files"]["bytes"] == table.stat().st_size
    before = found["input"]["files"]["checksum"]
    os.utime(table, (1, 1))  # the same rows in a file that was written again
    fit("--run-id", "b")
    after = json.loads((tmp_path / "m" / "run_id=b" / "_manifest.json").read_text())["input"]["files"]
    assert after["checksum"] != before


def test_a_run_that_another_process_holds_is_refused(fit: Run, spark: SparkSession, tmp_path: Path) -> None:
    claims.take(files_of(spark), str(tmp_path / "m" / "run_id=a"), "fit")
    refused = fit("--run-id", "a")
    assert refused.code == 5
    failed, last = refused.err.splitlines()
    assert "run_id=a is held by a process that lives (fit on " in failed
    assert last == (
        "fit ended with exit code 5. Nothing was published. Run it again once that process has ended; a fit can also "
        "have another --run-id."
    )


def test_who_was_taken_for_dead_publishes_nothing(
    fit: Run, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "m" / "run_id=a"

    def save(model: GaussianMixtureModel, path: str) -> None:
        claim = run / "_claim-1.json"
        claim.write_text(json.dumps({**json.loads(claim.read_text()), "process": "1"}))
        claims.take(files_of(spark), str(run), "fit")
        (run / "attempt-2").mkdir()
        model.write().save(path)

    monkeypatch.setattr(GaussianMixtureModel, "save", save)
    refused = fit("--run-id", "a")
    assert refused.code == 5
    assert "was taken over by another process" in refused.err
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith("_")) == ["attempt-2"]
    assert not (run / "_manifest.json").exists()


def test_a_failed_run_leaves_word_and_can_be_done_again(fit: Run, run_job: Run, tmp_path: Path) -> None:
    assert fit("--run-id", "a", "--features.columns", "x", "z").code == 3
    assert not (tmp_path / "m").exists(), "what is refused before any work is no run"
    assert fit("--run-id", "a", "--features.handle_invalid", "error").code == 3
    (line,) = run_job("runs", tmp_path / "m").out.splitlines()[1:]
    assert line.split()[:2] == ["a", "failed"]
    assert "DataError: bad rows in x, y: at least 5 with a null feature" in line
    assert fit("--run-id", "a").code == 0
    assert [path.name for path in (tmp_path / "m" / "run_id=a").glob("attempt-*")] == ["attempt-2"]
    GaussianMixtureModel.load(str(tmp_path / "m"))


def test_a_report_that_cannot_be_copied_after_all_does_not_hide_that_the_run_is_complete(
    fit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, target = HadoopFiles.write_bytes, tmp_path / "r.json"

    def full(self: HadoopFiles, path: str, data: bytes) -> None:
        if path == str(target):
            raise OSError(28, "No space left on device")
        write(self, path, data)

    monkeypatch.setattr(HadoopFiles, "write_bytes", full)
    done = fit("--run-id", "a", "--output.report", target)
    assert done.code == 1
    failed, last = done.err.splitlines()
    assert "run a is complete, but what follows it failed: " in failed
    assert "No space left on device" in failed
    assert last.startswith("fit ended with exit code 1. Details are in ")
    assert " Part of it is published, as said above. Run it again, with" in last
    monkeypatch.undo()
    GaussianMixtureModel.load(str(tmp_path / "m"))


def test_an_edited_run_is_not_read_and_no_other_in_its_place(
    fit: Run, run_job: Run, table: Path, tmp_path: Path
) -> None:
    fit("--run-id", "a")
    fit("--run-id", "b")
    (metadata,) = (tmp_path / "m" / "run_id=b").glob("attempt-1/model/metadata/part-*")
    metadata.write_bytes(metadata.read_bytes().replace(b"full", b"tied"))
    done = run_job("score", "--model", tmp_path / "m", "--input.path", table, "--output.path", tmp_path / "scored")
    assert done.code == 3
    assert "run b in" in done.err
    assert "the contents of attempt-1/model/metadata/part-" in done.err
    assert not (tmp_path / "scored").exists()
    manifest = tmp_path / "m" / "run_id=b" / "_manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    with pytest.raises(ModelFileError, match=r"run b is damaged: .*_manifest\.json is damaged: it is not JSON"):
        GaussianMixtureModel.load(str(tmp_path / "m"))
    assert fit("--run-id", "b").code == 3


def test_a_model_is_not_saved_where_a_run_would_be_loaded(fit: Run, tmp_path: Path) -> None:
    fit("--run-id", "a")
    model = GaussianMixtureModel.load(str(tmp_path / "m"))
    for path in (tmp_path / "m", tmp_path / "m" / "run_id=a"):
        with pytest.raises(ParameterError, match="holds runs of a job, and load\\(\\) would take the newest of them"):
            model.write().overwrite().save(str(path))


SLOW_WRITE = """
import time
from gmm_spark.jobs.run import publishing

def stop(*arguments):
    print("about to publish", flush=True)
    time.sleep(600)

publishing._publish = stop
from gmm_spark.jobs.fit import main
main()
"""


@pytest.mark.slow
def test_a_run_whose_process_was_killed_twice_is_done_over(fit: Run, table: Path, tmp_path: Path) -> None:
    arguments = [
        *("--input.path", str(table), "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--model.n_init", "1", "--output.model", str(tmp_path / "m"), "--run-id", "a"),
    ]
    settings = {**environment(), "PYTHONPATH": str(ROOT)}
    command = [PYTHON, "-c", SLOW_WRITE, *arguments]
    for number in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings, cwd=tmp_path) as job:
            assert job.stdout.readline() == "about to publish\n"
            if number == 1:
                assert fit("--run-id", "a").code == 5, "it lives"
            job.send_signal(signal.SIGKILL)
        with pytest.raises(ModelFileError, match=r"has no complete run \(a: abandoned"):
            GaussianMixtureModel.load(str(tmp_path / "m"))
    done = fit("--run-id", "a")
    assert done.code == 0, done.err
    assert [path.name for path in (tmp_path / "m" / "run_id=a").glob("attempt-*")] == ["attempt-3"]
    assert GaussianMixtureModel.load(str(tmp_path / "m")).getK() == 2


def test_two_runs_of_one_id_at_once_are_one(run_job: Run, table: Path, tmp_path: Path, spark: SparkSession) -> None:
    """Two threads share the session; each runs the job's work itself, since a job ends its process."""
    from concurrent.futures import ThreadPoolExecutor

    from gmm_spark.errors import RunHeldError
    from gmm_spark.jobs.config.jobs import FitConfiguration
    from gmm_spark.jobs.fit import fit as work

    def run(run_id: str) -> str:
        values = {
            "input": {"path": str(table)},
            "features": {"columns": ["x", "y"], "handle_invalid": "skip"},
            "model": {"n_init": 1, "max_iter": 2},
            "output": {"model": str(tmp_path / "m")},
            "run": {"id": run_id},
        }
        try:
            work(spark, FitConfiguration.model_validate(values))
        except RunHeldError:
            return "held"
        return "done"

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(run, ["a", "a", "b"]))
    assert sorted(ended[:2]) == ["done", "held"]
    assert ended[2] == "done"
    assert sorted(path.parent.name for path in (tmp_path / "m").rglob("_manifest.json")) == ["run_id=a", "run_id=b"]
