"""What the workers have: their Python, its packages and their disks, found out by one small job on every executor.

The job asks for nothing but pyspark: its task is a plain UDF, without Arrow, that is pickled by value. So a host that
lacks pyarrow, or this package, answers too, and is named. The packages that it imports stay imported for the tasks to
come, so that these start no later than without it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import gmm_spark
from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.storage.documents import shorten

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Packages that tasks import, and the least versions of them that this package needs. A test compares pyproject.toml.
LEAST = {"numpy": (1, 26), "scipy": (1, 12), "pyarrow": (15, 0)}
OURS = "gmm_spark"
_log = logging.getLogger(__name__)
_REMEDY = "give executors the driver's environment: PYSPARK_PYTHON, --archives, --py-files, see docs/cluster.md"
_OTHER_PYTHON = re.compile(r"worker has different version: (\S+?) than that in driver: (\S+?),")
_NO_PROGRAM = re.compile(r'Cannot run program "([^"]+)"')
_NO_PYSPARK = re.compile(r"No module named '?pyspark'?")
_HOST = re.compile(r"\(TID \d+\) \((\S+) executor")
_HOSTS = 3  # that a message names


@dataclass(frozen=True)
class Directory:
    """A local directory of an executor, where Spark and packed tables put their files.

    Attributes
    ----------
    path : str
    device : int
        Directories of one device share its space.
    free : int
        Bytes.
    """

    path: str
    device: int
    free: int


@dataclass(frozen=True)
class Worker:
    """The Python of one or more executors of a host.

    Attributes
    ----------
    host, python : str
        The version of Python is that of its language, as 3.12.4.
    versions : dict
        Of each package that could be imported.
    failures : dict
        Why others could not.
    directories : tuple of Directory
    tasks : int
        That were run there.
    """

    host: str
    python: str
    versions: dict[str, str]
    failures: dict[str, str]
    directories: tuple[Directory, ...] = ()
    tasks: int = 1


def check_workers(faults: Faults, spark: SparkSession, module: str) -> list[Worker]:
    """Find workers that cannot do a job, and warn of those that may do it otherwise; return what they have.

    Parameters
    ----------
    faults : Faults
        Gets a ConfigurationError for each fault, which names hosts, packages and versions.
    spark : SparkSession
    module : str
        Module of this package that the job's tasks will need.
    """
    workers = faults.attempt(survey_workers, spark, module) or []
    wrong, differences = compare(workers, describe_driver(module))
    for line in wrong:
        faults.add(ConfigurationError(f"{line}; {_REMEDY}"))
    for line in differences:
        _log.warning("%s", line)
    return workers


def survey_workers(spark: SparkSession, module: str) -> list[Worker]:
    """Ask every executor for what it has, as far as Spark spreads a small job over all of them.

    Parameters
    ----------
    spark : SparkSession
    module : str
        As of :func:`check_workers`.

    Raises
    ------
    ConfigurationError
        If a host has no Python, another Python than the driver, or no pyspark.
    """
    from pyspark.sql.functions import udf

    look = udf(_make_task((*LEAST, OURS, module)), "string", useArrow=False).asNondeterministic()
    try:
        answers = spark.range(1 << 12).select(look("id").alias("found")).where("found is not null").collect()
    except Exception as error:
        if (ours := _explain(spark, str(error))) is None:
            raise
        raise ours from error
    found: dict[str, Worker] = {}
    for (text,) in answers:
        told = json.loads(text)
        directories = tuple(Directory(*one) for one in told.pop("directories"))
        worker, known = Worker(**told, directories=directories), found.get(repr(told))
        found[repr(told)] = worker if known is None else replace(known, tasks=known.tasks + 1)
    return sorted(found.values(), key=lambda worker: worker.host)


def describe_spark(spark: SparkSession, workers: Sequence[Worker]) -> list[str]:
    """Describe the session and what its workers have, in lines."""
    master = spark.conf.get("spark.master", None) or "not known over Spark Connect"
    hosts = sorted({worker.host for worker in workers})
    more = f" and {len(hosts) - _HOSTS} more" if len(hosts) > _HOSTS else ""
    tasks = sum(worker.tasks for worker in workers)
    lines = [f"Spark {spark.version}, master {master}; {tasks} tasks at once, on {', '.join(hosts[:_HOSTS])}{more}"]
    kinds = dict.fromkeys(("Python " + one.python, *map(" ".join, one.versions.items())) for one in workers)
    return lines + [f"workers have {', '.join(kind)}" for kind in kinds]


def compare(workers: Iterable[Worker], driver: Worker) -> tuple[list[str], list[str]]:
    """Compare workers with the driver.

    Faults are what would end the job later: a package that is missing or too old; another major version of numpy, whose
    arrays cannot be unpickled; another version of this package, whose tasks and sums may be others. Other differences
    are warnings: numbers may differ in their last digits between hosts.

    Returns
    -------
    wrong, differences : list of str
        A line each for all hosts that have it alike.
    """
    faults: dict[str, list[str]] = {}
    warnings: dict[str, list[str]] = {}
    for worker in workers:
        own = list(_list_faults(worker, driver))
        for line in own:
            faults.setdefault(line, []).append(worker.host)
        for line in () if own else _list_differences(worker, driver):
            warnings.setdefault(line, []).append(worker.host)
    return [_name_hosts(*one) for one in faults.items()], [_name_hosts(*one) for one in warnings.items()]


def describe_driver(module: str) -> Worker:
    """Return what the driver itself has."""
    told = json.loads(_make_task((*LEAST, OURS, module))(0) or "")
    return Worker(told["host"], told["python"], told["versions"], told["failures"])


def _make_task(names: Sequence[str]) -> Callable[[int], str | None]:
    """Return the task. A function within a function is pickled by value, so that workers need not have this module."""
    begun: list[int] = []

    def look(number: int) -> str | None:
        import importlib
        import json
        import os
        import platform
        import shutil
        import socket
        import tempfile

        if begun:  # one answer from each task
            return None
        begun.append(number)
        versions, failures, directories = {}, {}, []
        for name in names:
            try:
                found = importlib.import_module(name)
                if "." not in name:
                    versions[name] = str(getattr(found, "__version__", "unknown"))
            except Exception as error:  # a package of another version can fail in any way
                failures[name] = f"{type(error).__name__}: {error}"
        for path in os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(","):
            try:
                directories.append((path, os.stat(path).st_dev, shutil.disk_usage(path).free))
            except OSError:  # whoever writes there says so
                continue
        return json.dumps(
            {
                "host": socket.gethostname(),
                "python": platform.python_version(),
                "versions": versions,
                "failures": failures,
                "directories": directories,
            }
        )

    return look


def _list_faults(worker: Worker, driver: Worker) -> Iterable[str]:
    found = False
    for name, least in LEAST.items():
        needs = f"needs {name} {'.'.join(map(str, least))} or later (the driver has {driver.versions.get(name)})"
        if name in worker.failures:
            yield f"{name} cannot be imported ({shorten(worker.failures[name])}), {needs}"
        elif _numbers(worker.versions[name]) < least:
            yield f"{name} is {worker.versions[name]}, {needs}"
        elif name == "numpy" and _numbers(worker.versions[name])[0] != _numbers(driver.versions[name])[0]:
            yield (
                f"numpy is {worker.versions[name]}, and the driver's {driver.versions[name]}: arrays do not travel "
                "between major versions"
            )
        else:
            continue
        found = True
    if OURS in worker.failures:
        yield f"{OURS} cannot be imported ({shorten(worker.failures[OURS])}), needs {gmm_spark.__version__}"
    elif worker.versions[OURS] != driver.versions[OURS]:
        yield f"{OURS} is {worker.versions[OURS]}, needs {driver.versions[OURS]} as the driver"
    elif not found:  # its modules fail if numpy does
        for name, reason in worker.failures.items():
            yield f"{name} cannot be imported ({shorten(reason)})"


def _list_differences(worker: Worker, driver: Worker) -> Iterable[str]:
    for name in LEAST:
        if _numbers(worker.versions[name]) != _numbers(driver.versions[name]):
            yield (
                f"{name} is {worker.versions[name]}, and the driver's {driver.versions[name]}: results may differ in "
                "their last digits from host to host"
            )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    found = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return tuple(found + [0] * (2 - len(found)))


def _name_hosts(line: str, hosts: Sequence[str]) -> str:
    distinct = sorted(set(hosts))
    more = f" and {len(distinct) - _HOSTS} more" if len(distinct) > _HOSTS else ""
    return f"workers on {', '.join(distinct[:_HOSTS])}{more}: {line}"


def _explain(spark: SparkSession, text: str) -> ConfigurationError | None:
    """Return what keeps workers from running any task, if it is what they lack."""
    if other := _OTHER_PYTHON.search(text):
        told = _describe_pythons(spark, other[2]) or f"workers on some host: Python {other[1]}"
        return ConfigurationError(f"{told} is not the driver's, needs {other[2]}; {_REMEDY}")
    if program := _NO_PROGRAM.search(text):
        host = at[1] if (at := _HOST.search(text)) else "some host"
        return ConfigurationError(f"workers on {host}: there is no {program[1]!r} to run; {_REMEDY}")
    if _NO_PYSPARK.search(text):
        told = _describe_pythons(spark) or "workers on some host: Python"
        return ConfigurationError(f"{told} lacks pyspark; {_REMEDY}")
    return None


def _describe_pythons(spark: SparkSession, needed: str | None = None) -> str | None:
    """Name the hosts whose Python is another than the one needed, without asking that Python for a task.

    Spark does not say on which host a worker has failed. So the executors run its program as any other; over Spark
    Connect they cannot be told to, and the answer is None.
    """
    program = "import platform, socket; print(socket.gethostname(), platform.python_version())"
    try:
        context = spark.sparkContext
        numbers = list(range(4 * context.defaultParallelism))
        answers = context._jsc.parallelize(numbers, len(numbers)).pipe([context.pythonExec, "-c", program]).collect()
    except Exception:
        return None
    hosts: dict[str, list[str]] = {}
    for answer in answers:
        host, _, version = answer.partition(" ")
        if needed is None or _numbers(version) != _numbers(needed):
            hosts.setdefault(version, []).append(host)
    return "; ".join(_name_hosts(f"Python {version}", own) for version, own in hosts.items()) or None
