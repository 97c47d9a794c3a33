from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.profile import ColumnProfile

N = 5000


def profile_of(column: np.ndarray) -> ColumnProfile:
    return ColumnProfile.of(np.asarray(column, dtype=np.float64)[None])


def rounded_columns() -> dict[str, tuple[np.ndarray, float]]:
    """Columns that are rounded, each with the step they are rounded to."""
    rng = np.random.default_rng(0)
    whole, tenths = np.round(rng.normal(50, 10, N)), np.round(rng.normal(5, 1, N), 1)
    imputed, coded, far = whole.copy(), tenths.copy(), whole.copy()
    imputed[: N // 33], coded[: N // 50], far[0] = whole.mean(), -999, 1e9
    return {
        "whole numbers": (whole, 1.0),
        "cents": (np.round(rng.lognormal(3, 1, N), 2), 0.01),
        "tenths once in float32": (tenths.astype(np.float32), 0.1),
        "whole numbers, standardised": ((whole - whole.mean()) / whole.std(), 1 / whole.std()),
        "hours, in seconds since 1970": (1.7e9 + 3600 * rng.integers(0, 700, N), 3600.0),
        "fives, about 2": (rng.integers(0, 100, N) * 5.0 + 2, 5.0),
        "thirds": (rng.integers(0, 30, N) / 3, 1 / 3),
        "mean imputed for three per cent": (imputed, 1.0),
        "a code": (coded, 0.1),
        "one far value": (far, 1.0),
        "zeros and a few counts": (np.where(rng.random(N) < 0.97, 0, rng.poisson(5, N)), 1.0),
        "two values": (rng.random(N) < 0.1, 1.0),
        "heaped at tens": (np.where(rng.random(N) < 0.5, np.round(whole, -1), whole), 1.0),
        "fifteen rows of four digits": (np.round(rng.normal(0, 5, 15), 4), 0.0001),
    }


@pytest.mark.parametrize("name", rounded_columns())
def test_the_step_of_rounded_values_is_found(name):
    column, step = rounded_columns()[name]
    found = profile_of(column).step[0]
    # Of fifteen rows a step so fine matters to nobody.
    assert found == pytest.approx(step, rel=1e-6) or (name.startswith("fifteen") and found == 0)


def test_values_that_repeat_off_any_lattice_have_the_gap_to_their_neighbours():
    rng = np.random.default_rng(1)
    counts = rng.poisson(5, N)
    # The median row is at 5, whose nearest neighbour is 6, or at 4, whose neighbour is 5.
    gaps = [np.log(7 / 6), np.log(6 / 5)]
    step = profile_of(np.log1p(counts)).step[0]
    assert step in (pytest.approx(gaps[0]), pytest.approx(gaps[1]))


@pytest.mark.parametrize("m", [3, 5, 20, 200, N])
def test_values_of_full_precision_have_no_step(m):
    rng = np.random.default_rng(m)
    columns = np.concatenate(
        [
            rng.normal(size=(20, m)),
            rng.normal(1e6, 1, (20, m)),
            rng.lognormal(0, 2, (20, m)),
            rng.normal(size=(20, m)).astype(np.float32),
        ]
    )
    assert (ColumnProfile.of(columns).step <= 1e-4 * np.ptp(columns, axis=1)).all()
    coded = columns.copy()
    coded[:, : m // 10] = -999
    assert (ColumnProfile.of(coded).step <= 1e-4 * np.ptp(columns, axis=1)).all()


def test_a_change_of_units_changes_the_profile_by_the_units():
    column, _ = rounded_columns()["a code"]
    before, after = profile_of(column), profile_of(column * 3.7e6)
    np.testing.assert_allclose(after.step, before.step * 3.7e6, rtol=1e-9)
    np.testing.assert_allclose(after.spread, before.spread * 3.7e6, rtol=1e-9)


@pytest.mark.parametrize("code", [-999.0, 9999.0, 1e12])
def test_a_few_per_cent_of_codes_do_not_move_the_spread(code):
    rng = np.random.default_rng(2)
    column = rng.normal(3, 2, N)
    column[: N // 20] = code
    profile = profile_of(column)
    assert profile.spread[0] == pytest.approx(2, rel=0.1)
    assert (profile.mode[0], profile.mode_share[0]) == (code, 0.05)


def test_the_spread_of_a_column_that_is_mostly_zero_is_that_of_its_other_values():
    rng = np.random.default_rng(3)
    column = np.where(rng.random(N) < 0.9, 0.0, rng.normal(10, 3, N))
    profile = profile_of(column)
    assert profile.spread[0] == pytest.approx(3, rel=0.1)
    assert profile.mode[0] == 0
    assert profile.mode_share[0] == pytest.approx(0.9, abs=0.02)
    np.testing.assert_allclose(profile.quartiles[:, 0], np.quantile(column[column != 0], [0.25, 0.5, 0.75]))


def test_a_constant_column_has_neither_spread_nor_step():
    profile = profile_of(np.full(7, 4.25))
    assert (profile.mode[0], profile.mode_share[0], profile.spread[0], profile.step[0]) == (4.25, 1.0, 0.0, 0.0)


def test_a_larger_sample_is_looked_at_in_part():
    rng = np.random.default_rng(4)
    profile = profile_of(np.round(rng.normal(0, 30, 50_000)))
    assert (profile.rows, profile.step[0]) == (20_000, 1.0)


def test_rows_without_weight_say_nothing():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(2, 300))
    present = np.arange(300) % 2 > 0
    masked = np.where(present, rows, 1e6)
    found, expected = ColumnProfile.of(masked, np.where(present, 2.0, 0.0)), ColumnProfile.of(rows[:, present])
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), value)
