"""Comparison of rows with a training profile: figures are numpy's and scipy's, and chance does not alarm."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from gmm_spark.core.drift.comparison import compare
from gmm_spark.core.drift.limits import Limits, describe_largest, find_breaches, list_changes
from gmm_spark.core.drift.reference import QUANTILES, TrainingProfile
from gmm_spark.core.mixture.density import log_density, responsibilities
from gmm_spark.errors import ParameterError
from tests.core.drift.profiles import MIXTURE, draw, observe, profile_of

TIGHT = Limits(psi=1e-9, mean_shift=1e-9, spread_ratio=1 + 1e-9, log_density_drop=1e-9, below_ratio=1 + 1e-9)


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    return draw(20_000, seed=1)


@pytest.fixture(scope="module")
def profile(training: np.ndarray) -> TrainingProfile:
    return profile_of(training, bad_rows=7)


def test_a_profile_has_what_numpy_finds_in_the_training_rows(training, profile):
    logs = log_density(MIXTURE, training)
    sizes = np.bincount(responsibilities(MIXTURE, training).argmax(axis=0), minlength=3)
    np.testing.assert_allclose(profile.shares, sizes / 20_000)
    assert profile.mean_log_density == pytest.approx(logs.mean(), rel=1e-9)
    assert profile.log_density_spread == pytest.approx(logs.std(), rel=0.01)
    np.testing.assert_allclose(profile.means, training.mean(axis=1))
    np.testing.assert_allclose(profile.spreads, training.std(axis=1))
    np.testing.assert_array_equal([profile.lows, profile.highs], [training.min(axis=1), training.max(axis=1)])
    np.testing.assert_allclose(profile.thresholds, np.quantile(logs, QUANTILES), atol=0.1)
    for threshold, share in zip(profile.thresholds, profile.shares_below, strict=True):
        assert (logs <= threshold).mean() == pytest.approx(share, abs=1e-12)
    assert (profile.rows, profile.bad_rows) == (20_000, 7)


def test_the_shares_below_thresholds_are_exact_if_many_rows_are_alike():
    alike = np.repeat(draw(4, seed=2), [700, 200, 60, 40], axis=1)
    profile = profile_of(alike)
    logs = log_density(MIXTURE, alike)
    for threshold, share in zip(profile.thresholds, profile.shares_below, strict=True):
        assert (logs <= threshold).mean() == pytest.approx(share)
    drift = compare(profile, observe(profile, alike))
    assert [ratio.value for ratio in drift.below_ratios] == pytest.approx([1.0] * 5)


def test_figures_are_those_of_the_rows_however_they_are_split(profile):
    rows = draw(5_001, seed=3, weights=[0.5, 0.3, 0.2]) * 1.1
    parts = rows[:, :1], rows[:, 1:4000], rows[:, 4000:]
    drift = compare(profile, observe(profile, *parts, bad_rows=2))
    logs = log_density(MIXTURE, rows)
    assert (drift.rows, drift.bad_rows) == (5_001, 6)
    np.testing.assert_allclose(drift.means, rows.mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(drift.spreads, rows.std(axis=1), rtol=1e-10)
    shifts = (rows.mean(axis=1) - profile.means) / profile.spreads
    np.testing.assert_allclose([one.value for one in drift.mean_shifts], shifts, rtol=1e-9)
    ratios = rows.std(axis=1) / profile.spreads
    np.testing.assert_allclose([one.value for one in drift.spread_ratios], ratios, rtol=1e-9)
    assert drift.mean_log_density == pytest.approx(logs.mean(), rel=1e-9)
    assert drift.log_density_change.value == pytest.approx(logs.mean() - profile.mean_log_density, rel=1e-9)
    sizes = np.bincount(responsibilities(MIXTURE, rows).argmax(axis=0), minlength=3)
    np.testing.assert_allclose(drift.shares, sizes / 5_001)
    now, before = sizes / 5_001, profile.shares
    assert drift.psi.value == pytest.approx(((now - before) * np.log(now / before)).sum(), rel=0.01)
    many = [rows[:, start : start + 100] for start in range(0, 5_001, 100)]
    assert observe(profile, *reversed(many)).means.tobytes() == observe(profile, *many).means.tobytes()


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_spreads_keep_their_digits_far_from_zero(offset):
    rows = draw(3_000, seed=4) + offset
    profile = profile_of(rows)
    later = draw(3_000, seed=5) * 1.5 + offset
    drift = compare(profile, observe(profile, later))
    np.testing.assert_allclose(drift.spreads, (later - offset).std(axis=1), rtol=1e-6)


def test_psi_and_the_other_figures_are_beyond_chance_about_once_in_a_thousand_tables(profile):
    beyond = np.zeros(5)
    tables = 400
    for seed in range(tables):
        n = (1, 5, 40, 1_000)[seed % 4]
        drift = compare(profile, observe(profile, draw(n, seed=100 + seed)))
        groups = ([drift.psi], [drift.log_density_change], drift.below_ratios, drift.mean_shifts, drift.spread_ratios)
        beyond += [any(one.beyond_chance for one in group) for group in groups]
    # Five thresholds are as many chances. By the binomial law more than these come once in ten thousand.
    assert (beyond <= stats.binom.isf(1e-4, tables, [1e-3, 1e-3, 5e-3, 1e-3, 1e-3])).all(), beyond


def test_a_small_table_is_not_beyond_a_limit_and_a_large_one_is(profile):
    changed = {n: compare(profile, observe(profile, draw(n, seed=6, weights=[0.3, 0.4, 0.3]))) for n in (10, 4_000)}
    breaches = {
        n: find_breaches(list_changes(drift, profile, ["x", "y"]), Limits(psi=0.1)) for n, drift in changed.items()
    }
    assert changed[10].psi.value > 0.1
    assert not breaches[10]
    assert [one.kind for one in breaches[4_000]] == ["psi"]
    assert breaches[4_000][0].meaning.startswith("component 2 has 29.3% of the rows, 49.8% in training")


def test_the_largest_change_is_told_in_words(profile):
    same = compare(profile, observe(profile, draw(2_000, seed=7)))
    assert describe_largest(list_changes(same, profile, ["x", "y"])) == "no change beyond chance"
    assert not find_breaches(list_changes(same, profile, ["x", "y"]), TIGHT)
    rows = draw(2_000, seed=8)
    rows[0] += 30
    told = describe_largest(list_changes(compare(profile, observe(profile, rows)), profile, ["x", "y"]))
    assert told.startswith("the mean log-density is ")
    rows = draw(2_000, seed=8)
    rows[1] = rows[1] * 0.2 + 30
    changes = list_changes(compare(profile, observe(profile, rows)), profile, ["x", "y"])
    kinds = {one.kind for one in find_breaches(changes, TIGHT)}
    assert {"psi", "spread_ratio", "mean_shift"} <= kinds
    assert any(one.meaning.startswith("the spread of 'y' is 0.") for one in changes)


def test_constant_features_alarm_only_if_they_change():
    rows = draw(1_000, seed=9)
    rows[1] = 1e6 / 3
    sums = profile_of(rows)
    same = compare(sums, observe(sums, rows[:, :100]))
    assert (same.mean_shifts[1].value, same.spread_ratios[1].value) == (0.0, 1.0)
    moved = compare(sums, observe(sums, rows[:, :100] + 1))
    assert moved.mean_shifts[1] == (np.inf, True)
    assert "from one value" in " ".join(one.meaning for one in list_changes(moved, sums, ["x", "y"]))
    varied = rows[:, :100].copy()
    varied[1, 0] += 1
    assert compare(sums, observe(sums, varied)).spread_ratios[1] == (np.inf, True)


def test_absurd_values_count_and_leave_every_figure_finite(profile):
    rows = draw(1_000, seed=10)
    rows[0, 0], rows[1, 1] = 1e300, -1.7e308
    drift = compare(profile, observe(profile, rows))
    figures = [drift.mean_log_density, *drift.means, *drift.spreads, *(one.value for one in drift.spread_ratios)]
    assert np.isfinite(figures).all()
    assert drift.shares_below[0] >= 0.002


def test_a_profile_survives_json_and_refuses_what_is_none(profile):
    values = json.loads(json.dumps(profile.to_dict() | {"later": 1}))
    again = TrainingProfile.from_dict(values)
    assert again.to_dict() == profile.to_dict()
    earlier = TrainingProfile.from_dict({name: value for name, value in values.items() if name != "steps"})
    assert earlier.steps is None
    assert "steps" not in earlier.to_dict()
    faults: list[dict[str, object]] = [
        {"steps": [1.0]}, {"origins": [float("inf"), 0]},
        {"rows": 0}, {"rows": None}, {"means": [1.0]}, {"shares": []}, {"shares": [2.0, 0, 0]}, {"thresholds": 3},
        {"spreads": [float("nan"), 1]}, {"quartiles": [[1, 2]]}, {"means": "x"}, {"shares_below": {}},
    ]  # fmt: skip
    for change in faults:
        with pytest.raises(ParameterError, match="not a training profile"):
            TrainingProfile.from_dict(values | change)
    with pytest.raises(ParameterError, match="not a training profile"):
        TrainingProfile.from_dict({})
    with pytest.raises(ParameterError, match="2 and 2"):
        profile.require_fits(2, 2)
