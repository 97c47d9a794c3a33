"""Tables whose weights differ: a mixture stands for the weight, and only what the kind of weights says is counted."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.mixture import criteria
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.examples import result_of


def draw(table, n, seed):
    part = table.part(n, random_stream(seed, Purpose.TABLE_SAMPLE))
    return part.rows, part.sample_weight


def fit(table, **settings):
    given = Settings(**settings)
    return search(table, draw(table, given.sample_rows, given.seed), given)


def mean_log_likelihood(table, parameters):
    found = table.evaluate(parameters)
    return found.log_likelihood / found.weight_sum


@pytest.fixture(scope="module")
def few_heavy():
    """49,990 rows of N(0, 1), and ten of N(50, 1) that have nearly all of the weight."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, 49_990), rng.normal(50, 1, 10)])[None]
    return ArrayTable(rows, np.repeat([1.0, 1e6], [49_990, 10]))


@pytest.mark.parametrize("seed", range(10))
def test_light_rows_and_heavy_ones_are_both_found_by_a_small_sample(few_heavy, seed):
    found = fit(few_heavy, k=2, sample_rows=5_000, seed=seed).parameters
    assert mean_log_likelihood(few_heavy, found) == pytest.approx(-1.25, abs=0.001)
    means = np.sort(found.shifted(few_heavy.moments.mean).means[:, 0])
    np.testing.assert_allclose(means, [0.0, np.mean(few_heavy.rows[0, -10:])], atol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_weights_over_twelve_decades_leave_a_sample_that_finds_each_cluster(seed):
    rng = np.random.default_rng(seed)
    n = 30_000
    # The likelier mixture under the weights: every cluster has rows of all weights, and its share of the weight.
    own = rng.integers(0, 3, n)
    rows = np.array([[0.0, 12.0, 0.0], [0.0, 0.0, 12.0]])[:, own] + rng.standard_normal((2, n))
    weight = 10.0 ** rng.uniform(-6, 6, n)
    table = ArrayTable(rows, weight)
    found = fit(table, k=3, sample_rows=3_000, seed=seed, n_init=4).parameters
    shares = np.bincount(own, weight) / weight.sum()
    np.testing.assert_allclose(np.sort(found.weights), np.sort(shares), rtol=1e-6)
    means = np.stack([np.average(rows[:, own == j], axis=1, weights=weight[own == j]) for j in range(3)])
    order = np.argsort(shares)
    ours = found.shifted(table.moments.mean).means[np.argsort(found.weights)]
    np.testing.assert_allclose(ours, means[order], atol=1e-6)


@pytest.mark.parametrize("power", [-40, 40])
def test_importance_weights_times_a_power_of_two_give_the_same_bits(power):
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(-2, 1, (2, 1500)), rng.normal(2, 1, (2, 1500))], axis=1)
    weight = rng.lognormal(sigma=2.0, size=3000)
    settings = {"k": 3, "sample_rows": 800, "n_init": 4, "weight_kind": "importance"}
    expected, found = (fit(ArrayTable(rows, w), **settings) for w in (weight, np.ldexp(weight, power)))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(found.parameters, name), getattr(expected.parameters, name))
    assert [r.lower_bound for r in found.history] == [r.lower_bound for r in expected.history]


@pytest.mark.parametrize("scale", [1 / 1000, 1.0, 1000.0])
def test_the_constant_of_importance_weights_does_not_choose_k(scale):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(-4, 1, (2, 500)), rng.normal(4, 1, (2, 500))], axis=1)
    table, sample = ArrayTable(rows, np.full(1000, scale)), (rows, np.full(1000, scale))
    members = [Settings(k=k, n_init=3, weight_kind="importance") for k in range(1, 7)]
    fitted = [result_of(one).parameters for one in sweep(table, lambda n, seed: sample, members)]
    found = [one.counted("importance") for one in table.evaluate_all(fitted)]
    bic = [criteria.bic(e.log_likelihood, p.n_parameters, e.weight_sum) for e, p in zip(found, fitted, strict=True)]
    assert np.argmin(bic) == 1
