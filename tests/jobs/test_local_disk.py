"""No row stays in spark.local.dir: of a job that fails or is terminated none, of a killed one until the next packs.

The jobs are real processes, killed for real.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.test_spark_submit import PYTHON, environment, jvm_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="leftovers are known by /proc"),
]


def command(table: Path, directory: Path, name: str, *arguments: str) -> list[str]:
    return [
        *(PYTHON, str(ROOT / "jobs" / "fit.py"), "--input.path", str(table), "--features.columns", "x", "y"),
        *("--output.model", str(directory / name), "--run.spark", f"spark.local.dir={directory / 'local'}"),
        *("spark.master=local[1]", "spark.ui.enabled=false", "--run.log", "text"),
        *arguments,
    ]


@contextmanager
def at_work(table: Path, directory: Path, name: str) -> Iterator[tuple[subprocess.Popen[str], set[Path]]]:
    """A fit that makes passes for ever, and its block files."""
    endless = ("--features.handle_invalid", "skip", "--model.tol", "0", "--model.max_iter", "1000000")
    before, log = set(block_files(directory)), directory / f"{name}.log"
    with (
        log.open("w") as written,
        subprocess.Popen(
            command(table, directory, name, *endless), stdout=written, stderr=written, text=True, env=environment()
        ) as job,
    ):
        try:
            deadline = time.monotonic() + 240
            while "pass 2 of" not in log.read_text():
                assert job.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, "the job made no pass"
                time.sleep(0.1)
            yield job, set(block_files(directory)) - before
        finally:
            job.kill()


def block_files(directory: Path) -> list[Path]:
    return list((directory / "local").rglob("gmm-*"))


def test_blocks_of_a_killed_job_go_with_the_next_and_others_leave_none(table: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        killed, of_killed = stack.enter_context(at_work(table, tmp_path, "killed"))
        living, of_living = stack.enter_context(at_work(table, tmp_path, "living"))
        assert of_killed
        assert of_living
        for pid in (jvm_of(killed), killed.pid):
            os.kill(pid, signal.SIGKILL)
        killed.wait()
        assert set(block_files(tmp_path)) == of_killed | of_living
        # The next job finds bad rows, and fails after it has begun to pack.
        failing = subprocess.run(
            command(table, tmp_path, "failing"), capture_output=True, text=True, env=environment(), timeout=300
        )
        assert failing.returncode == 3, failing.stderr[-2000:]
        assert set(block_files(tmp_path)) == of_living
        living.terminate()
        living.wait(timeout=120)
    assert not [file for file in (tmp_path / "local").rglob("blockmgr-*/**/*") if file.is_file()]
