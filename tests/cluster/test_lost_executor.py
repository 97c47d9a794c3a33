"""A real cluster of processes on this machine: executors die during a fit, and the result is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cluster.programs import outcome_of

pytestmark = pytest.mark.cluster

PROGRAM = "fit_while_executors_die.py"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part in range(8):
        rows = rng.normal(size=(20_000, 3)) + 3 * rng.integers(0, 3, size=(20_000, 1))
        columns = {f"x{j}": rows[:, j] for j in range(3)}
        (tmp_path / "table").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / "table" / f"part-{part}.parquet")
    return tmp_path / "table"


def test_killing_two_executors_during_a_fit_changes_nothing(table: Path) -> None:
    """On one host; test_standalone.py has two."""
    quiet = outcome_of(PROGRAM, str(table), "")
    killed = outcome_of(PROGRAM, str(table), "3,6")
    assert killed["killed"] == killed["executors"]["executors_lost"] == 2
    assert all(lost["reason"] for lost in killed["executors"]["lost"])
    assert quiet["executors"]["executors_lost"] == quiet["packing"]["misses"] == 0
    assert killed["passes"] == quiet["passes"]
    assert killed["rows"] == quiet["rows"] == 160_000
    # Partitions, and so the order of every sum, are the same: so are the bits.
    assert killed["log_likelihood"] == quiet["log_likelihood"]
    assert killed["means"] == quiet["means"]
