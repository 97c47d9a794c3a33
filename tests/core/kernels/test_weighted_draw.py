from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels.weight_sums import WeightSums
from gmm_spark.core.kernels.weighted_draw import WeightedDraw

ROWS, DRAWN, DRAWS = 4_000, 300, 500
# Each kind of weights, and rows of which some are far off.
WEIGHTS = {
    "equal": lambda rng: np.full(ROWS, 3.0),
    "even": lambda rng: rng.uniform(0.5, 2.0, ROWS),
    "skewed": lambda rng: rng.lognormal(sigma=2.0, size=ROWS),
    "twelve decades": lambda rng: 10.0 ** rng.uniform(-6, 6, ROWS),
    "ten rows have most": lambda rng: np.where(np.arange(ROWS) < ROWS - 10, 1.0, 1e6),
}


def draw_sample(weight, n, rng):
    """Draw as a pass does: only rows whose keys are below the bound are looked at."""
    draw = WeightedDraw(n, WeightSums.of(weight))
    keys = draw.keys(weight, rng)
    near = np.flatnonzero(keys < draw.bound)
    chosen, stands_for = draw.choose(keys[near], weight[near])
    return near[chosen], stands_for, len(near)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_sums_over_samples_are_unbiased(kind):
    rng = np.random.default_rng(3)
    weight, value = WEIGHTS[kind](rng), rng.standard_normal(ROWS) + 100.0 * (np.arange(ROWS) % 800 == 7)
    found = np.empty((DRAWS, 4))
    for i in range(DRAWS):
        chosen, stands_for, _ = draw_sample(weight, DRAWN, rng)
        found[i] = [np.sum(stands_for * power) for power in (np.ones(DRAWN), value[chosen], value[chosen] ** 2)] + [
            np.sum(stands_for / weight[chosen])  # the number of rows
        ]
    expected = [weight.sum(), weight @ value, weight @ value**2, ROWS]
    errors = (found.mean(axis=0) - expected) / np.maximum(found.std(axis=0), 1e-12 * np.abs(expected))
    assert np.abs(errors).max() * np.sqrt(DRAWS) < 4.0


def test_sums_over_samples_of_very_few_rows_are_unbiased_too():
    rng, draws = np.random.default_rng(3), 10_000
    weight = np.repeat([1.0, 4.0, 9.0], 5)
    found = np.array([draw_sample(weight, 4, rng)[1].sum() for _ in range(draws)])
    assert abs(found.mean() - weight.sum()) < 4.0 * found.std() / np.sqrt(draws)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_means_and_variances_of_samples_are_those_of_the_table(kind):
    rng = np.random.default_rng(4)
    weight, value = WEIGHTS[kind](rng), rng.gamma(2.0, size=ROWS)
    mean = np.average(value, weights=weight)
    variance = np.average((value - mean) ** 2, weights=weight)
    found = np.empty((DRAWS, 2))
    for i in range(DRAWS):
        chosen, stands_for, _ = draw_sample(weight, DRAWN, rng)
        deviation = value[chosen] - mean
        found[i] = np.average(deviation, weights=stands_for), np.average(deviation**2, weights=stands_for) - variance
    spread = found.std(axis=0)
    # The mean of a ratio is off by about the square of its deviation, over the expected value.
    assert (np.abs(found.mean(axis=0)) < 4.0 * spread / np.sqrt(DRAWS) + 2 * spread**2 / variance).all()
    assert spread[0] < 3.0 * np.sqrt(variance / DRAWN)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_sample_has_n_rows_in_their_order_and_few_more_are_looked_at(kind):
    rng = np.random.default_rng(5)
    for _ in range(50):
        chosen, stands_for, looked_at = draw_sample(WEIGHTS[kind](rng), DRAWN, rng)
        assert (len(chosen), len(stands_for)) == (DRAWN, DRAWN)
        assert (np.diff(chosen) > 0).all()
        assert DRAWN < looked_at < 2 * DRAWN + 400


def test_no_row_drawn_by_chance_weighs_more_than_twice_the_average():
    rng = np.random.default_rng(6)
    weight = WEIGHTS["twelve decades"](rng)
    for _ in range(50):
        chosen, stands_for, _ = draw_sample(weight, DRAWN, rng)
        by_chance = stands_for > weight[chosen] * (1 + 1e-12)
        assert 0 < by_chance.sum() < DRAWN
        assert stands_for[by_chance].max() < 2.2 * weight.sum() / DRAWN


def test_rows_that_have_most_of_the_weight_are_in_every_sample_and_stand_for_themselves():
    rng = np.random.default_rng(7)
    weight = WEIGHTS["ten rows have most"](rng)
    for _ in range(50):
        chosen, stands_for, _ = draw_sample(weight, DRAWN, rng)
        np.testing.assert_array_equal(chosen[-10:], np.arange(ROWS - 10, ROWS))
        np.testing.assert_array_equal(stands_for[-10:], 1e6)
        np.testing.assert_allclose(stands_for[:-10], (ROWS - 10) / (DRAWN - 10), rtol=0.3)


def test_rows_of_equal_weight_are_drawn_equally_often_and_weigh_the_same():
    rng = np.random.default_rng(8)
    times = np.zeros(40)
    for _ in range(2_000):
        chosen, stands_for, _ = draw_sample(np.full(40, 7.0), 10, rng)
        times[chosen] += 1
        assert np.ptp(stands_for) == 0
    assert np.abs(times - 500).max() < 4.5 * np.sqrt(2_000 * 0.25 * 0.75)


@pytest.mark.parametrize("power", [-900, 5, 900])
def test_a_power_of_two_draws_the_same_rows(power):
    weight = WEIGHTS["skewed"](np.random.default_rng(9))
    expected, weighs, _ = draw_sample(weight, DRAWN, np.random.default_rng(0))
    found, scaled, _ = draw_sample(np.ldexp(weight, power), DRAWN, np.random.default_rng(0))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scaled, np.ldexp(weighs, power))


def test_fewer_keys_than_asked_for_are_all_drawn_by_the_bound():
    draw = WeightedDraw(5, WeightSums.of(np.ones(100)))
    chosen, stands_for = draw.choose(np.array([1.0, 2.0, 3.0]), np.ones(3))
    np.testing.assert_array_equal(chosen, [0, 1, 2])
    np.testing.assert_allclose(stands_for, 100 / draw.bound)
