"""The console command gmm-spark, in a checkout and from a wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gmm_spark
from gmm_spark.jobs.command import JOBS, main
from gmm_spark.jobs.exits import ExitCode
from tests.jobs.conftest import ROOT


@pytest.fixture(autouse=True)
def _command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the process's command line, which a job's help reads."""
    monkeypatch.setattr(sys, "argv", ["gmm-spark"])


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--help", "--version"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([flag])
    shown = capsys.readouterr().out
    assert [job for job in JOBS if f"\n    {job} " not in shown] == []
    assert shown.endswith(f"\ngmm-spark {gmm_spark.__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["fitt"], ["where"], ["where", "fitt"]])
def test_an_unknown_command_or_job_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    assert capsys.readouterr().err.startswith("usage: gmm-spark")


@pytest.mark.parametrize("job", JOBS)
def test_what_follows_a_job_is_for_the_job(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([job, "--help"])
    assert re.match(rf"usage: gmm-spark {job} ([A-Z]+ )*\[--config FILE\]", capsys.readouterr().out)
    with pytest.raises(SystemExit) as ended:
        main([job, "--surplus", "--version"])
    assert ended.value.code == ExitCode.CONFIGURATION
    failure = capsys.readouterr().err
    assert failure.startswith(f"{job} failed: ")
    assert "--surplus: unknown flag" in failure
    assert "--version: unknown flag" in failure


@pytest.mark.parametrize("job", JOBS)
def test_a_checkout_has_the_scripts_in_its_folder_jobs(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["where", job])
    script = Path(capsys.readouterr().out.strip())
    assert script.parent == ROOT / "jobs"
    assert f"from gmm_spark.jobs.{job} import main" in script.read_text()


def test_a_checkout_has_the_dags_for_airflow(capsys: pytest.CaptureFixture[str]) -> None:
    main(["where", "airflow"])
    assert Path(capsys.readouterr().out.strip()) == ROOT / "jobs" / "airflow"


@pytest.mark.parametrize("package", ["pyspark", "pydantic", "tqdm"])
def test_a_missing_package_is_named_in_one_sentence(package: str) -> None:
    # In a process of its own: here these packages are imported already.
    program = f"import sys; sys.modules[{package!r}] = None\nfrom gmm_spark.jobs.command import main; main(['fit'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == ExitCode.FAILURE
    assert done.stderr == f"gmm-spark: fit needs {package}; run pip install 'gmm-spark[jobs]'\n"


@pytest.mark.slow
def test_a_wheel_brings_the_command_and_the_scripts(installed: Path, tmp_path: Path) -> None:
    """That they run is in tests/docs, which runs README's commands from the same wheel."""
    assert (installed / "gmm_spark" / "py.typed").exists()
    settings = {**os.environ, "PYTHONPATH": str(installed)}  # before the checkout on the path

    def find(name: str) -> Path:
        command = [sys.executable, str(installed / "bin" / "gmm-spark"), "where", name]
        return Path(subprocess.check_output(command, text=True, cwd=tmp_path, env=settings).strip())

    scripts = {job: find(job) for job in JOBS}
    assert {script.parent for script in scripts.values()} == {installed / "gmm_spark" / "jobs" / "submit"}
    for name, folder in (("airflow", ROOT / "jobs" / "airflow"), ("conf", ROOT / "conf")):
        assert {file.name for file in find(name).glob("*.*")} == {file.name for file in folder.glob("*.*")}
