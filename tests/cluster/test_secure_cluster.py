"""A standalone cluster as conf/secure-spark-defaults.conf has it: two jobs, and a Worker that has another secret."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.cluster.standalone import ROOT, StandaloneCluster, missing_permission, wait_until

pytestmark = pytest.mark.cluster
HOST, STRANGER = "node1", "node2"


def configure(folder: Path) -> Path:
    """Make a configuration with a new secret, as docs/cluster-standalone.md says."""
    folder.mkdir(mode=0o700)
    path = folder / "spark-defaults.conf"
    parts = [(ROOT / "conf" / name).read_text() for name in ("spark-defaults.conf", "secure-spark-defaults.conf")]
    path.write_text("".join(parts) + f"spark.authenticate.secret {secrets.token_hex(32)}\n")
    path.chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """A Master and one Worker, whose executors run the tests' own Python."""
    if reason := missing_permission():
        if os.environ.get("CI"):
            pytest.fail(f"CI must run the tests on a secure cluster: {reason}")
        pytest.skip(f"a cluster on one machine needs namespaces: {reason}")
    folder = tmp_path_factory.mktemp("secure")
    started = StandaloneCluster(folder, [HOST], Path(sys.executable), configure(folder / "conf"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


def test_a_fit_and_a_score_run_and_leave_no_row_in_clear(
    secure: StandaloneCluster, package: Path, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(4_000, 2)) + np.repeat([[0], [6]], 2_000, axis=0)
    table, model, scored, report = (tmp_path / name for name in ("rows.parquet", "model", "scored", "fit.json"))
    pq.write_table(pa.table({"x": rows[:, 0], "y": rows[:, 1]}), table)
    features = ("--features.columns", "x", "y", "--model.k", 2, "--model.n_init", 1, "--model.max_iter", 2)
    jobs: dict[str, tuple[object, ...]] = {
        "fit": (*features, "--output.model", model, "--output.report", report),
        "score": ("--model", model, "--output.path", scored),
    }
    seen: set[str] = set()
    with ThreadPoolExecutor(1) as pool:
        for job, arguments in jobs.items():
            script = ROOT / "jobs" / f"{job}.py"
            run = pool.submit(secure.submit, script, "--input.path", table, *arguments, options=["--py-files", package])
            while not run.done():
                seen.update(name for _, _, names in os.walk(secure.disk(HOST)) for name in names)
                sleep(0.05)
            done = run.result()
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert ds.dataset(scored).count_rows() == 4_000
    assert json.loads(report.read_text())["spark"]["packing"]["streamed"] is True
    assert seen, "the executors' disk was looked at"
    assert not [name for name in seen if name.startswith("gmm-")]


def test_a_worker_with_another_secret_is_refused(secure: StandaloneCluster, tmp_path: Path) -> None:
    secure.join(STRANGER, configure(tmp_path / "conf"))
    wait_until(lambda: "Failed to connect to master" in secure.log(STRANGER), "the Worker's first attempt")
    assert secure.count_workers() == 1
