"""Checks can be made of any fit, and one that fails does not cost the fit."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from gmm_spark.core.checks import registry
from gmm_spark.core.checks.check import Rule
from gmm_spark.core.checks.evidence import Grid, HeldOut
from gmm_spark.core.checks.registry import RULES, run_checks
from gmm_spark.core.settings import Settings
from gmm_spark.errors import GmmSparkError
from tests.core.checks.tables import clusters, examine

KINDS = ("full", "tied", "diag", "spherical")


def odd_column(rng: np.random.Generator, m: int) -> np.ndarray:
    """One column of many kinds: smooth, rounded, mostly zero, coded, of few values, heavy-tailed, of any size."""
    smooth = rng.normal(size=m)
    kinds = [
        smooth,
        (3 * smooth).round(),
        np.where(rng.random(m) < rng.random(), 0.0, smooth),
        np.where(rng.random(m) < 0.05, -999.0, smooth),
        rng.integers(0, 3, m).astype(float),
        rng.standard_cauchy(m),
        rng.lognormal(0, 3, m),
        smooth * 10.0 ** rng.uniform(-30, 30),
        smooth + 1e9,
    ]
    return kinds[rng.integers(len(kinds))]


@pytest.mark.parametrize("seed", range(24))
def test_checks_of_odd_tables_neither_fail_nor_warn_nor_give_figures_that_are_no_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, d, k = int(rng.integers(8, 200)), int(rng.integers(1, 6)), int(rng.integers(1, 5))
    rows = np.stack([odd_column(rng, m) for _ in range(d)])
    if d > 2:
        rows[1] = rows[0]
    weight = 10.0 ** rng.uniform(-6, 6, m) if seed % 3 == 0 else None
    settings = Settings(k=k, covariance_type=KINDS[seed % 4], n_init=2, max_iter=20)
    try:
        evidence = examine(rows, weight, precision=("float64", "float32")[seed % 2], settings=settings)
    except GmmSparkError:
        return  # refused before there is anything to check
    held_out = HeldOut(0.2, m // 5 + 1, m / 5, evidence.result.lower_bound - 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in (evidence, replace(evidence, held_out=held_out, grid=Grid((k, k + 1), "bic"))):
            for check in run_checks(one):
                assert all(np.isfinite(value) for name, value in check.figures.items() if name != "change"), check


def test_a_check_that_fails_is_warned_of_and_the_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_evidence):
        raise ZeroDivisionError("by nothing")
        yield

    monkeypatch.setattr(registry, "RULES", (Rule("broken-check", "serious", fail), *RULES))
    evidence = examine(clusters(), skipped={"null": 600})
    with pytest.warns(RuntimeWarning, match=r"broken-check failed \(ZeroDivisionError"):
        assert [check.code for check in run_checks(evidence)] == ["rows-skipped"]
