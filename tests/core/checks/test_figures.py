"""The figures of the checks are what independent formulas give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.stats import lognorm, multivariate_normal, norm

from gmm_spark.core.checks.codes import find_codes
from gmm_spark.core.checks.columns import measure_skewness
from gmm_spark.core.checks.components import SAME, bhattacharyya, find_same_pairs
from gmm_spark.core.checks.evidence import HeldOut
from gmm_spark.core.checks.registry import run_checks
from gmm_spark.core.kernels.plan import bound_rounding
from gmm_spark.core.mixture.parameters import MixtureParameters
from tests.core.checks.tables import clusters, examine, held_out
from tests.examples import random_mixture


def test_the_coefficient_is_the_integral_of_the_root_of_both_densities_in_one_dimension(
    rng: np.random.Generator,
) -> None:
    for _ in range(5):
        means, deviations = rng.normal(size=2), rng.uniform(0.5, 2.0, 2)
        parameters = MixtureParameters([0.3, 0.7], means[:, None], deviations[:, None] ** 2, "diag")
        first, second = (norm(m, s).pdf for m, s in zip(means, deviations, strict=True))
        expected, _ = quad(lambda x, p=first, q=second: np.sqrt(p(x) * q(x)), -20, 20)
        assert bhattacharyya(parameters, 0, 1) == pytest.approx(expected, rel=1e-7)


def test_the_coefficient_is_the_integral_in_two_dimensions_for_every_structure(
    covariance_type: str, rng: np.random.Generator
) -> None:
    parameters = random_mixture(covariance_type, 2, 2, rng, spread=0.5)
    p, q = map(multivariate_normal, parameters.means, parameters.dense_covariances)
    expected, _ = dblquad(lambda y, x: float(np.sqrt(p.pdf([x, y]) * q.pdf([x, y]))), -8, 8, -8, 8, epsabs=1e-6)
    assert bhattacharyya(parameters, 0, 1) == pytest.approx(expected, abs=1e-5)


def test_no_pair_that_is_almost_the_same_is_missed(covariance_type: str, rng: np.random.Generator) -> None:
    parameters = random_mixture(covariance_type, 12, 3, rng, spread=0.25)
    k = parameters.n_components
    every = {(i, j): bhattacharyya(parameters, i, j) for i in range(k) for j in range(i + 1, k)}
    found = {(i, j): coefficient for coefficient, i, j in find_same_pairs(parameters)}
    assert found == {pair: coefficient for pair, coefficient in every.items() if coefficient >= SAME}
    if covariance_type in ("tied", "spherical"):  # else no two of them are that alike
        assert found


def test_the_unexplained_variance_is_that_of_a_regression_within_components(rng: np.random.Generator) -> None:
    rows = clusters(d=3, apart=50.0)
    rows[2] = rows[0] + rows[1] + 0.02 * rng.normal(size=rows.shape[1])
    (check,) = [one for one in run_checks(examine(rows)) if one.code == "columns-collinear"]
    within = rows.copy()
    for side in (0, 1):
        within[:, side::2] -= within[:, side::2].mean(axis=1, keepdims=True)
    worst = int(check.column[1:])
    others = np.delete(within, worst, axis=0)
    slopes, *_ = np.linalg.lstsq(others.T, within[worst], rcond=None)
    expected = np.var(within[worst] - slopes @ others) / np.var(within[worst])
    assert check.figures["unexplained"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_skewness_is_that_of_the_quantiles_of_a_log_normal(sigma: float) -> None:
    low, center, high = lognorm(sigma).ppf([0.05, 0.5, 0.95])
    values = lognorm(sigma).rvs(400_000, random_state=0)
    assert measure_skewness(values) == pytest.approx((low + high - 2 * center) / (high - low), abs=0.01)
    assert measure_skewness(np.log(values)) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_no_row_is_rounded_farther_than_the_bound(kind: str, rng: np.random.Generator) -> None:
    parameters = random_mixture(kind, 3, 4, rng)
    parameters = MixtureParameters(parameters.weights, 1e3 * parameters.means, parameters.covariances, kind)
    bounds = bound_rounding(parameters, np.ones(4), "float32")
    for mean, deviation, factor, bound in zip(
        parameters.means, parameters.deviations, parameters.component_cholesky, bounds, strict=True
    ):
        rows = mean + deviation * rng.uniform(-1, 1, (1000, 4))
        moved = rows.astype(np.float32) - rows
        whitened = moved * factor if factor.ndim == 1 else moved @ factor
        largest = np.linalg.norm(whitened, axis=1).max()
        assert largest <= bound
        assert largest >= bound / 20  # a bound that is never near would warn of nothing


def test_the_deviation_of_the_log_densities_is_that_of_the_rows() -> None:
    evidence = examine(clusters())
    rows = clusters() - evidence.moments.mean[:, None]
    p = evidence.parameters
    densities = sum(
        w * multivariate_normal(m, c).pdf(rows.T)
        for w, m, c in zip(p.weights, p.means, p.dense_covariances, strict=True)
    )
    assert evidence.evaluation.log_densities.deviation == pytest.approx(np.log(densities).std(), rel=0.01)


def test_rows_of_one_distribution_are_not_said_to_be_unlikely() -> None:
    """With 4 standard errors a false alarm is rare, whatever k; an overfit is told."""
    for m, k in ((300, 1), (300, 2), (1000, 3)):
        assert "held-out-unlikely" not in {check.code for check in run_checks(held_out(m, k))}
    assert "held-out-unlikely" in {check.code for check in run_checks(held_out(60, 5))}


@pytest.mark.parametrize(("errors", "told"), [(3.9, False), (4.1, True)])
def test_what_fitting_gains_is_taken_off_the_gap_to_rows_held_out(errors: float, told: bool) -> None:
    evidence = examine(np.random.default_rng(7).normal(size=(3, 60)))
    inside, n, unseen = evidence.evaluation, 60, 1000
    error = inside.log_densities.deviation * np.sqrt(1 / n + 1 / unseen)
    gap = evidence.parameters.n_parameters / n + errors * error
    outside = HeldOut(unseen / (n + unseen), unseen, unseen, inside.log_likelihood / n - gap)
    checks = run_checks(replace(evidence, held_out=outside))
    assert ("held-out-unlikely" in {check.code for check in checks}) == told


def test_codes_are_found_among_whatever_else_a_column_has(rng: np.random.Generator) -> None:
    columns = {
        "normal": rng.normal(40, 9, 1000),
        "whole numbers": rng.normal(40, 9, 1000).round(),
        "mostly zero": rng.normal(40, 9, 1000) * (rng.random(1000) < 0.3),
        "two clusters": np.concatenate([rng.normal(0, 1, 500), rng.normal(60, 2, 500)]),
    }
    for name, values in columns.items():
        assert find_codes(values) == [], name
        for code in (-999.0, 9999.0):
            coded = values.copy()
            coded[:7] = code
            assert [(one.value, one.rows) for one in find_codes(coded)] == [(code, 7)], name
        coded[:900] = -1e6  # most of the column
        assert -1e6 in [one.value for one in find_codes(coded)], name


def test_codes_are_seldom_seen_where_there_are_none(rng: np.random.Generator) -> None:
    draws = {
        "normal": lambda: rng.normal(size=2000),
        "log-normal": lambda: rng.lognormal(0, 2, 2000),
        "cents": lambda: rng.lognormal(0, 1.5, 2000).round(2),
        "counts": lambda: rng.poisson(0.3, 2000).astype(float),
        "rare counts": lambda: rng.poisson(0.01, 2000).astype(float),
        "Cauchy": lambda: rng.standard_cauchy(2000),
        "rounded Cauchy": lambda: rng.standard_cauchy(2000).round(),
        "rare cluster": lambda: np.where(
            rng.random(2000) < 0.005, rng.normal(100, 3, 2000).round(), rng.normal(0, 1, 2000)
        ),
    }
    for name, draw in draws.items():
        assert sum(bool(find_codes(draw())) for _ in range(50)) <= 1, name
