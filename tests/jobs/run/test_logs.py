"""The log of a job: quiet by default, one line a pass if asked, JSON that a program can read, and no secrets."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gmm_spark.jobs.config.sections import RunSection
from gmm_spark.jobs.run.logs import JobLog, add_facts
from tests.jobs.conftest import Outcome

logger = logging.getLogger("gmm_spark.tests")
SECRET = 'hun"ter\\2'  # which JSON writes in another way


@pytest.fixture
def log() -> Iterator[JobLog]:
    with JobLog("fit") as log:
        yield log


def test_only_warnings_are_written_unless_a_log_is_asked_for(log: JobLog, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(RunSection(), [])
    logger.info("pass 1")
    logger.warning("a file is lost")
    assert capsys.readouterr().err.rstrip().endswith("Z warning: a file is lost")


@pytest.mark.parametrize(("level", "told"), [("debug", 2), ("info", 1), ("error", 0), (None, 1)])
def test_the_level_decides_what_is_written(
    log: JobLog, capsys: pytest.CaptureFixture[str], level: str | None, told: int
) -> None:
    log.configure(RunSection(log="text", log_level=level), [])
    logger.debug("a detail")
    logger.info("a step")
    assert len(capsys.readouterr().err.splitlines()) == told


def test_each_line_of_json_is_an_object_with_what_the_caller_gave(
    log: JobLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(RunSection(log="json"), [])
    add_facts(run_id="2026-11-26")
    logger.info("pass %d", 3, extra={"pass": 3, "change": float("nan"), "bound": -1.5})
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "info",
        "logger": "gmm_spark.tests",
        "message": "pass 3",
        "job": "fit",
        "run_id": "2026-11-26",
        "pass": 3,
        "change": None,
        "bound": -1.5,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_struck_out_of_message_fields_and_traces(
    log: JobLog, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    log.configure(RunSection(log=form), [SECRET])
    try:
        raise ValueError(f"cannot log in with {SECRET}")
    except ValueError:
        logger.exception("at s3a://key:word@bucket with %s", SECRET, extra={"options": {"password": [SECRET]}})
    err = capsys.readouterr().err
    assert "hun" not in err
    assert "word@" not in err
    assert "ValueError" in err
    assert "[redacted]" in err


def test_warnings_become_lines_if_a_log_is_asked_for(log: JobLog, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(RunSection(log="json"), [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # within the block, since pytest records warnings by itself
        warnings.warn("few rows", RuntimeWarning, stacklevel=1)
        logging.captureWarnings(False)
    (line,) = capsys.readouterr().err.splitlines()
    assert "few rows" in json.loads(line)["message"]


def test_logging_is_as_it_was_after_a_job() -> None:
    root = logging.getLogger("gmm_spark")
    before = root.level, list(root.handlers)
    with JobLog("fit") as log:
        log.configure(RunSection(log="json", log_level="debug"), [])
    assert (root.level, root.handlers) == before


def test_importing_the_package_configures_no_logging() -> None:
    (handler,) = [one for one in logging.getLogger("gmm_spark").handlers if type(one) is logging.NullHandler]
    assert handler.level == logging.NOTSET
    assert logging.getLogger("gmm_spark").level == logging.NOTSET


def test_a_fit_writes_a_line_a_pass_and_both_ends_of_each_step(
    run_job: Callable[..., Outcome], table: Path, tmp_path: Path
) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--model.tol", "0", "--model.max_iter", "3", "--output.model", tmp_path / "m", "--run-id", "first"),
        *("--output.report", tmp_path / "report.json", "--run.log", "json"),
    )
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith('{"time"')]
    assert {(line["job"], line["run_id"]) for line in lines} == {("fit", "first")}
    report = json.loads((tmp_path / "report.json").read_text())
    passes = [line for line in lines if "pass" in line]
    history = report["fit"]["history"]  # of the run that was kept; another may have led at first, by a rounding
    assert [one["pass"] for one in passes] == [one["iteration"] for one in history] == [1, 2, 3]
    assert [one["bound"] for one in passes] == pytest.approx([one["lower_bound"] for one in history])
    ended = {line["step"]: line["seconds"] for line in lines if "ends after" in line["message"]}
    for step in ("read", "fit", "pack", "sample", "starts", "search", "passes", "evaluate", "write"):
        assert report["seconds"][step] == ended[step]
    assert "publish" in ended


def test_a_job_that_ends_well_is_quiet_by_default(run_job: Callable[..., Outcome], model: Path, tmp_path: Path) -> None:
    done = run_job("sample", "--model", model, "--n", 10, "--output.path", tmp_path / "drawn")
    assert (done.code, done.err) == (0, "")


def test_a_failure_is_a_record_too_if_a_log_is_asked_for(run_job: Callable[..., Outcome], tmp_path: Path) -> None:
    done = run_job(
        "sample",
        *("--model", tmp_path / "none", "--n", 10, "--output.path", tmp_path / "drawn", "--run.log", "json"),
    )
    record, failed, last = done.err.splitlines()[-3:]
    assert json.loads(record)["exit_code"] == done.code == 3
    assert json.loads(record)["message"] == failed
    assert last.endswith(json.loads(record)["remedy"])
