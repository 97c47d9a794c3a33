"""Which exit codes Airflow retries, and how they are read from what its Spark provider says (6.3.4)."""

from __future__ import annotations

import pytest

import gmm_exits
from gmm_spark.jobs.exits import ExitCode

COMMAND = "Cannot execute: spark-submit --master local[2] /opt/jobs/fit.py --config /etc/fit.toml."
LAST_LINES = """fit failed: 2 faults in the configuration of fit:
  model.k: got 0, needs to be greater than or equal to 1
  output.model: missing, needs directory of runs
fit ended with exit code 2. Nothing was done. Correct the keys above and run it again; --help lists every key."""


def text(code: int, output: str = LAST_LINES) -> str:
    return f"{COMMAND} Error code is: {code}.\nLast spark-submit output:\n{output}"


@pytest.mark.parametrize("code", ExitCode)
def test_airflow_retries_the_codes_that_the_jobs_say_are_worth_it(code: ExitCode) -> None:
    assert (code not in gmm_exits.FINAL) == (code.is_retried or code is ExitCode.DONE)
    assert ExitCode.DRIFT == gmm_exits.DRIFT


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (text(3), 3),
        (text(-9, ""), -9),
        (f"{COMMAND} Error code is: 3. Kubernetes spark exit code is: 0", 3),
        (f"{COMMAND} Error code is: 0. Kubernetes spark exit code is: 4", 4),
        (f"{COMMAND} Error code is: 1. Kubernetes spark exit code is: 6", 6),
        ("Spark application spark-1 failed (phase=Failed exit_code=2 reason=Error)", 2),
        (text(1, "\t diagnostics: User application exited with status 3"), 3),
        ("YARN application a_1 ended with state: FAILED\nDiagnostics: User application exited with status 5", 5),
        ("Failed to poll for the driver status 10 times: returncode = 1", None),
        ("Cannot execute: fit.py --note Error code is: 3. Error code is: 1.", 1),
    ],
)
def test_the_exit_code_is_that_of_the_job_under_every_master(said: str, code: int | None) -> None:
    assert gmm_exits.read_ending(said).code == code


def test_the_message_is_what_the_job_said_last_whatever_surrounds_it() -> None:
    around = f"fit failed: of an earlier time\nWARN something\n{LAST_LINES}\nINFO ShutdownHookManager: Deleting"
    assert gmm_exits.read_ending(text(2, around)).message == LAST_LINES


def test_a_message_of_which_the_provider_kept_the_end_is_cut() -> None:
    kept = "\n".join(LAST_LINES.splitlines()[2:])
    assert gmm_exits.read_ending(text(2, kept)).message == kept


@pytest.mark.parametrize("output", ["", "Killed", "fit ended"])
def test_a_job_that_was_killed_has_no_message(output: str) -> None:
    assert gmm_exits.read_ending(text(-9, output)).message == ""
