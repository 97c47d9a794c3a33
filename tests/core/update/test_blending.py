"""What is known of the rows of several days is that of all of them, each day at its weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights, find_threshold
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.table import ArrayTable
from gmm_spark.core.update.blending import Known, blend_log_densities, blend_profiles
from gmm_spark.core.update.likeness import list_by_pattern
from tests.core.update.days import blobs
from tests.examples import draw_rows

WHOLE = b"\x00"


def histogram(values: np.ndarray, ceiling: float, weight: float = 1.0) -> LogDensityHistogram:
    return LogDensityHistogram(ceiling, bin_weights(ceiling - values, np.full(len(values), weight)))


def know(rows: np.ndarray, mixture: MixtureParameters, weight: float | None = None) -> Known:
    table = ArrayTable(rows)
    (found,) = table.evaluate_all([mixture.shifted(-table.moments.mean)], log_densities=True)
    profile = TrainingProfile.of(found, table.moments, ColumnProfile.of(rows, None), 0)
    return Known(
        mixture, list_by_pattern(found, len(rows)), profile, float(rows.shape[1]) if weight is None else weight
    )


@pytest.mark.parametrize("ceiling", [-1.0, 0.0, 0.01, 3.0, 800.0])
def test_a_histogram_under_another_ceiling_has_the_same_quantiles(ceiling, rng):
    values = -1.0 - rng.exponential(4.0, 20_000) ** 2
    one = histogram(values, 0.0)
    other = one.under(ceiling)
    assert other.weights.sum() == pytest.approx(20_000, rel=1e-12)
    for row in (20, 200, 2_000, 10_000, 18_000, 19_980):
        q = (row + 0.5) / 20_000  # not between two rows, where a rounding decides which of them it is
        depth = max(ceiling, 0.0) - one.quantile(q)
        width = np.hypot(16, depth) / 512
        assert other.quantile(q) == pytest.approx(one.quantile(q), abs=1.5 * width)
    assert other.mean == pytest.approx(one.mean, abs=0.05 + 0.002 * abs(ceiling))


def test_quantiles_are_those_of_all_rows_at_their_weights_each_under_the_mixture_of_its_day(rng):
    earlier, later = rng.normal(-5.0, 1.0, 40_000), rng.normal(-9.0, 2.0, 10_000)
    before = Known(blobs(), {WHOLE: histogram(earlier, 0.0)}, None, 10_000.0)
    today = Known(blobs(), {WHOLE: histogram(later, 2.0)}, None, 10_000.0)
    found = blend_log_densities(before, today, (0.25, 1.0))[WHOLE]
    both, weights = np.concatenate([earlier, later]), np.repeat([0.25, 1.0], [40_000, 10_000])
    order = np.argsort(both)
    below = np.cumsum(weights[order]) / weights.sum()
    for q in (0.01, 0.1, 0.5, 0.9):
        assert found.quantile(q) == pytest.approx(both[order][np.searchsorted(below, q)], abs=0.05)
    assert found.weights.sum() == pytest.approx(20_000)


def test_a_quiet_day_hardly_moves_the_threshold(rng):
    busy, quiet = (know(draw_rows(blobs(), m, rng)[0], blobs()) for m in (20_000, 30))
    alone = abs(quiet.log_densities[WHOLE].quantile(0.01) - busy.log_densities[WHOLE].quantile(0.01))
    blended = blend_log_densities(busy, quiet, (0.9, 1.0))[WHOLE]
    assert alone > 0.5
    assert blended.quantile(0.01) == pytest.approx(busy.log_densities[WHOLE].quantile(0.01), abs=0.1)


def test_patterns_of_missing_values_are_blended_each_by_itself(rng):
    one, other = histogram(rng.normal(-5, 1, 900), 0.0), histogram(rng.normal(-3, 1, 900), 0.0)
    before = Known(blobs(), {WHOLE: one, b"\x80": other}, None, 1800.0)
    today = Known(blobs(), {WHOLE: one, b"\x40": other}, None, 1800.0)
    found = blend_log_densities(before, today, (0.5, 1.0))
    assert [(pattern, round(each.weights.sum())) for pattern, each in found.items()] == [
        (WHOLE, 1350),
        (b"\x40", 900),
        (b"\x80", 450),
    ]
    forgotten = blend_log_densities(before, today, (0.0, 1.0))
    assert set(forgotten) == {WHOLE, b"\x40"}


@pytest.mark.parametrize("weights", [(0.1, 0.06), (0.06, 0.1)])
def test_rows_that_were_noise_stay_as_likely_as_noise_is_now(weights, rng):
    low, high = np.full(3, -15.0), np.full(3, 15.0)
    days = []
    for weight in weights:
        rows = draw_rows(blobs(), 4000, rng)[0]
        rows[:, : int(4000 * weight)] = rng.uniform(-15, 15, (3, int(4000 * weight)))
        days.append(know(rows, blobs().with_noise(Noise(weight, low, high))))
    found = blend_log_densities(days[0], days[1], (1.0, 1.0))[WHOLE]
    noise = days[1].parameters.noise
    assert noise is not None
    assert np.flatnonzero(found.weights).max() <= np.floor(512 * np.arcsinh((found.ceiling - noise.log_height) / 16))
    with pytest.raises(Exception, match="noise holds about"):
        find_threshold(found, 0.05, noise)


@pytest.mark.parametrize("decay", [1.0, 0.25, 0.0])
def test_a_profile_is_that_of_all_rows_at_their_weights(decay, rng):
    days = [draw_rows(blobs().shifted(np.full(3, shift)), m, rng)[0] for shift, m in ((0.0, 3000), (1.0, 2000))]
    before, today = know(days[0], blobs(), decay * 3000.0), know(days[1], blobs())
    found = blend_profiles(before, today, blend_log_densities(before, today, (decay, 1.0))[WHOLE])
    assert found is not None
    rows, weight = np.concatenate(days, axis=1), np.repeat([decay, 1.0], [3000, 2000])
    whole = know(rows[:, weight > 0], blobs())
    mean = rows @ weight / weight.sum()
    np.testing.assert_allclose(found.means, mean, rtol=1e-12)
    np.testing.assert_allclose(found.spreads, np.sqrt((rows - mean[:, None]) ** 2 @ weight / weight.sum()), rtol=1e-9)
    np.testing.assert_array_equal([found.lows, found.highs], [rows.min(axis=1), rows.max(axis=1)])
    assert found.rows == pytest.approx(weight.sum())
    assert found.effective_rows == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    if decay == 1.0:
        assert whole.profile is not None
        np.testing.assert_allclose(found.shares, whole.profile.shares, rtol=1e-12)
        assert found.mean_log_density == pytest.approx(whole.profile.mean_log_density, rel=1e-12)
        np.testing.assert_allclose(found.thresholds, whole.profile.thresholds, atol=0.3)
        np.testing.assert_allclose(found.shares_below, [0.001, 0.01, 0.1, 0.5, 0.9], rtol=0.15)


def test_without_either_profile_there_is_none(rng):
    known = know(draw_rows(blobs(), 500, rng)[0], blobs())
    lacking = Known(blobs(), known.log_densities, None, 500.0)
    for one, other in ((known, lacking), (lacking, known)):
        assert blend_profiles(one, other, known.log_densities[WHOLE]) is None


def test_the_range_of_a_profile_of_an_older_version_stays_unknown(rng):
    known = know(draw_rows(blobs(), 500, rng)[0], blobs())
    assert known.profile is not None
    older = replace(known, profile=replace(known.profile, lows=None, highs=None))
    found = blend_profiles(older, known, known.log_densities[WHOLE])
    assert found is not None
    assert found.lows is None
    assert found.highs is None
