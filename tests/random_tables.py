"""Small tables such as people have, drawn at random: the same seed gives the same table.

Each begins as rows of a Gaussian mixture; then some of its columns or rows are spoiled as data in production are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.examples import COVARIANCE_TYPES, draw_rows, random_mixture

CODES = (-999.0, 9999.0, 1e6)


@dataclass(frozen=True)
class RandomTable:
    """Rows (d, n), weights (n,) or None, what is to be fitted, and what the rows were spoiled by."""

    rows: np.ndarray
    weight: np.ndarray | None
    k: int
    covariance_type: str
    flaws: tuple[str, ...]

    @property
    def constant(self) -> bool:
        """True if a column has one value."""
        return bool((self.rows.min(axis=1) == self.rows.max(axis=1)).any())

    @property
    def distinct_rows(self) -> int:
        """Number of distinct rows."""
        return len(np.unique(self.rows, axis=1).T)

    def __str__(self) -> str:
        d, n = self.rows.shape
        return f"n={n} d={d} k={self.k} {self.covariance_type}: {', '.join(self.flaws)}"


def some_columns(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose one or more columns."""
    d = len(rows)
    return rng.choice(d, rng.integers(1, max(2, d // 2 + 1)), replace=False)


def put_codes(rows: np.ndarray, rng: np.random.Generator) -> None:
    code, share = rng.choice(CODES), rng.choice([0.005, 0.02, 0.1])
    for j in some_columns(rows, rng):
        rows[j, rng.random(rows.shape[1]) < share] = code


def round_to_whole_numbers(rows: np.ndarray, rng: np.random.Generator) -> None:
    for j in some_columns(rows, rng):
        rows[j] = np.round(rows[j] * 10.0 ** rng.uniform(-0.5, 1.5))


def round_to_cents(rows: np.ndarray, rng: np.random.Generator) -> None:
    for j in some_columns(rows, rng):
        rows[j] = np.round(rows[j] * 10.0 ** rng.uniform(-1.5, 2), 2)


def put_zeros(rows: np.ndarray, rng: np.random.Generator) -> None:
    for j in some_columns(rows, rng):
        rows[j, rng.random(rows.shape[1]) < rng.uniform(0.2, 0.95)] = 0.0


def draw_t(rows: np.ndarray, rng: np.random.Generator) -> None:
    for j in some_columns(rows, rng):
        rows[j] += rng.standard_t(2, rows.shape[1])


def exponentiate(rows: np.ndarray, rng: np.random.Generator) -> None:
    for j in some_columns(rows, rng):
        rows[j] = np.exp((rows[j] - rows[j].mean()) / rows[j].std() * rng.uniform(0.5, 2.0))


def repeat_rows(rows: np.ndarray, rng: np.random.Generator) -> None:
    n = rows.shape[1]
    originals = rng.integers(0, n, rng.integers(1, 20))
    copies = np.flatnonzero(rng.random(n) < rng.uniform(0.1, 0.9))
    rows[:, copies] = rows[:, rng.choice(originals, len(copies))]


def make_collinear(rows: np.ndarray, rng: np.random.Generator) -> None:
    d, n = rows.shape
    if d > 1:
        noise = rng.choice([0.0, 1e-9, 1e-3])
        j = rng.integers(d)
        others = np.delete(np.arange(d), j)[: rng.integers(1, d)]
        rows[j] = rng.normal(size=len(others)) @ rows[others] + noise * rng.normal(size=n)


def make_constant(rows: np.ndarray, rng: np.random.Generator) -> None:
    rows[rng.integers(len(rows))] = rng.choice([0.0, 1.0, -999.0, 0.1])


def change_units(rows: np.ndarray, rng: np.random.Generator) -> None:
    for j in some_columns(rows, rng):
        rows[j] = rows[j] * 10.0 ** rng.uniform(-8, 8)
    for j in some_columns(rows, rng):
        rows[j] += rows[j].std() * 10.0 ** rng.uniform(0, 5)


FLAWS: dict[str, Callable[[np.ndarray, np.random.Generator], None]] = {
    "units": change_units,
    "t with 2 degrees": draw_t,
    "log-normal": exponentiate,
    "collinear": make_collinear,
    "whole numbers": round_to_whole_numbers,
    "cents": round_to_cents,
    "zeros": put_zeros,
    "codes": put_codes,
    "duplicates": repeat_rows,
    "constant": make_constant,
}
"""In the order they are applied: what rounds comes after what scales, and what repeats rows comes last."""

# Chance of each; constant columns are refused by most structures, so they are rare.
CHANCES = {"constant": 0.03, "units": 0.15, "duplicates": 0.15} | dict.fromkeys(
    ("t with 2 degrees", "log-normal", "collinear", "whole numbers", "cents", "zeros", "codes"), 0.2
)


def draw_table(seed: int) -> RandomTable:
    """Draw a table of 30 to 3000 rows and 1 to 12 columns, to be fitted with 1 to 6 components."""
    rng = np.random.default_rng([16, seed])
    n, d, k = int(30 * 100 ** rng.random()), int(rng.integers(1, 13)), int(rng.integers(1, 7))
    clusters = int(rng.integers(1, 6))
    rows = draw_rows(random_mixture("full", clusters, d, rng, spread=rng.uniform(1.0, 4.0)), n, rng)[0]
    flaws = [name for name in FLAWS if rng.random() < CHANCES[name]]
    for name in flaws:
        FLAWS[name](rows, rng)
    weight = None
    if rng.random() < 0.2:
        weight = 10.0 ** (rng.uniform(-6, 6, n) if rng.random() < 0.5 else rng.choice([-6, 0, 6], n))
        flaws.append("weights over twelve decades")
    return RandomTable(np.ascontiguousarray(rows), weight, k, COVARIANCE_TYPES[seed % 4], tuple(flaws) or ("as drawn",))
