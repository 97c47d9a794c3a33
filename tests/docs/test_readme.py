"""What README shows, as a new user has it: an installed package, an empty folder, nothing set, nothing given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.test_documentation import ROOT, blocks, commands

pytestmark = pytest.mark.slow

README = blocks(ROOT / "README.md")
# They install, or need a checkout: test_documentation.py checks them.
NOT_RUN = ("make", "pip", "source")
# What Spark itself says on stderr as it starts, and its bar.
SPARKS_OWN = re.compile(
    r"WARNING: |Using Spark's default log4j profile|Setting default log level|To adjust logging level"
)
SPARKS_LOG = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d WARN (Utils: |NativeCodeLoader: )")
SPARKS_BAR = re.compile(r"\[Stage [^\r]*\]|\r *")

Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program in one folder, with the installed package and its command on the paths."""
    folder = tmp_path_factory.mktemp("newcomer")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "SPARK_"))}
    path = os.pathsep.join([str(installed / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**inherited, "PATH": path, "PYTHONPATH": str(installed)}

    def start(command: list[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environment, timeout=1200, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done

    return start


def texts(language: str) -> list[str]:
    return [block.text for block in README if block.language == language]


def test_the_python_blocks_run_as_one_program_and_nothing_but_spark_writes_to_stderr(run: Run) -> None:
    done = run([sys.executable, "-c", "\n".join(texts("python"))])
    assert done.stdout.count("is_anomaly") == 1
    lines = SPARKS_BAR.sub("", done.stderr).splitlines()
    assert [line for line in lines if line.strip() and not SPARKS_OWN.match(line) and not SPARKS_LOG.match(line)] == []


def test_the_commands_run_and_write_nothing_to_stderr(run: Run) -> None:
    lines = [line for block in texts("sh") for line in commands(block) if line.split()[0] not in NOT_RUN]
    assert lines[0].startswith("gmm-spark demo")
    done = run(["bash", "-ec", "\n".join(lines)])
    assert done.stderr == ""
    assert "336,776 rows written" in done.stdout
    assert "the 10 least likely flights" in done.stdout


def test_no_block_is_of_another_kind() -> None:
    assert {block.language for block in README} <= {"python", "sh"}
