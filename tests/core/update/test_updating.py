"""An update makes the sums of yesterday and today, never lowers the free energy, and follows its table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.mixture.density import log_density, responsibilities, weighted_log_prob
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.core.update.memory import Memory, recall
from gmm_spark.core.update.remembering import RememberingTable, expect_log_likelihood
from gmm_spark.core.update.updating import find_decay
from gmm_spark.core.update.verdict import Verdict, expect_of_itself
from gmm_spark.errors import ParameterError
from tests.core.update.days import ROWS, blobs, follow, run_em, step_on
from tests.examples import COVARIANCE_TYPES, draw_rows, random_mixture


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_the_sums_of_a_step_are_recalled_from_its_result(kind, rng):
    start = random_mixture(kind, 3, 4, rng)
    rows = draw_rows(start, ROWS, rng)[0] + 100.0
    table = ArrayTable(rows)
    (sums,) = table.expect([start])
    made = maximize(sums, start, np.zeros(4))
    recalled, moved = recall(made, float(ROWS)), sums.about(made.means)
    np.testing.assert_allclose(recalled.resp_sum, moved.resp_sum, rtol=1e-12)
    np.testing.assert_allclose(moved.first, 0, atol=1e-8 * ROWS)
    np.testing.assert_allclose(recalled.second, moved.second, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_sums_are_added_and_moved_as_those_of_all_rows_are(kind, rng):
    start, references = random_mixture(kind, 3, 2, rng), rng.normal(size=(2, 3, 2))
    rows = draw_rows(start, 400, rng)[0]
    moments, parts = ArrayTable(rows).moments, (rows, rows[:, :150], rows[:, 150:])
    whole, one, other = (ArrayTable(part, moments=moments).expect([start])[0] for part in parts)
    merged = one.about(references[0]) + other.about(references[1])
    back = merged.about(whole.reference)
    for name in ("rows", "weight_sum", "log_likelihood", "resp_sum", "first", "second"):
        np.testing.assert_allclose(getattr(back, name), getattr(whole, name), rtol=1e-9, atol=1e-9, err_msg=name)
    halved = maximize(whole.scaled(0.5), start, np.zeros(2))
    np.testing.assert_allclose(halved.means, maximize(whole, start, np.zeros(2)).means, rtol=1e-12)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_what_remembered_rows_expect_is_the_mean_over_them(kind, rng):
    before, candidate = random_mixture(kind, 3, 2, rng), random_mixture(kind, 3, 2, rng)
    rows = draw_rows(before, 300, rng)[0]
    frozen = responsibilities(before, rows)
    (sums,) = ArrayTable(rows).expect([before.shifted(-ArrayTable(rows).moments.mean)])
    made = maximize(sums, before, np.zeros(2)).shifted(ArrayTable(rows).moments.mean)
    expected = (frozen * weighted_log_prob(candidate, rows)).sum()
    assert expect_log_likelihood(made, 300.0, candidate) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize(("floored", "noisy"), [(False, False), (True, False), (False, True)])
def test_no_pass_lowers_the_free_energy(kind, floored, noisy, rng):
    truth = random_mixture(kind, 3, 4, rng)
    before = random_mixture(kind, 3, 4, rng)
    if noisy:
        before = before.with_noise(Noise(0.2, np.full(4, -30.0), np.full(4, 30.0)))
    rows = draw_rows(truth, ROWS, rng)[0] + 50.0
    floor = np.full(4, 0.5 if floored else 0.0)
    for weight in (10.0, 1e3, 1e6):
        _, found = step_on(rows, before.shifted(np.full(4, 50.0)).bounded(floor), weight, max_iter=40, floor=floor)
        bounds = [one.lower_bound for one in found.result.history]
        assert len(bounds) > 1
        assert (np.diff(bounds) >= -1e-10 * np.abs(bounds[0])).all()


def test_without_a_memory_that_weighs_an_update_is_plain_em(rng):
    rows, start = draw_rows(blobs(), ROWS, rng)[0], random_mixture("full", 3, 3, rng)
    updated, _ = step_on(rows, start, 1e-9, max_iter=5)
    plain = run_em(rows, start, max_iter=5)
    np.testing.assert_allclose(updated.means, plain.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(updated.covariances, plain.covariances, rtol=1e-8, atol=1e-9)


def test_weights_of_rows_count_in_a_memory_as_rows_do(rng):
    rows, before = draw_rows(blobs(), 200, rng)[0], blobs()
    twice, weighted = ArrayTable(np.repeat(rows, 2, axis=1)), ArrayTable(rows, np.full(200, 2.0))
    one, other = (
        RememberingTable(table, before.shifted(-table.moments.mean), 50.0).expect(
            [before.shifted(-table.moments.mean)]
        )[0]
        for table in (twice, weighted)
    )
    np.testing.assert_allclose(one.second, other.second, rtol=1e-9)
    assert one.lower_bound == pytest.approx(other.lower_bound, rel=1e-12)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_thirty_days_of_one_mixture_come_to_the_fit_of_the_whole_table(kind):
    rng = np.random.default_rng(5)
    days = [draw_rows(blobs(kind), ROWS, rng)[0] for _ in range(30)]
    whole = np.concatenate(days, axis=1)
    reference = log_density(run_em(whole, blobs(kind)), whole).mean()
    for half_life in (np.inf, 14.0):
        weight, mixture = float(ROWS), run_em(days[0], blobs(kind))
        for rows in days[1:]:
            decay = find_decay(half_life, 1.0)
            mixture, _ = step_on(rows, mixture, decay * weight)
            weight = decay * weight + ROWS
        assert reference - log_density(mixture, whole).mean() < 1e-3


@pytest.mark.parametrize("what", ["mean", "weight"])
def test_half_of_a_change_is_followed_within_the_half_life(what):
    rng = np.random.default_rng(6)
    mixture, half_life, rows = blobs(), 5, 5 * ROWS
    moved = mixture.means - np.array([[2.0, 0, 0], [0] * 3, [0] * 3])
    after = {
        "mean": MixtureParameters(mixture.weights, moved, mixture.covariances),
        "weight": MixtureParameters([0.3, 0.3, 0.4], mixture.means, mixture.covariances),
    }[what]
    decay = find_decay(half_life, 1.0)
    weight = rows / (1 - decay)  # as after many days
    for _ in range(half_life):
        mixture, _ = step_on(draw_rows(after, rows, rng)[0], mixture, decay * weight)
        weight = decay * weight + rows
    found, wanted = (mixture.means[0, 0], -1.0) if what == "mean" else (mixture.weights[0], 0.4)
    assert found == pytest.approx(wanted, rel=0.05)


def verdict_of(later: MixtureParameters, days: int = 1, rows: int = 2000, remembered: float = 14.0) -> Verdict:
    """The verdict after some days of another mixture, with a memory of so many days of 2,000 rows."""
    rng = np.random.default_rng(8)
    seen = draw_rows(blobs(), 4000, rng)[0]
    drawn = [draw_rows(later, rows, rng)[0] for _ in range(days)]
    return follow(blobs(), seen, drawn, remembered * 2000 / rows)


def test_a_mixture_that_still_describes_its_rows_is_updated():
    for later in (blobs(), MixtureParameters([0.2, 0.3, 0.5], blobs().means, blobs().covariances)):
        verdict = verdict_of(later)
        assert (verdict.word, verdict.reasons, verdict.starving) == ("updated", (), ())
    for rows in (1, 2, 30):
        few = verdict_of(blobs(), rows=rows)
        assert few.word == "updated"


def test_a_new_cluster_and_a_far_move_ask_for_a_refit():
    one = blobs()
    new = MixtureParameters(
        [0.45, 0.27, 0.18, 0.1],
        np.vstack([one.means, [-8, -8, 5]]),
        np.concatenate([one.covariances, np.eye(3)[None]]),
    )
    moved = MixtureParameters(one.weights, one.means + np.array([[-5.0, 0, 0], [0] * 3, [0] * 3]), one.covariances)
    for later in (new, moved):
        verdict = verdict_of(later)
        assert verdict.word == "refit"
        assert "less likely than the updated mixture expects" in verdict.reasons[1]
        # A memory of one day: a component has widened at once, and the mixture expects such rows.
        young = verdict_of(later, remembered=1.0)
        assert young.word == "refit"
        assert "less likely than all but 1 % of those that the model expected" in young.reasons[0]


def test_a_component_without_rows_is_told_and_asks_for_a_refit_once_it_has_starved():
    gone = MixtureParameters([0.7, 0.3], blobs().means[:2], blobs().covariances[:2])
    first = verdict_of(gone)
    assert (first.word, first.starving, first.starved) == ("updated", (2,), ())
    last = verdict_of(gone, days=30)
    assert (last.word, last.starved) == ("refit", (2,))
    assert "component 2: less than a tenth" in last.reasons[0]


def test_what_a_mixture_expects_of_itself_is_the_mean_over_its_own_rows(rng):
    for kind in COVARIANCE_TYPES:
        mixture = random_mixture(kind, 4, 3, rng)
        drawn = log_density(mixture, draw_rows(mixture, 40_000, rng)[0])
        assert expect_of_itself(mixture) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / 200)


def test_a_memory_survives_json_and_damaged_ones_are_refused():
    memory = Memory(12.5, np.array([0.0, 1e-9]), np.array([0.25, 0.75]), ("a", "b"), 0.125, None, 0.5)
    found = Memory.from_dict(json.loads(json.dumps(memory.to_dict())))
    assert (found.weight, found.days) == (12.5, ("a", "b"))
    assert (found.shortfall, found.gap, found.strange) == (0.125, None, 0.5)
    np.testing.assert_array_equal(found.floor, memory.floor)
    assert found.add_day("c") == ("a", "b", "c")
    assert found.add_day(None) == ("a", "b")
    for changed in (
        {"weight": 0.0},
        {"weight": "x"},
        {"floor": [-1, 0]},
        {"weights": [[1]]},
        {"days": [1]},
        {"gap": "y"},
    ):
        with pytest.raises(ParameterError):
            Memory.from_dict(memory.to_dict() | changed)
    with pytest.raises(ParameterError, match="a mixture of 3 components"):
        memory.require_fits(3, 2)


def test_times_that_cannot_be_are_refused():
    for half_life, elapsed in ((0.0, 1.0), (np.nan, 1.0), (1.0, -1.0), (1.0, np.inf), (1.0, np.nan)):
        with pytest.raises(ParameterError):
            find_decay(half_life, elapsed)
