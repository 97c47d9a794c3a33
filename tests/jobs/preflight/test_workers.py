"""Workers that cannot do a job are named with their host, before the job: an old numpy, no pyarrow, another Python."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.workers import LEAST, Worker, check_workers, compare

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[3]
MODULE = "gmm_spark.spark.packing.tasks"
VERSIONS = {"numpy": "2.1.0", "scipy": "1.14.0", "pyarrow": "18.0.0", "gmm_spark": "0.1.0"}
DRIVER = Worker("driver", "3.12.4", VERSIONS, {})


def with_versions(host: str, **changed: str) -> Worker:
    return Worker(host, "3.12.4", {**VERSIONS, **changed}, {})


def without(host: str, name: str) -> Worker:
    versions = {one: version for one, version in VERSIONS.items() if one != name}
    return Worker(host, "3.12.4", versions, {name: f"ModuleNotFoundError: No module named '{name}'"})


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (
            with_versions("b", numpy="1.20.3"),
            "workers on b: numpy is 1.20.3, needs numpy 1.26 or later (the driver",
        ),
        (with_versions("b", numpy="1.26.4"), "numpy is 1.26.4, and the driver's 2.1.0: arrays do not travel"),
        (with_versions("b", scipy="1.9"), "scipy is 1.9, needs scipy 1.12 or later (the driver has 1.14.0)"),
        (with_versions("b", gmm_spark="0.0.9"), "gmm_spark is 0.0.9, needs 0.1.0 as the driver"),
        (without("b", "pyarrow"), "workers on b: pyarrow cannot be imported (ModuleNotFoundError: No module named"),
        (without("b", "gmm_spark"), "gmm_spark cannot be imported (ModuleNotFoundError"),
        (replace(DRIVER, failures={MODULE: "ImportError: cut"}), f"{MODULE} cannot be imported (ImportError: cut)"),
    ],
)
def test_each_fault_names_host_package_and_versions(worker: Worker, message: str) -> None:
    (fault,), differences = compare([DRIVER, worker], DRIVER)
    assert message in fault
    assert differences == []


def test_hosts_that_have_the_same_fault_share_a_line() -> None:
    hosts = [without(f"host-{i}", "scipy") for i in range(5)]
    (scipy, numpy), _ = compare([*hosts, with_versions("old", numpy="1.20.3")], DRIVER)
    assert scipy.startswith("workers on host-0, host-1, host-2 and 2 more: scipy cannot be imported")
    assert numpy.startswith("workers on old: numpy")


def test_other_versions_that_work_are_a_warning_and_patches_are_none() -> None:
    faults, (told,) = compare([with_versions("b", numpy="2.2.0"), with_versions("c", scipy="1.14.1")], DRIVER)
    assert faults == []
    assert told.startswith(
        "workers on b: numpy is 2.2.0, and the driver's 2.1.0: results may differ in their last digits"
    )


def test_the_least_versions_are_those_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for name, least in LEAST.items():
        (stated,) = re.findall(rf'^    "{name}>=([0-9.]+)"', text, re.MULTILINE)
        assert (*map(int, stated.split(".")), 0)[:2] == least, name


@pytest.fixture
def run_by(spark: SparkSession) -> Iterator[Callable[[str], None]]:
    """Let workers be run by another program, until the test ends."""
    before = spark.sparkContext.pythonExec

    def set_program(path: str) -> None:
        spark.sparkContext.pythonExec = path

    yield set_program
    spark.sparkContext.pythonExec = before


def find_faults(spark: SparkSession) -> str:
    """Return what is said of the workers."""
    faults = Faults()
    check_workers(faults, spark, MODULE)
    with pytest.raises(ConfigurationError) as raised:
        faults.require_none()
    return str(raised.value)


def test_workers_that_are_as_the_driver_pass(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    with caplog.at_level(logging.WARNING, "gmm_spark"):
        (worker,) = check_workers(faults, spark, MODULE)
    assert not faults
    assert caplog.messages == []
    assert worker.python == sys.version.split()[0]
    assert all(one.free > 0 and Path(one.path).is_dir() for one in worker.directories)
    assert worker.directories


def test_an_older_numpy_and_a_missing_pyarrow_are_named_in_one_message(
    spark: SparkSession, run_by: Callable[[str], None], tmp_path: Path
) -> None:
    for name, text in {
        "numpy": "__version__ = '1.20.3'",
        "pyarrow": "raise ModuleNotFoundError(\"No module named 'pyarrow'\")",
        "scipy": "__version__ = '1.14.0'",
        "pandas": "raise ModuleNotFoundError(\"No module named 'pandas'\")",  # executors need not have it
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    run_by(str(program))
    told = find_faults(spark)
    assert told.startswith("2 faults")
    assert re.search(r"workers on \S+: numpy is 1\.20\.3, needs numpy 1\.26 or later", told)
    assert re.search(r"workers on \S+: pyarrow cannot be imported \(ModuleNotFoundError: No module", told)
    assert "PythonException" not in told


def test_another_python_is_named(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark.sparkContext, "pythonVer", "3.7")
    own = ".".join(map(str, sys.version_info[:2]))
    told = find_faults(spark)
    assert re.match(rf"workers on (?!some)\S+: Python {own}\.\d+ is not the driver's, needs 3\.7; give executors", told)


def test_a_python_without_pyspark_is_named(spark: SparkSession, run_by: Callable[[str], None], tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec env -u PYTHONPATH "{sys.executable}" -S "$@"\n')
    program.chmod(0o755)
    run_by(str(program))
    own = re.escape(sys.version.split()[0])
    assert re.match(rf"workers on (?!some)\S+: Python {own} lacks pyspark; give executors", find_faults(spark))


def test_a_python_that_is_not_there_is_named(spark: SparkSession, run_by: Callable[[str], None]) -> None:
    run_by("/no/such/python")
    assert re.match(r"workers on \S+: there is no '/no/such/python' to run; ", find_faults(spark))
