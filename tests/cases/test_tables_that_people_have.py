"""Tables from public reports on which a fit was wrong and said nothing: codes, rounding, atoms, skewed columns.

Each is small. README.md of this folder lists all cases and where each is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.metrics import adjusted_rand_score

from gmm_spark.core.checks.registry import run_checks
from gmm_spark.core.mixture.criteria import bic
from gmm_spark.core.mixture.density import responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import make_rule, search
from gmm_spark.core.search.starts import under_table_variance
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.bounded_em import Components, climb, scaled_task
from tests.core.checks.tables import examine
from tests.examples import matched, result_of, run_em


def fitted(rows: np.ndarray, **settings) -> tuple[MixtureParameters, float]:
    """Fit rows (n, d): parameters in their own coordinates, and their mean log-likelihood."""
    block = np.ascontiguousarray(rows.T)
    table = ArrayTable(block)
    found = search(table, (block, None), Settings(**settings)).parameters
    return found.shifted(table.moments.mean), table.evaluate(found).log_likelihood / len(rows)


def bic_by_k(rows: np.ndarray, ks: Sequence[int], covariance_type: str = "full", **settings) -> dict[int, float]:
    """BIC of the mixtures that a selector would compare, by k."""
    block = np.ascontiguousarray(rows.T)
    table = ArrayTable(block)
    asked = [Settings(k=k, covariance_type=covariance_type, **settings) for k in ks]
    found = [result_of(one).parameters for one in sweep(table, lambda n, seed: (block, None), asked)]
    likelihoods = [table.evaluate(one).log_likelihood for one in found]
    criteria = [bic(value, one.n_parameters, len(rows)) for value, one in zip(likelihoods, found, strict=True)]
    return dict(zip(ks, criteria, strict=True))


def best_k(criteria: dict[int, float]) -> int:
    return min(criteria, key=lambda k: criteria[k])


def agreement(parameters: MixtureParameters, rows: np.ndarray, labels: np.ndarray) -> float:
    """Adjusted Rand index of the most probable components."""
    return float(adjusted_rand_score(labels, responsibilities(parameters, rows.T).argmax(axis=0)))


# One variance for all components, tied, has no place for a row alone.
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("seed", range(3))
def test_one_far_row_does_not_widen_the_clusters(covariance_type, rng, seed):
    # A1: a floor of 1e-6 of the variance that the row at a million makes is wider than both clusters.
    rows = np.concatenate([rng.normal(0, 1, 1000), rng.normal(10, 1, 1000), [1e6]])[:, None]
    found, log_likelihood = fitted(rows, k=3, seed=seed, covariance_type=covariance_type)
    truth = np.array([[0.0], [10.0], [1e6]])
    order = matched(found, truth)
    np.testing.assert_allclose(found.means[order], truth, atol=0.1)
    deviations = np.sqrt(found.dense_covariances[order, 0, 0])
    np.testing.assert_allclose(deviations[:2], 1.0, atol=0.06)
    task = scaled_task(rows, None, 3, "full", np.array([deviations[2] ** 2]))
    start = Components(np.array([0.5, 0.4995, 0.0005]), (truth - rows.mean()) / deviations[2], np.ones((3, 1, 1)) * 4)
    expected = climb(task, start, 500, 1e-10)
    assert log_likelihood == pytest.approx(expected.lower_bound, abs=1e-3)


def test_a_code_for_missing_values_that_takes_a_component_is_named(covariance_type, rng):
    # A2: 200 rows of a code have a component of their own, so two of the three clusters share one; no word was said.
    labels = rng.integers(0, 3, 20_000)
    rows = 6.0 * np.eye(3, 4)[labels] + rng.normal(size=(20_000, 4))
    rows[:200, 1] = -999.0
    settings = Settings(k=3, covariance_type=covariance_type)
    evidence = examine(np.ascontiguousarray(rows.T), names=["a", "b", "c", "d"], settings=settings)
    told_apart = agreement(evidence.result.parameters.shifted(rows.mean(axis=0)), rows[200:], labels[200:]) > 0.99
    named = [check for check in run_checks(evidence) if check.code == "missing-value-code"]
    assert told_apart or [(check.column, check.figures["value"], check.figures["rows"]) for check in named] == [
        ("b", -999.0, 200.0)
    ]


def test_bic_finds_three_irises_in_values_rounded_to_tenths():
    # A3: without a floor that knows the rounding BIC picks 7, for a component of deviation 0.0008.
    criteria = bic_by_k(load_iris().data[:, 2:], range(1, 8), n_init=4)
    assert best_k(criteria) == 3
    assert criteria[3] == pytest.approx(355, abs=5)


@pytest.mark.parametrize("covariance_type", ["full", "spherical"])
def test_bic_finds_one_gaussian_in_whole_numbers(covariance_type, rng):
    # A3b: components on each whole number were likelier than the Gaussian that was rounded.
    rows = np.round(rng.normal(0, 3, 5000))[:, None]
    criteria = bic_by_k(rows, [1, 2, 3, 4, 6, 8, 10], covariance_type, n_init=2)
    assert best_k(criteria) == 1
    alone = -2 * norm(rows.mean(), rows.std()).logpdf(rows).sum() + 2 * np.log(5000)
    assert criteria[1] == pytest.approx(alone, rel=1e-9)


@pytest.mark.slow
def test_bic_stops_adding_components_to_digits():
    # A4: every pixel is a whole number and blank in most digits; components on the blanks were bought without end.
    pixels = load_digits().data
    pixels = pixels[:, pixels.std(axis=0) > 1]
    assert pixels.shape == (1797, 48)
    ks = [10, 20, 40, 60]
    assert best_k(bic_by_k(pixels, ks, "diag", n_init=3)) == 40
    no_rounding = tuple(1e-6 * pixels.var(axis=0))
    assert best_k(bic_by_k(pixels, ks, "diag", n_init=3, variance_floor=no_rounding)) == 60


@pytest.mark.parametrize("settings", [{}, {"n_init": 1}, {"reg_covar": 1e-3}, {"seed": 1}, {"seed": 2}], ids=str)
def test_no_component_of_wine_sits_at_its_floor_or_on_a_handful_of_rows(settings):
    # A5: the likeliest of ten starts had a component on eight of 178 rows, at its floor, and told nothing of the wines.
    wine = load_wine()
    found, _ = fitted(wine.data, k=3, **settings)
    assert (found.weights * len(wine.data)).min() > 30
    block = np.ascontiguousarray(wine.data.T)
    floor = make_rule(ArrayTable(block), ColumnProfile.of(block), Settings(**settings)).floor
    lengths = np.linalg.eigvalsh(found.covariances / np.sqrt(np.outer(floor, floor)))
    assert lengths.min() > 1 + 1e-6
    assert agreement(found, wine.data, wine.target) > 0.6


def skewed_table(rng: np.random.Generator, n: int = 9275) -> np.ndarray:
    """Two columns of money, one of which is mostly zero, and ages: (3, n)."""
    income = np.exp(rng.normal(3, 1, n))
    wealth = np.where(rng.random(n) < 0.4, 0.0, np.exp(rng.normal(2, 1.5, n)))
    return np.stack([income, wealth, rng.integers(25, 65, n).astype(float)])


def skewed_start(covariance_type: str, rng: np.random.Generator) -> tuple[ArrayTable, MixtureParameters]:
    """Return the table, and a start of four of its rows under its variances."""
    rows = skewed_table(rng)
    table, variance = ArrayTable(rows), rows.var(axis=1)
    at = np.argsort(rows[1], kind="stable")[[0, 5000, 8000, 9270]]
    means = (rows[:, at] - table.moments.mean[:, None]).T
    return table, under_table_variance(means, variance, covariance_type)


@pytest.mark.parametrize("accelerate", [True, False])
def test_the_likelihood_never_falls_where_the_floor_binds(covariance_type, rng, accelerate):
    # A11: the lower bound fell in 147 of 148 passes, and the likeliest pass was not the one returned.
    table, start = skewed_start(covariance_type, rng)
    found = run_em(table, start, 120, 1e-9, reg_covar=1e-6, accelerate=accelerate, sample=table)
    accepted = [record.lower_bound for record in found.history if record.step != "lost"]
    assert len(accepted) > 10
    assert all(later >= earlier - 1e-11 * abs(earlier) for earlier, later in pairwise(accepted))
    evaluated = table.evaluate(found.parameters).log_likelihood / table.moments.rows
    assert evaluated >= max(accepted) - 1e-11 * abs(evaluated)
    if covariance_type in ("full", "diag"):
        unit = np.sqrt(1e-6 * table.moments.variance)
        narrowest = np.linalg.eigvalsh(found.parameters.dense_covariances / np.outer(unit, unit)).min()
        assert narrowest == pytest.approx(1.0, abs=1e-6), "a component sits on the zeros, at the floor"


@pytest.mark.parametrize("covariance_type", ["tied", "diag"])
def test_a_climb_that_looks_ahead_needs_fewer_passes_where_the_floor_binds(covariance_type, rng):
    table, start = skewed_start(covariance_type, rng)
    plain = run_em(table, start, 3000, 1e-9, reg_covar=1e-6, sample=table)
    fast = run_em(table, start, 3000, 1e-9, reg_covar=1e-6, sample=table, lookahead=table, accelerate=True)
    assert len(fast.history) < 0.5 * len(plain.history)
    assert fast.lower_bound >= plain.lower_bound - 1e-4
