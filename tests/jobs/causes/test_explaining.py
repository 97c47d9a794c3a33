"""What Spark and others say, and what becomes of it: ``texts.json`` has real messages, each with what it means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmm_spark.errors import ConfigurationError, DataError, GmmSparkError, ResourceError
from gmm_spark.jobs.causes.explaining import explain
from gmm_spark.jobs.causes.table import TABLE
from gmm_spark.jobs.causes.texts import read_links
from gmm_spark.jobs.config.jobs import SampleConfiguration
from gmm_spark.jobs.exits import exit_code
from gmm_spark.jobs.run.running import run

TEXTS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "texts.json").read_text(encoding="utf-8"))
ARGUMENTS = ["--model", "m", "--n", "1", "--output.path", "o", "--run.spark", "spark.my.password=hunter2"]
JUNK = re.compile(
    r"\bat (?:org|java|scala|py4j)\.|\.scala:\d|\.java:\d|Traceback|An error occurred while calling|SQLSTATE"
)


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one["name"])
def test_a_text_is_explained_as_its_row_says(one: dict[str, Any]) -> None:
    ours = explain(one["text"])
    assert (type(ours).__name__, int(exit_code(ours)), str(ours)) == (one["error"], one["code"], one["cause"])


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one["name"])
def test_the_last_two_lines_are_short_and_ours_and_end_with_a_remedy(
    one: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Run through the whole of what surrounds a job, without Spark: starting the session raises the error."""

    class Said(Exception):
        _stackTrace = one["text"] + "\npassword hunter2"

    def refuse(*_: object) -> None:
        raise Said

    monkeypatch.setattr("gmm_spark.jobs.run.running.open_session", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        run(lambda spark, configuration: None, SampleConfiguration, ARGUMENTS)
    failed, last = lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == one["code"]
    assert failed.startswith("sample failed: ")
    assert last.startswith(f"sample ended with exit code {one['code']}. Details are in {tmp_path}/gmm-spark-sample-")
    assert last.endswith(".")
    assert ". Nothing was published. " in last
    for line in lines:
        assert len(line) < 400
        assert not JUNK.search(line)
        assert "hunter2" not in line
    assert len(failed) > len("sample failed: ") + 5
    (log,) = tmp_path.iterdir()
    assert log.stat().st_mode & 0o777 == 0o600
    kept = log.read_text()
    assert one["text"].splitlines()[0].replace("hunter2", "[redacted]")[:60] in kept
    assert "hunter2" not in kept


def test_every_row_of_the_table_can_be_told_in_one_line() -> None:
    for cause in TABLE:
        assert cause.remedy.endswith(".")
        names = {*cause.pattern.groupindex, "told"}
        assert set(re.findall(r"\{(\w+)\}", cause.meaning)) <= names, cause
        assert len(cause.meaning) + len(cause.remedy) < 250


def test_most_rows_are_seen_in_a_text() -> None:
    seen = {
        next(
            (
                number
                for number, cause in enumerate(TABLE)
                for link in read_links(one["text"])
                if cause.pattern.search(link.line)
            ),
            -1,
        )
        for one in TEXTS
    }
    assert len(seen - {-1}) > 0.75 * len(TABLE)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.sampled_from([one["text"] for one in TEXTS]), st.integers(0, 3000))
def test_any_text_ends_in_one_short_line(noise: str, text: str, cut: int) -> None:
    for said in (noise, text[:cut] + noise, noise + text[cut:]):
        told = str(explain(said))
        assert told.strip()
        assert len(told) < 350
        assert len(told.splitlines()) == 1


def test_a_megabyte_of_text_is_read_in_no_time_to_speak_of() -> None:
    for unit in ("a.", "Caused by: x.Y: z\n", "x" * 10 + " ", "Lost task ", "Traceback (most recent call last):\n a\n"):
        assert len(str(explain(unit * (2**21 // len(unit))))) < 350


def test_an_error_of_a_worker_that_is_ours_keeps_its_class_and_message() -> None:
    ours = explain(
        "PythonException: Traceback (most recent call last):\n  File x\ngmm_spark.errors.DataError: bad row\n"
    )
    assert type(ours) is DataError
    assert str(ours) == "bad row"


def test_an_error_is_explained_by_what_it_was_raised_from() -> None:
    outer = RuntimeError("writing failed")
    outer.__cause__ = OSError(28, "No space left on device")
    assert isinstance(explain(outer), ResourceError)


def test_the_log_tells_why_a_jvm_has_ended() -> None:
    log = "26/11/27 01:00:00 ERROR DiskBlockManager: Failed to create any local dir.\n"
    assert isinstance(explain(ConnectionRefusedError(111, "Connection refused"), log=log), ResourceError)
    gateway = "PySparkRuntimeError: [JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number."
    told = explain(gateway, log="Error: Could not parse Master URL: 'nonsense'\n")
    assert isinstance(told, ConfigurationError)
    assert "'nonsense'" in str(told)


def test_an_error_of_ours_stays_as_it_is() -> None:
    ours = GmmSparkError("said")
    assert explain(ours) is ours
