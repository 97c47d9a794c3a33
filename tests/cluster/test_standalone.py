"""The jobs and their faults on a real standalone cluster of two hosts (:mod:`.standalone`)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.cluster.standalone import NODES, ROOT, StandaloneCluster, make_executor_python

pytestmark = pytest.mark.cluster

N_FILES, FILE_ROWS = 48, 2_000
N_ROWS = N_FILES * FILE_ROWS
FEATURES = ("--features.columns", "x0", "x1", "x2")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clusters along the diagonal, in many small files, each read by a task of its own."""
    folder = tmp_path_factory.mktemp("table") / "rows"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in range(N_FILES):
        rows = rng.normal(size=(FILE_ROWS, 3)) + 3 * rng.integers(0, 3, size=(FILE_ROWS, 1))
        pq.write_table(pa.table({f"x{j}": rows[:, j] for j in range(3)}), folder / f"part-{part}.parquet")
    return folder


def options(package: Path) -> list[object]:
    """Return what a user gives to spark-submit; and files stay a partition each, however small."""
    settings = ["--properties-file", ROOT / "conf" / "spark-defaults.conf"]
    return [*settings, "--conf", "spark.sql.files.maxPartitionBytes=64k", "--py-files", package]


# What is shipped


def test_fit_select_score_and_sample_run_on_executors_that_have_numpy_scipy_and_pyarrow_alone(
    cluster: StandaloneCluster, package: Path, archive: Path, table: Path, tmp_path: Path
) -> None:
    model, chosen, scored, sampled = (tmp_path / name for name in ("model", "chosen", "scored", "sampled"))
    few = ("--model.max_iter", 5, "--model.n_init", 2)
    read = ("--input.path", table)
    jobs: list[tuple[str, tuple[object, ...]]] = [
        ("fit", (*read, *FEATURES, "--model.k", 3, *few, "--output.model", model)),
        ("select_model", (*read, *FEATURES, "--selection.ks", 2, 3, *few, "--output.model", chosen)),
        ("sample", ("--model", model, "--n", 1000, "--output.path", sampled)),
    ]
    for job, arguments in jobs:
        done = cluster.submit(ROOT / "jobs" / f"{job}.py", *arguments, options=options(package))
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert ds.dataset(sampled).count_rows() == 1000
    (manifest,) = chosen.glob("run_id=*/_manifest.json")
    assert json.loads(manifest.read_text())["input"]["files"]["count"] == N_FILES

    # Executors whose hosts have no package and, if it can be hidden from them, no Python: all is in the archive.
    shipped = ["--archives", f"{archive}#environment"]
    arguments = ("--model", chosen, *read, "--output.path", scored)
    with cluster.without_interpreter():
        done = cluster.submit(
            *(ROOT / "jobs" / "score.py", *arguments), options=shipped, python="./environment/bin/python"
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = ds.dataset(scored).to_table()
    assert rows.num_rows == N_ROWS
    assert rows["log_density"].null_count == 0


def test_an_executor_without_numpy_is_told_before_the_work(
    cluster: StandaloneCluster, package: Path, table: Path, tmp_path: Path
) -> None:
    python = make_executor_python(tmp_path / "python", "numpy", "scipy")
    arguments = ("--input.path", table, *FEATURES, "--output.model", tmp_path / "model")
    done = cluster.submit(ROOT / "jobs" / "fit.py", *arguments, options=options(package), python=python)
    assert done.returncode == 2, done.stdout[-3000:]
    assert "numpy" in done.stdout
    assert any(node in done.stdout for node in NODES), "the host is named"
    assert not list((tmp_path / "model").glob("run_id=*/_manifest.json"))


def test_of_two_hosts_the_one_with_an_older_numpy_is_told(
    cluster: StandaloneCluster, package: Path, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "old" / "numpy").mkdir(parents=True)
    (tmp_path / "old" / "numpy" / "__init__.py").write_text("__version__ = '1.20.3'")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$(hostname)" = {NODES[1]} ] && export PYTHONPATH="{tmp_path}/old:$PYTHONPATH"\n'
        f'exec "{cluster.python}" "$@"\n'
    )
    python.chmod(0o755)
    # Of executors that come later nothing is asked: wait for both.
    both = ["--conf", "spark.scheduler.minRegisteredResourcesRatio=1.0"]
    arguments = ("--input.path", table, *FEATURES, "x9", "--output.model", tmp_path / "model")
    submit = (ROOT / "jobs" / "fit.py", *arguments)
    done = cluster.submit(*submit, options=[*options(package), *both], python=python)
    assert done.returncode == 2, done.stdout[-3000:]
    assert f"workers on {NODES[1]}: numpy is 1.20.3, needs numpy 1.26 or later (the driver has" in done.stdout
    assert f"workers on {NODES[0]}" not in done.stdout
    assert "features.columns: got x9, which the table lacks" in done.stdout, "in the same message"
    assert not (tmp_path / "model").exists()


def test_the_archive_runs_under_another_path(archive: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(tmp_path)], check=True)
    program = (
        "import sys, numpy, scipy.linalg, pyarrow, threadpoolctl, gmm_spark\n"
        "print(all(module.__file__.startswith(sys.prefix) for module in (numpy, pyarrow, gmm_spark)), sys.prefix)"
    )
    python = [str(tmp_path / "bin" / "python"), "-c", program]
    try:
        done = subprocess.run(
            python, capture_output=True, text=True, cwd="/", env={"PATH": "/usr/bin:/bin"}, check=False
        )
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "lib")], check=True)  # hundreds of megabytes
    assert done.stdout.split() == ["True", str(tmp_path)], done.stderr


# Faults


@pytest.fixture(scope="module")
def outcomes(cluster: StandaloneCluster, package: Path, table: Path) -> dict[str, Any]:
    """What came out of fits that each had a fault; in this order, since the last one takes a Worker away."""
    faults = (
        *("quiet", "two_executors_die", "hosts_of_one_name", "tasks_raise_at_first", "the_table_changes"),
        "a_worker_dies",
    )
    program = ROOT / "tests" / "cluster" / "fits_under_faults.py"
    done = cluster.submit(program, table, *faults, options=options(package), timeout=900)
    for name, node in cluster.nodes.items():
        if node.worker.poll() is not None:
            cluster.replace(name)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_passes_find_their_blocks_on_the_host_that_wrote_them(outcomes: dict[str, Any]) -> None:
    assert outcomes["quiet"]["rows"] == N_ROWS
    assert outcomes["quiet"]["misses"] == 0
    assert outcomes["quiet"]["warnings"] == []


@pytest.mark.parametrize(
    ("fault", "killed"),
    [("two_executors_die", 2), ("a_worker_dies", 1), ("tasks_raise_at_first", 0), ("hosts_of_one_name", 0)],
)
def test_a_fit_ends_as_if_nothing_had_failed(outcomes: dict[str, Any], fault: str, killed: int) -> None:
    quiet, found = outcomes["quiet"], outcomes[fault]
    assert found["killed"] == killed
    for fact in ("passes", "rows", "log_likelihood", "means"):
        assert found[fact] == quiet[fact], fact
    assert fault != "hosts_of_one_name" or found["misses"] > 0


def test_lost_rows_that_are_others_when_read_again_end_the_fit(outcomes: dict[str, Any]) -> None:
    found = outcomes["the_table_changes"]
    assert found["killed"] == 1
    assert found["error"] == "DataError"
    assert "as many others when it was read again" in found["message"]


def test_a_full_local_disk_is_told_and_keeps_no_row(
    cluster: StandaloneCluster, package: Path, table: Path, tmp_path: Path
) -> None:
    # Spark keeps the zip there, too; then less is left on both disks together than the 2.3 MB of 96,000 rows.
    kilobytes = package.stat().st_size // 1024 + 700
    with cluster.small_disk(NODES[0], kilobytes), cluster.small_disk(NODES[1], kilobytes):
        arguments = ("--input.path", table, *FEATURES, "--output.model", tmp_path / "model")
        done = cluster.submit(ROOT / "jobs" / "fit.py", *arguments, options=options(package))
        looked = [node.run(f"find {cluster.local} -name '*.blocks*' -size +0") for node in cluster.nodes.values()]
        left = "".join(one.stdout for one in looked)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "the local disk is full" in done.stdout
    assert "spark.local.dir" in done.stdout
    assert left == ""
    assert not list((tmp_path / "model").glob("run_id=*/_manifest.json"))
