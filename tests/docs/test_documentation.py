"""What the README and the docs show is run, or, if that takes a cluster or long, checked as far as it can be.

Blocks of one page run in order in one folder, which is as the repository's root is after ``make demo``: it has copies
of ``conf`` and ``jobs``, and a small table of flights with its model. Spark is the tests' own session. What a new user
has, a session of their own and all flights, is in ``test_readme.py``.
"""

from __future__ import annotations

import html
import json
import logging
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from draw_pictures import PICTURES, draw_flights
from gmm_spark import MixtureParameters
from gmm_spark.jobs.command import JOBS
from gmm_spark.jobs.config.command_line import load
from gmm_spark.jobs.config.exports import ExportConfiguration
from gmm_spark.jobs.config.jobs import (
    FitConfiguration,
    JobConfiguration,
    SampleConfiguration,
    ScoreConfiguration,
    SelectConfiguration,
)
from gmm_spark.jobs.config.reports import CompareConfiguration, ReportConfiguration
from gmm_spark.jobs.config.updates import UpdateConfiguration
from gmm_spark.jobs.config.upkeep import PruneConfiguration, RunsConfiguration
from gmm_spark.jobs.demo import write_configurations
from gmm_spark.jobs.exits import ExitCode
from tests.conftest import SETTINGS
from tests.connect_server import connect_server

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONFIGURATIONS: dict[str, type[JobConfiguration]] = {
    "fit": FitConfiguration,
    "select": SelectConfiguration,
    "update": UpdateConfiguration,
    "score": ScoreConfiguration,
    "sample": SampleConfiguration,
    "report": ReportConfiguration,
    "compare": CompareConfiguration,
    "export": ExportConfiguration,
    "runs": RunsConfiguration,
    "prune": PruneConfiguration,
}
JOB_SCRIPTS = {f"jobs/{job.script}": name for name, job in JOBS.items()}
# Its jobs take minutes and gigabytes: their configuration is loaded, and they are not run.
LONG_PAGE = "benchmarks.md"
SUBMIT_OPTIONS = (
    "--archives",
    "--conf",
    "--deploy-mode",
    "--driver-memory",
    "--master",
    "--properties-file",
    "--py-files",
)
# Its session is a client of Spark Connect: `test_the_page_on_connect_runs_over_a_server` runs its programs.
CONNECT_PAGE = "connect.md"
# Their commands are for clusters of other kinds than the tests have.
PLATFORM_PAGES = "cluster-"
ROWS = 1500


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in found]


def commands(text: str) -> list[str]:
    """Return the commands of a shell block, one a line, without comments."""
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if split_words(line)]


def split_words(command: str) -> list[str]:
    """Split a command as a shell does, to which a # within a word begins no comment."""
    return shlex.split(re.sub(r"(?<=\S)#", r"\\#", command), comments=True)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a page sets up for logging holds for that page."""
    loggers = [logging.getLogger(), logging.getLogger("gmm_spark")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture(scope="module")
def demo(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a folder as the root of the repository is after ``make demo``, with fewer flights."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("conf", "jobs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    rng = np.random.default_rng(2013)
    long_haul = rng.random(ROWS) < 0.4
    distance = np.where(long_haul, rng.normal(2200.0, 250.0, ROWS), rng.normal(600.0, 200.0, ROWS))
    delay = np.where(rng.random(ROWS) < 0.3, rng.exponential(60.0, ROWS), rng.normal(-3.0, 5.0, ROWS))
    flights = pd.DataFrame(
        {
            "month": rng.integers(1, 13, ROWS).astype(np.int32),
            "dep_delay": np.where(rng.random(ROWS) < 0.02, np.nan, delay),
            "arr_delay": delay + rng.normal(-5.0, 12.0, ROWS),
            "air_time": distance / 8 + rng.normal(0.0, 8.0, ROWS),
            "distance": distance,
        }
    )
    with working_in(spark, folder):
        spark.createDataFrame(flights).coalesce(2).write.partitionBy("month").parquet("gmm-spark-demo/flights.parquet")
        write_configurations(ROOT / "conf")
        run_job(spark, "jobs/fit.py", ["--config", "gmm-spark-demo/fit.toml"])
    return folder


@contextmanager
def working_in(spark: SparkSession, folder: Path) -> Iterator[None]:
    """Let relative paths start from a folder, for Python and for Spark."""
    hadoop = spark._jvm.org.apache.hadoop.fs
    files = hadoop.FileSystem.get(spark.sparkContext._jsc.hadoopConfiguration())
    before = Path.cwd()
    try:
        os.chdir(folder)
        files.setWorkingDirectory(hadoop.Path(str(folder)))
        yield
    finally:
        os.chdir(before)
        files.setWorkingDirectory(hadoop.Path(str(before)))


def run_job(spark: SparkSession, script: str, arguments: Sequence[str]) -> None:
    """Run a job's script as a program would be run, but in the tests' session, which it leaves open."""
    run_program(spark, lambda: runpy.run_path(script, run_name="__main__"), [script, *arguments])


def run_program(spark: SparkSession, program: Callable[[], object], arguments: Sequence[str]) -> None:
    @contextmanager
    def shared(*_: object) -> Iterator[SparkSession]:
        yield spark

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmm_spark.jobs.run.running.open_session", shared)
        patch.setattr(sys, "argv", [*arguments])
        with pytest.raises(SystemExit) as ended:
            program()
    assert not ended.value.code, f"exit code {ended.value.code}; its reason is in the captured stderr"


class Shell:
    """Runs the commands of one page, or checks them. Each method named after a program takes its arguments."""

    def __init__(self, spark: SparkSession, page: str) -> None:
        self._spark = spark
        self._checked_only = page == LONG_PAGE or page.startswith(PLATFORM_PAGES)
        self._programs: dict[str, Callable[[list[str]], None]] = {
            "airflow": self._airflow,
            "cp": self._cp,
            "export": self._export,
            "gmm-spark": self._console,
            "make": self._make,
            "pip": self._pip,
            "pre-commit": self._pre_commit,
            "python": self._python,
            "source": self._source,
            "spark-submit": self._spark_submit,
        }

    def run(self, command: str) -> None:
        command = re.sub(r'"\$\(gmm-spark where (\w+)\)"', lambda found: self._where(found[1]), command)
        program, *arguments = split_words(command)
        assert program in self._programs, f"{program}: not known here; add how it is run or checked"
        self._programs[program](arguments)

    def _console(self, arguments: list[str]) -> None:
        if arguments == ["demo"]:  # the folder is as it leaves it
            return
        module, _, function = PROJECT["scripts"]["gmm-spark"].partition(":")
        run_program(self._spark, getattr(import_module(module), function), ["gmm-spark", *arguments])

    def _where(self, job: str) -> str:
        """Give the checkout's script of the same job; tests/jobs has what `where` itself prints."""
        return f"jobs/{JOBS[job].script if job in JOBS else job}"

    def _airflow(self, arguments: list[str]) -> None:
        """Airflow has an environment of its own, in which `make test-airflow` runs the DAGs."""
        source = (ROOT / "jobs" / "airflow" / "gmm_dags.py").read_text(encoding="utf-8")
        match arguments:
            case ["dags", "test", dag, day]:
                assert f'DAG("{dag}"' in source
                assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
            case ["variables", "set", "gmm", value]:
                assert {*json.loads(value)} == {*re.findall(r"^\| `(\w+)` \|", source, re.MULTILINE)}
            case _:
                assert arguments[:3] == ["connections", "add", "spark_default"], arguments

    def _cp(self, arguments: list[str]) -> None:
        """Nothing is copied: what would be must be there."""
        assert list(Path().glob(arguments[0])), arguments

    def _python(self, arguments: list[str]) -> None:
        if arguments[:2] == ["-m", "pytest"]:  # it would run this test
            files = [one for one in arguments[2:] if one.startswith("tests/")]
            assert all((ROOT / file).exists() for file in files), files
            return
        script, *rest = arguments
        if script in JOB_SCRIPTS:
            self._job(script, rest)
        elif script == "jobs/benchmark.py":
            parse_benchmark(rest)
        else:
            # jobs/plot_benchmark.py needs what a benchmark measured; the others have tests of their own.
            assert script in ("jobs/plot_benchmark.py", "docs/generate.py") or script.startswith("examples/"), script
            assert (ROOT / script).exists()

    def _job(self, script: str, arguments: list[str]) -> None:
        if self._checked_only:
            load(CONFIGURATIONS[JOB_SCRIPTS[script]], arguments)
        else:
            run_job(self._spark, script, arguments)

    def _spark_submit(self, arguments: list[str]) -> None:
        """Run the program in this session; tests/jobs and tests/cluster start a real spark-submit."""
        while arguments[0].startswith("--"):
            option, value, *arguments = arguments
            assert option in SUBMIT_OPTIONS, option
            if option == "--properties-file":
                assert (ROOT / value).exists(), value
            if option == "--py-files":
                assert f"build_zip.py {value}\n" in MAKEFILE, "`make package` writes another"
            if option == "--archives":
                assert f"build_archive.py {value.partition('#')[0]}\n" in MAKEFILE, "`make archive` writes another"
        script, *rest = arguments
        self._python([re.sub("^local:///.*/jobs/", "jobs/", script), *rest])

    def _make(self, arguments: list[str]) -> None:
        """Targets install, test or build: all that is checked is that there are such."""
        for target in (one for one in arguments if "=" not in one):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target

    def _pip(self, arguments: list[str]) -> None:
        """Nothing is installed: extras of ours must be there."""
        assert arguments[0] == "install", arguments
        extras = re.findall(r"(?:gmm-spark|\.)\[([\w,]+)\]", " ".join(arguments))
        wanted = {extra for names in extras for extra in names.split(",")}
        assert wanted <= PROJECT["optional-dependencies"].keys(), wanted

    def _pre_commit(self, arguments: list[str]) -> None:
        """It would write to .git: that there is a configuration is all that is checked."""
        assert (ROOT / ".pre-commit-config.yaml").exists()

    def _export(self, arguments: list[str]) -> None:
        for name, _, value in (argument.partition("=") for argument in arguments):
            assert name in ("SPARK_CONF_DIR", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"), name
            assert name != "SPARK_CONF_DIR" or (ROOT / value / "spark-defaults.conf").exists()

    def _source(self, arguments: list[str]) -> None:
        assert arguments == [".venv/bin/activate"]


def parse_benchmark(arguments: list[str]) -> None:
    """Let the benchmark read its command line, which ends the process on a fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "jobs"))
        benchmark = runpy.run_path(str(ROOT / "jobs" / "benchmark.py"), run_name="benchmark")
        patch.setattr(sys, "argv", ["jobs/benchmark.py", *arguments])
        benchmark["read_options"]()


def keep_configuration(text: str) -> None:
    """Load a TOML block, and keep it as a file. Its first line names the file and its job."""
    named = re.match(r"# ([\w-]+\.toml), for the job (\w+)\n", text)
    assert named, "the first line does not say `# NAME.toml, for the job JOB`"
    Path(named[1]).write_text(text, encoding="utf-8")
    load(CONFIGURATIONS[named[2]], ["--config", named[1]])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs_or_is_checked(
    spark: SparkSession, demo: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # a block may add to it
    namespace: dict[str, Any] = {"__name__": "__main__"}
    shell = Shell(spark, page.name)
    with working_in(spark, demo):
        for block in blocks(page):
            if block.language == "python":
                # The blank lines make tracebacks name the page's own lines.
                program = compile("\n" * block.line + block.text, page, "exec")
                if page.name != CONNECT_PAGE:
                    exec(program, namespace)
            elif block.language == "sh":
                for command in commands(block.text):
                    shell.run(command)
            elif block.language == "toml":
                keep_configuration(block.text)
            elif block.language == "json":
                MixtureParameters.from_dict(json.loads(block.text))
            else:
                assert block.language == "text", f"{page}:{block.line}: a block of {block.language or 'no language'}"


@pytest.mark.connect
def test_the_page_on_connect_runs_over_a_server(tmp_path: Path) -> None:
    program = "\n".join(block.text for block in blocks(ROOT / "docs" / CONNECT_PAGE) if block.language == "python")
    with connect_server(Path(sys.executable), SETTINGS, tmp_path) as url:
        assert "sc://localhost:15002" in program
        program = program.replace("sc://localhost:15002", url)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "2"  # the anomalies that the page tells of


def test_the_pictures_of_the_tutorial_are_drawn_from_what_the_demo_leaves(demo: Path) -> None:
    grid = [{"k": k, "covarianceType": "full", "bic": 10.0 * k, "converged": True} for k in (2, 3)]
    found = json.dumps({"selection": {"criterion": "bic", "chosen": 0, "mixtures": grid}})
    (demo / "gmm-spark-demo" / "select.json").write_text(found, encoding="utf-8")
    names = [f"flights-{figure.name}.svg" for figure in draw_flights(demo / "gmm-spark-demo")]
    page = (ROOT / "docs" / "tutorial-flights.md").read_text(encoding="utf-8")
    assert names == re.findall(r"^!\[.*\]\(pictures/(.*)\)$", page, re.MULTILINE)


def test_the_tutorial_says_of_each_picture_what_the_picture_says() -> None:
    page = (ROOT / "docs" / "tutorial-flights.md").read_text(encoding="utf-8")
    told = {name: reading for reading, name in re.findall(r"^!\[(.*)\]\(pictures/(.*)\)$", page, re.MULTILINE)}
    for file in PICTURES.glob("*.svg"):
        described = re.search(r"<desc[^>]*>(.*?)</desc>", file.read_text(encoding="utf-8"))[1]
        assert told.pop(file.name) == html.unescape(described)
    assert told == {}


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings, and those that the site gives to what it documents."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    documented = re.findall(r"^::: (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | {*documented}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http:", "https:", "mailto:")):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_the_page_of_the_jobs_has_every_exit_code() -> None:
    page = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == sorted(ExitCode)


def test_every_test_that_the_page_of_faults_names_is_there() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert len(named) == page.count("\n| ") - 1
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test
