"""The programs in examples/ run as they stand, and print what docs/examples.md says they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documentation import ROOT, blocks

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGE = ROOT / "docs" / "examples.md"


def test_the_page_has_every_example() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [file.name for file in EXAMPLES if f"python examples/{file.name}\n" not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_prints_what_its_page_says(example: Path, tmp_path: Path) -> None:
    shown = [block for block in blocks(PAGE) if block.language in ("sh", "text")]
    (place,) = (i for i, block in enumerate(shown) if f"examples/{example.name}" in block.text)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell",
    }
    done = subprocess.run(
        [sys.executable, str(example)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line.rstrip() for line in shown[place + 1].text.splitlines()]
    assert [line.rstrip() for line in done.stdout.splitlines()][-len(said) :] == said
    assert "Exception" not in done.stderr
    assert list(tmp_path.iterdir()) == []  # spark-warehouse and the like
