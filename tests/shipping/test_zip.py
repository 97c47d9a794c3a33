"""The zip for `spark-submit --py-files`."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gmm_spark import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "shipping" / "build_zip.py"))


def test_the_same_modules_give_the_same_bytes_and_nothing_else_is_in_it(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gmm_spark"
    (package / "core" / "__pycache__").mkdir(parents=True)
    monkeypatch.setitem(script["list_modules"].__globals__, "ROOT", tmp_path)
    for name in ("__init__.py", "core/table.py", "py.typed", "core/table.py~", ".env", "core/__pycache__/table.pyc"):
        (package / name).write_text(name)
    script["build"](tmp_path / "first.zip")
    os.utime(package / "__init__.py", (1, 1))
    (package / "__init__.py").chmod(0o600)
    script["build"](tmp_path / "second.zip")
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    names = zipfile.ZipFile(tmp_path / "first.zip").namelist()
    assert names == ["gmm_spark/__init__.py", "gmm_spark/core/table.py", "gmm_spark/py.typed"]


def test_version_documentation_and_the_code_of_tasks_are_there(script: dict[str, Any], tmp_path: Path) -> None:
    script["build"](tmp_path / "gmm_spark.zip")
    program = (
        "import pydoc, gmm_spark, gmm_spark.spark.packing.tasks as tasks\n"
        "assert tasks.__file__.startswith(gmm_spark.__path__[0])\n"
        "print(gmm_spark.__file__, gmm_spark.__version__, len(pydoc.render_doc('gmm_spark')) > 500)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "gmm_spark.zip")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    file = str(tmp_path / "gmm_spark.zip" / "gmm_spark" / "__init__.py")
    assert done.stdout.split() == [file, __version__, "True"], done.stderr


def test_a_page_is_written_from_the_zip(script: dict[str, Any], tmp_path: Path) -> None:
    script["build"](tmp_path / "gmm_spark.zip")
    program = (
        "from gmm_spark.report.page import render\nfrom gmm_spark.report.verdict import Verdict\n"
        "print(render('title', 'lead', Verdict('pass', 'Pass', '', ''), []))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "gmm_spark.zip")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert "<h1><bdi>title</bdi></h1>" in done.stdout, done.stderr
