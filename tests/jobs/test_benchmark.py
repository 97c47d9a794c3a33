"""jobs/benchmark.py as a user would run it, on tables so small that its figures say nothing of speed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.test_spark_submit import SPARK_SUBMIT, run

pytestmark = pytest.mark.slow


def found_by(tmp_path: Path, *arguments: object) -> list[dict[str, Any]]:
    out = tmp_path / "results.jsonl"
    done = run(SPARK_SUBMIT, "benchmark", "--data", tmp_path / "data", "--out", out, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_suite_search_counts_passes_and_compares_likelihoods(tmp_path: Path) -> None:
    passes, fixed, ends = found_by(
        tmp_path,
        *("--suite", "search", "--cases", "passes,fixed-points,end-to-end", "--problems", "separated"),
        *("--rows", 20_000, "--seeds", 2, "--plain", 30, "--n-init", 5),
    )
    assert passes["nInit=5: there"] == "2 of 2"
    assert max(passes["nInit=5: passes"]) <= 5
    for where in ("as drawn", "from the sample"):
        assert fixed[f"{where}: accelerated less plain, nats a row"] == pytest.approx([0.0, 0.0], abs=1e-8)
    assert sum(fixed["as drawn: accelerated"]) < sum(fixed["as drawn: plain"])
    likelihoods = ends["log-likelihood a row"]
    # Its own figure is of one M step before, and what it adds to every density counts little where densities are high.
    assert likelihoods["pyspark.ml"] == pytest.approx(likelihoods["pyspark.ml, as it says"], abs=1e-4)
    assert likelihoods["ours"] > likelihoods["pyspark.ml"] - 1e-4


def test_suite_search_picks_the_truth(tmp_path: Path) -> None:
    (choice,) = found_by(tmp_path, "--suite", "search", "--cases", "choice", "--rows", 5_000, "--n-init", 3)
    assert choice["right"] == "4 of 4"


def test_suite_speed_gives_medians_and_ratios_in_every_case(tmp_path: Path) -> None:
    cases = ["pass", "kernel", "structures", "whole", "stream", "pack", "partitions", "score", "sample"]
    results = found_by(tmp_path, "--cases", ",".join(cases), "--rows", 2_000, "--shape", "2x2", "--rounds", 1)
    assert [result["case"] for result in results] == cases
    for result in results:
        assert len(result["ratios"]) > 1
        # A pass of pyspark.ml's is told by the difference of two fits: with so few rows that is noise, of either sign.
        told = dict(result["ratios"])
        if result["case"] == "pass":
            assert math.isfinite(told.pop("pyspark.ml, one pass"))
        assert all(ratio > 0 for ratio in told.values()), told
