"""For each code a table on which its check fires, and one like it on which the check is silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gmm_spark.core.checks.evidence import Evidence, Grid, HeldOut
from gmm_spark.core.em.ascent import EMResult, PassRecord, StartRecord
from gmm_spark.core.mixture.floor import find_floor
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable

Table = Callable[[], Evidence]


def quickly(**settings: Any) -> Settings:
    """Settings with few starts: these tables are easy."""
    return Settings(**{"n_init": 2, **settings})


def examine(
    rows: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    names: Sequence[str] | None = None,
    precision: str = "float64",
    known: MixtureParameters | None = None,
    settings: Settings | None = None,
    **facts: Any,
) -> Evidence:
    """Fit rows (d, m), or take a known mixture, in the table's own coordinates, for the result."""
    settings = settings or quickly()
    table = ArrayTable(rows, weight, precision=precision)
    profile = ColumnProfile.of(rows)
    if known is None:
        result = search(table, (rows, weight), settings, None, profile)
    else:
        record = PassRecord(1, 0.0, 0.0, 0.0)
        result = EMResult(known.shifted(-table.moments.mean), 0.0, True, (record,))
    names = names or [f"x{i}" for i in range(len(rows))]
    floor = find_floor(profile, table.moments.variance, table.moments.rows, settings.reg_covar)
    evaluation = table.evaluate(result.parameters)
    sample = (rows, weight)
    return Evidence(names, settings, result, evaluation, table.moments, sample, profile, floor, precision, **facts)


def clusters(m: int = 600, d: int = 2, apart: float = 8.0, seed: int = 0) -> np.ndarray:
    """Two round clusters (d, m) of equal size."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(d, m)) + apart * (np.arange(m) % 2)


def with_code(value: float, rows: int) -> np.ndarray:
    table = clusters()
    table[1, : 10 * rows : 10] = value
    return table


def with_outliers(share: float) -> np.ndarray:
    """Two clusters, and so large a share of rows that are uniform over a wide box."""
    outliers = np.random.default_rng(4).uniform(-60.0, 60.0, (2, round(600 * share / (1 - share))))
    return np.concatenate([clusters(), outliers], axis=1)


def with_zeros(share: float) -> np.ndarray:
    table = clusters()
    table[0, : round(share * table.shape[1])] = 0.0
    return table


def with_missing(share: float) -> np.ndarray:
    table = clusters()
    table[0, : round(share * table.shape[1])] = np.nan
    return table


def one_gaussian(k: int, distance: float) -> MixtureParameters:
    means = np.zeros((k, 2))
    means[:, 0] = distance * np.arange(k)
    return MixtureParameters(np.full(k, 1 / k), means, np.ones(k), "spherical")


def weightless(weight: float) -> Evidence:
    known = MixtureParameters([1 - weight, weight], [[0.0, 0.0], [8.0, 8.0]], [1.0, 1.0], "spherical")
    return examine(clusters(), known=known)


def far_narrow(precision: str, width: float) -> Evidence:
    rows = clusters() * width
    rows[:, ::2] -= 1000.0
    return examine(rows, precision=precision, settings=quickly(reg_covar=0.0))


def with_row_at(distance: float) -> Evidence:
    rows = np.random.default_rng(1).normal(size=(2, 300))
    rows[:, 0] = distance
    return examine(rows, settings=quickly(reg_covar=1e-4))


def related(noise: float, kind: str = "full") -> Evidence:
    rows = clusters(d=3)
    rows[2] = rows[0] - 2 * rows[1] + noise * np.random.default_rng(2).normal(size=rows.shape[1])
    return examine(rows, settings=quickly(k=4 if kind == "diag" else 2, covariance_type=kind))


def in_far_clusters() -> Evidence:
    """Clusters so far apart that all columns are correlated, though within clusters they are not."""
    return examine(clusters(apart=1e4))


def with_starts(n: int, alike: int) -> Evidence:
    evidence = examine(clusters())
    records = tuple(StartRecord("k-means", -1.0, alike=i < alike) for i in range(n))
    return replace(evidence, result=replace(evidence.result, start_records=records))


def skewed(sigma: float) -> Evidence:
    rows = np.exp(sigma * np.random.default_rng(3).normal(size=(1, 1000)))
    return examine(rows, names=["amount"])


def cut_off(low: float, m: int = 4000, atoms: int = 0) -> Evidence:
    """One Gaussian for the rows of a standard one that are not below ``low``, and for rows that are exactly there."""
    rows = np.random.default_rng(5).normal(size=(1, m))
    rows = np.concatenate([rows[rows >= low], np.full(atoms, low)])[None]
    return examine(rows, settings=quickly(k=2 if atoms else 1))


def rare_cluster() -> Evidence:
    """A skewed column, as is its logarithm: a tenth of the rows are a cluster far above the others."""
    rows = 9.0 + np.random.default_rng(3).normal(size=(1, 1000))
    rows[0, ::10] += 500.0
    return examine(rows)


def held_out(m: int, k: int, unseen: int = 2000) -> Evidence:
    """A fit of k components to m rows of one Gaussian of 3 features, and more rows of it held out."""
    rows = np.random.default_rng(4).normal(size=(3, m + unseen))
    fitted = examine(rows[:, :m], settings=quickly(k=k, reg_covar=1e-3))
    outside = ArrayTable(rows[:, m:], moments=fitted.moments).evaluate(fitted.parameters)
    facts = HeldOut(unseen / (m + unseen), unseen, unseen, outside.log_likelihood / outside.weight_sum)
    return replace(fitted, held_out=facts, grid=Grid((1, 2, k + 2), "bic"))


def split(rows: int, of: int = 600) -> Evidence:
    """So many rows held out and so many others to fit, where 0.2 of all were to be held out."""
    fitted = examine(clusters())
    fitted = replace(fitted, evaluation=replace(fitted.evaluation, rows=of))
    return replace(fitted, held_out=HeldOut(0.2, rows, rows, fitted.result.lower_bound))


def holed(odds: Sequence[float], seed: int = 7) -> Evidence:
    """Two clusters, whose second column is missing in these shares of their rows, and a mixture that knows them."""
    rng = np.random.default_rng(seed)
    known = MixtureParameters([0.5, 0.5], [[0.0, 0.0], [8.0, 8.0]], [1.0, 1.0], "spherical")
    evidence = examine(clusters(), known=known)
    rows = clusters()
    rows[1, rng.random(600) < np.array(odds)[np.arange(600) % 2]] = np.nan
    return replace(evidence, sample=(rows, None))


FIRING: dict[str, list[Table]] = {
    "component-weightless": [lambda: weightless(0.0)],
    "missing-value-code": [
        lambda: examine(with_code(-999.0, 6)),
        lambda: examine(np.round(10 * with_code(999.9, 4))),  # 9999 among whole numbers
        lambda: examine(np.vstack([with_code(-99.0, 3)[:1] + 90, with_code(-99.0, 50)[1:]])),
    ],
    "column-rounded": [lambda: examine(clusters(), names=["x", "account"], rounded={"account": 600})],
    "float32-risk": [lambda: far_narrow("float32", 1e-4)],
    "not-converged": [lambda: examine(clusters(apart=1.0), settings=quickly(max_iter=1, tol=1e-9))],
    "component-at-floor": [lambda: examine(np.where(np.arange(600) % 3, clusters(apart=0.0)[:1], 0.0))],
    "component-starved": [lambda: with_row_at(100.0)],
    "components-overlap": [lambda: examine(clusters(apart=0.0), known=one_gaussian(2, 0.6))],
    "noise-heavy": [lambda: examine(with_outliers(0.4), settings=quickly(noise=True))],
    "rows-skipped": [lambda: examine(clusters(), skipped={"null": 40})],
    "weights-against-kind": [
        lambda: examine(clusters(), np.full(600, 1 / 600)),
        lambda: examine(clusters(), np.full(600, 1000.0)),
        lambda: examine(clusters(), np.random.default_rng(6).uniform(1.0, 9.0, 600)),
    ],
    "weights-on-few-rows": [
        lambda: examine(clusters(), 1.0 + 1e6 * (np.arange(600) < 5), settings=quickly(weight_kind="importance"))
    ],
    "column-mostly-missing": [lambda: examine(with_missing(0.6))],
    "column-constant": [lambda: examine(with_zeros(0.995), settings=quickly(k=1))],
    "column-atom": [lambda: examine(with_zeros(0.4))],
    "columns-collinear": [lambda: related(0.0), lambda: related(0.02), lambda: related(0.01, "diag")],
    "missing-by-component": [lambda: holed([0.1, 0.5])],
    "held-out-share": [lambda: split(32), lambda: split(600)],
    "held-out-unlikely": [lambda: held_out(60, k=5)],
    "k-at-edge": [
        lambda: examine(clusters(), grid=Grid((1, 2), "bic")),
        lambda: examine(clusters(), grid=Grid((2, 3), "bic")),
    ],
    "starts-disagree": [lambda: with_starts(10, 2)],
    "column-skewed": [lambda: skewed(1.0)],
    "mass-out-of-range": [lambda: cut_off(0.0), lambda: cut_off(-1.0)],
}

SILENT: dict[str, list[Table]] = {
    "component-weightless": [lambda: weightless(1e-6)],
    "missing-value-code": [
        lambda: examine(with_code(-999.0, 3)),  # rows too few to be more than outliers
        lambda: examine(with_code(16.0, 6)),  # not far
        lambda: examine(with_zeros(0.4)),  # inside
        lambda: examine(clusters(apart=1e3)),  # far, but not one value
        lambda: examine(np.minimum(np.exp(2 * clusters(apart=0.0)), 60.0)),  # capped: not apart from the rest
        lambda: examine((clusters(d=1) > 4).astype(float), settings=quickly(k=1)),  # two values
    ],
    "column-rounded": [lambda: examine(clusters())],
    "float32-risk": [lambda: far_narrow("float32", 1.0), lambda: far_narrow("float64", 1e-4)],
    "not-converged": [lambda: examine(clusters(apart=1.0))],
    "component-at-floor": [lambda: examine(clusters()), lambda: examine(clusters().round())],
    "component-starved": [lambda: with_row_at(2.0)],
    "components-overlap": [lambda: examine(clusters(apart=0.0), known=one_gaussian(2, 0.7))],
    "noise-heavy": [
        lambda: examine(with_outliers(0.1), settings=quickly(noise=True)),
        lambda: examine(with_outliers(0.4)),  # without noise
    ],
    "rows-skipped": [lambda: examine(clusters(), skipped={"null": 20})],
    "weights-against-kind": [
        lambda: examine(clusters()),
        lambda: examine(clusters(), np.ones(600)),
        lambda: examine(clusters(), 1.0 + np.arange(600) % 4),
        lambda: examine(clusters(), np.full(600, 1 / 600), settings=quickly(weight_kind="importance")),
    ],
    "weights-on-few-rows": [
        lambda: examine(clusters(), 1.0 + 1e6 * (np.arange(600) < 5)),  # counts
        lambda: examine(clusters(), np.full(600, 1 / 600), settings=quickly(weight_kind="importance")),
    ],
    "column-mostly-missing": [lambda: examine(with_missing(0.4))],
    "column-constant": [lambda: examine(with_zeros(0.9))],
    "column-atom": [lambda: examine(with_zeros(0.25))],
    "columns-collinear": [lambda: related(0.2), in_far_clusters],
    "missing-by-component": [
        lambda: holed([0.4, 0.4]),
        lambda: holed([0.0, 0.15]),  # 7 points from all
        lambda: examine(clusters()),
    ],
    "held-out-share": [lambda: split(150), lambda: split(170), lambda: split(20_500, of=79_500)],
    "held-out-unlikely": [lambda: held_out(600, k=2)],
    "k-at-edge": [
        lambda: examine(clusters(), grid=Grid((1, 2, 3), "bic")),
        lambda: examine(clusters(), settings=quickly(k=1), grid=Grid((1, 2), "bic")),
    ],
    "starts-disagree": [lambda: with_starts(10, 3), lambda: with_starts(1, 1), lambda: examine(clusters())],
    "column-skewed": [
        lambda: skewed(0.3),
        lambda: examine(clusters(apart=50.0)),
        lambda: examine(-np.exp(clusters())),
        rare_cluster,
    ],
    "mass-out-of-range": [
        lambda: cut_off(-4.0),
        lambda: cut_off(0.0, m=40),  # too few rows to say
        lambda: cut_off(-3.0, m=4000, atoms=2000),  # an atom at the end, as narrow as the floor
        lambda: examine((clusters() > 4).round() + clusters().round()),  # half a step of the rounding
    ],
}
