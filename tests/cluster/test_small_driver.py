"""Sums far larger than the driver's heap would bear, one vector a partition, are added up on the executors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("fit_with_large_sums.py")


def test_a_driver_of_1_gb_takes_100_components_in_100_dimensions_over_200_partitions() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["partitions"] == 200
    assert outcome["vector_bytes"] * 200 > 800e6  # what the driver would otherwise be sent
    assert outcome["rows"] == 20_000
    assert outcome["resp_sum"] == pytest.approx(20_000)
    assert outcome["difference"] < 1e-9  # from the same pass over the rows in memory
