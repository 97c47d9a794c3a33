"""Drift of rows with missing values: each feature over the rows that have it, each row beside its own pattern."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from gmm_spark.core.drift.comparison import compare
from gmm_spark.core.drift.incomplete import IncompleteObservationSums
from gmm_spark.core.drift.limits import Limits, describe_largest, find_breaches, list_changes
from gmm_spark.core.drift.reference import QUANTILES, TrainingProfile
from gmm_spark.core.missing.density import log_density, responsibilities
from gmm_spark.errors import ParameterError
from tests.core.drift.profiles import MIXTURE, draw, observe, profile_of


def with_holes(rows: np.ndarray, seed: int, first: float = 0.2, second: float = 0.1) -> np.ndarray:
    """Rows of which the one feature is missing in some, and the other in others."""
    drawn = np.random.default_rng(seed).random(rows.shape[1])
    return np.where(np.stack([drawn < first, drawn > 1 - second]), np.nan, rows)


TRAINING = with_holes(draw(20_000, seed=1), seed=2)
PROFILE = profile_of(TRAINING)


def watch(profile: TrainingProfile, *parts: np.ndarray, bad_rows: int = 0):
    """Fold the rows of several tasks, (2, m) each, and compare them."""
    sums = IncompleteObservationSums(profile)
    vectors = []
    for rows in parts:
        fold = sums.accumulator()
        leaders = responsibilities(MIXTURE, rows).argmax(axis=0).astype(np.int32)
        fold.add(rows, leaders, log_density(MIXTURE, rows), bad_rows)
        vectors.append(fold.vector())
    return compare(profile, sums.read(vectors))


def patterns_of(rows: np.ndarray) -> np.ndarray:
    return np.isnan(rows).T @ [1, 2]  # 0 complete, 1 without the first, 2 without the second


def test_a_profile_has_what_numpy_finds_in_the_training_rows():
    np.testing.assert_allclose(PROFILE.missing, np.isnan(TRAINING).mean(axis=1))
    np.testing.assert_allclose(PROFILE.means, np.nanmean(TRAINING, axis=1))
    np.testing.assert_allclose(PROFILE.spreads, np.nanstd(TRAINING, axis=1))
    logs, which = log_density(MIXTURE, TRAINING), patterns_of(TRAINING)
    levels = PROFILE.by_pattern
    assert levels.patterns == (b"\x00", b"\x80", b"\x40")
    for number in range(3):
        own = logs[which == number]
        assert levels.shares[number] == pytest.approx(len(own) / 20_000)
        assert levels.means[number] == pytest.approx(own.mean(), rel=1e-3)
        assert levels.spreads[number] == pytest.approx(own.std(), rel=0.01)
        np.testing.assert_allclose(levels.thresholds[number], np.quantile(own, QUANTILES), atol=0.3)
        for threshold, share in zip(levels.thresholds[number], levels.shares_below[number], strict=True):
            assert (own <= threshold).mean() == pytest.approx(share, abs=1e-12)
    assert PROFILE.mean_log_density == pytest.approx(logs.mean(), rel=1e-9)


def test_figures_are_those_of_what_was_observed_however_the_rows_are_split():
    rows = with_holes(draw(5_001, seed=3, weights=[0.5, 0.3, 0.2]) * 1.1, seed=4, first=0.5)
    drift = watch(PROFILE, rows[:, :1], rows[:, 1:4000], rows[:, 4000:], bad_rows=2)
    assert (drift.rows, drift.bad_rows, drift.compared) == (5_001, 6, 5_001)
    np.testing.assert_allclose(drift.means, np.nanmean(rows, axis=1), rtol=1e-10)
    np.testing.assert_allclose(drift.spreads, np.nanstd(rows, axis=1), rtol=1e-10)
    shifts = (np.nanmean(rows, axis=1) - PROFILE.means) / PROFILE.spreads
    np.testing.assert_allclose([one.value for one in drift.mean_shifts], shifts, rtol=1e-9)
    absent = np.isnan(rows).mean(axis=1)
    np.testing.assert_allclose(drift.missing, absent)
    np.testing.assert_allclose([one.value for one in drift.missing_changes], absent - PROFILE.missing)
    logs, which = log_density(MIXTURE, rows), patterns_of(rows)
    before = PROFILE.by_pattern.means[which].mean()
    assert drift.log_density_change.value == pytest.approx(logs.mean() - before, rel=1e-9)
    assert drift.mean_log_density == pytest.approx(logs.mean(), rel=1e-9)
    below = (logs[:, None] <= PROFILE.by_pattern.thresholds[which]).mean(axis=0)
    np.testing.assert_allclose(drift.shares_below, below)
    expected = PROFILE.by_pattern.shares_below[which].mean(axis=0)
    np.testing.assert_allclose([one.value for one in drift.below_ratios], below / expected)


def test_values_missing_more_often_are_told_and_nothing_else_is():
    drift = watch(PROFILE, with_holes(draw(20_000, seed=5), seed=6, first=0.6))
    changes = list_changes(drift, PROFILE, ["x", "y"])
    assert describe_largest(changes).startswith("'x' is missing in 6")
    # Without x, rows of two components cannot be told apart, and all go to the heavier: their shares move a little.
    assert {one.kind for one in changes if one.beyond_chance} == {"missing_change", "psi"}
    assert drift.psi.value < 0.05
    assert [one.kind for one in find_breaches(changes, Limits(missing_change=0.1, psi=0.1))] == ["missing_change"]
    assert not find_breaches(changes, Limits(missing_change=0.5))


def test_figures_are_beyond_chance_about_once_in_a_thousand_tables():
    beyond, tables = np.zeros(6), 300
    for seed in range(tables):
        n = (1, 5, 40, 1_000)[seed % 4]
        drift = watch(PROFILE, with_holes(draw(n, seed=100 + seed), seed=1000 + seed))
        by_feature = (drift.mean_shifts, drift.spread_ratios, drift.missing_changes)
        groups = ([drift.psi], [drift.log_density_change], drift.below_ratios, *by_feature)
        beyond += [any(one.beyond_chance for one in group) for group in groups]
    assert (beyond <= stats.binom.isf(1e-4, tables, [1e-3, 1e-3, 5e-3, 1e-3, 1e-3, 1e-3])).all(), beyond


def test_rows_of_patterns_that_the_training_had_not_are_left_out_of_likelihood_alone():
    complete = profile_of(draw(20_000, seed=1))
    rows = with_holes(draw(4_000, seed=7), seed=8)
    drift = watch(complete, rows)
    whole = ~np.isnan(rows).any(axis=0)
    assert drift.compared == whole.sum()
    assert drift.mean_log_density == pytest.approx(log_density(MIXTURE, rows[:, whole]).mean())
    assert not drift.log_density_change.beyond_chance
    assert [one.value for one in drift.missing_changes] == pytest.approx(np.isnan(rows).mean(axis=1))
    lost = watch(complete, rows[:, ~whole])
    assert not lost.compared > 0
    assert {one.kind for one in list_changes(lost, complete, ["x", "y"])} == {
        *("psi", "mean_shift", "spread_ratio", "missing_change")
    }


def test_rows_that_the_training_left_out_make_no_change_of_what_is_missing():
    left_out = profile_of(draw(2_000, seed=1), bad_rows=300)
    drift = watch(left_out, with_holes(draw(4_000, seed=7), seed=8))
    assert drift.missing_changes == []
    assert "missing_change" not in {one.kind for one in list_changes(drift, left_out, ["x", "y"])}


def test_a_feature_that_no_row_has_is_told_as_missing_and_not_as_moved():
    rows = draw(500, seed=9)
    rows[0] = np.nan
    drift = watch(PROFILE, rows)
    assert np.isnan(drift.means[0])
    assert (drift.mean_shifts[0].value, drift.spread_ratios[0]) == (0.0, (1.0, False))
    assert drift.missing_changes[0].beyond_chance


def test_complete_rows_are_compared_as_without_the_mode():
    profile = profile_of(draw(3_000, seed=1))
    rows = draw(1_000, seed=2) * 1.2
    found, expected = watch(profile, rows), compare(profile, observe(profile, rows))
    assert found.psi == expected.psi
    for name in ("mean_shifts", "spread_ratios", "below_ratios"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, err_msg=name)
    assert found.log_density_change.value == pytest.approx(expected.log_density_change.value)
    assert expected.missing is None


def test_absurd_values_leave_every_figure_finite():
    rows = with_holes(draw(100, seed=3), seed=4)
    rows[:, 5] = [1e300, np.nan]
    drift = watch(PROFILE, rows)
    assert np.isfinite([one.value for one in (*drift.mean_shifts, *drift.spread_ratios)]).all()
    assert np.isfinite(drift.log_density_change.value)


def test_a_profile_survives_json_and_refuses_what_is_none():
    written = json.loads(json.dumps(PROFILE.to_dict(), allow_nan=False))
    again = TrainingProfile.from_dict(written)
    assert again.by_pattern.patterns == PROFILE.by_pattern.patterns
    assert np.array_equal(again.by_pattern.thresholds, PROFILE.by_pattern.thresholds)
    assert np.array_equal(again.missing, PROFILE.missing)
    for change in (
        {"missing": None},
        {"missing": [0.5]},
        {"missing": [0.5, 2.0]},
        {"by_pattern": None},
        {"by_pattern": written["by_pattern"] | {"shares": [0.0, 0.5, 0.5]}},
        {"by_pattern": written["by_pattern"] | {"means": [0.0]}},
        {"by_pattern": written["by_pattern"] | {"missing": [[0], [1], [7]]}},
    ):
        with pytest.raises(ParameterError, match=r"profile|patterns"):
            TrainingProfile.from_dict(written | change)
