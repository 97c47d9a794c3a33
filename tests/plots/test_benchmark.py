"""The picture of a benchmark, and the script that draws it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gmm_spark.errors import ParameterError
from gmm_spark.plots import draw_benchmark
from tests.plots.conftest import marks, parse, texts

ROOT = Path(__file__).parents[2]


def measured(rows: int, d: int, **seconds: list[float]) -> dict[str, Any]:
    return {"case": "pass", "setting": {"rows": rows, "d": d, "k": 8, "structure": "full"}, "seconds": seconds}


RESULTS = [
    measured(1000, 4, ours=[1.0, 2.0, 9.0], theirs=[8.0]),
    measured(4000, 4, ours=[4.0], theirs=[30.0]),
    measured(1000, 16, ours=[7.0], theirs=[90.0]),
    {"suite": "search", "problem": "not of the suite speed"},
]


def test_a_line_joins_what_differs_in_one_setting_alone() -> None:
    table = draw_benchmark(RESULTS).table
    ours = table[(table["along"] == "rows") & (table["contender"] == "ours")]
    assert ours[["at", "ns_per_row"]].to_numpy().tolist() == [[1000, 2e6], [4000, 1e6]]  # medians
    assert set(table["along"]) == {"rows", "d"}
    assert len(table) == 8


def test_legends_stand_below_the_data() -> None:
    root = parse(draw_benchmark(RESULTS))
    assert len(marks(root, "symbol")) == 8
    assert {"pass: ours", "pass: theirs", "d 4, k 8, structure full"} <= set(texts(root))


def test_nothing_that_varies_is_refused() -> None:
    with pytest.raises(ParameterError, match="nothing measured at two values"):
        draw_benchmark(RESULTS[:1])


def test_the_script_writes_the_picture_and_says_what_it_shows(tmp_path: Path) -> None:
    results, picture = tmp_path / "results.jsonl", tmp_path / "cost.pdf"
    results.write_text("".join(json.dumps(one) + "\n" for one in RESULTS))
    command = [sys.executable, "jobs/plot_benchmark.py", str(results), str(picture)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert picture.read_bytes().startswith(b"%PDF")
    assert "From rows = 1,000 to 4,000, ours goes from 2,000,000 to 1,000,000 ns per row" in done.stdout
