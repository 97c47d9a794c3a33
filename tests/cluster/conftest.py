"""The cluster of two hosts, started once for all tests that submit to it, and what is shipped to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.standalone import ROOT, StandaloneCluster, missing_permission


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """A Master and two Workers, each Worker as a host of its own."""
    if reason := missing_permission():
        if os.environ.get("CI"):
            pytest.fail(f"CI must run the tests on a cluster of two hosts: {reason}")
        pytest.skip(f"a cluster of two hosts on one machine needs namespaces: {reason}")
    started = StandaloneCluster(tmp_path_factory.mktemp("cluster"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip for `--py-files`."""
    return build("build_zip.py", tmp_path_factory.mktemp("package") / "gmm_spark.zip")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment for `--archives`; quickly compressed, and removed at the end, since it is large."""
    path = build("build_archive.py", tmp_path_factory.mktemp("archive") / "environment.tar.gz", "--level", "1")
    yield path
    path.unlink()


def build(script: str, path: Path, *arguments: str) -> Path:
    """Run a script that builds what is shipped."""
    subprocess.run([sys.executable, str(ROOT / "shipping" / script), str(path), *arguments], check=True)
    return path
