"""Run a program beside the tests as a process of its own, since it needs another master or driver than the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def outcome_of(program: str, *arguments: str, timeout: int = 600) -> dict[str, Any]:
    """Run a program of this folder; return the JSON of its last line, or fail with the end of its errors."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
