"""Mixtures with noise, and rows with missing values, are updated as all others: sums, free energy, days, verdict."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.missing.density import log_density, responsibilities
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.core.update.memory import recall
from gmm_spark.core.update.remembering import expect_log_likelihood
from gmm_spark.core.update.updating import find_decay
from gmm_spark.core.update.verdict import expect_of_itself
from tests.core.update.days import ROWS, blobs, follow, run_em, step_on
from tests.examples import COVARIANCE_TYPES, draw_rows, random_mixture

LOW, HIGH = np.full(3, -15.0), np.full(3, 15.0)
NEW = np.array([-8.0, -8.0, 5.0])


def draw(mixture: MixtureParameters, m: int, rng, noisy: float = 0.0, holes: float = 0.0) -> np.ndarray:
    """Rows, a share of which is uniform, with a share of the values missing; none is missing altogether."""
    rows = draw_rows(mixture, m, rng)[0]
    stray = np.flatnonzero(rng.random(m) < noisy)
    rows[:, stray] = rng.uniform(LOW[0], HIGH[0], (rows.shape[0], len(stray)))
    gone = rng.random(rows.shape) < holes
    gone[0, gone.all(axis=0)] = False
    rows[gone] = np.nan
    return rows


def with_noise(mixture: MixtureParameters, weight: float = 0.1) -> MixtureParameters:
    return mixture.with_noise(Noise(weight, LOW, HIGH))


def with_new_cluster(mixture: MixtureParameters, share: float = 0.1) -> MixtureParameters:
    means, covariances = np.vstack([mixture.means, NEW]), np.concatenate([mixture.covariances, np.eye(3)[None]])
    return MixtureParameters([*((1 - share) * mixture.weights), share], means, covariances)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_completed_sums_of_a_step_are_recalled_from_its_result(kind, noisy, rng):
    start = random_mixture(kind, 3, 3, rng)
    rows = draw(start, ROWS, rng, holes=0.2, noisy=0.1)
    start = with_noise(start) if noisy else start
    table = ArrayTable(rows)
    (sums,) = table.expect([start.shifted(-table.moments.mean)])
    made = maximize(sums, start.shifted(-table.moments.mean), np.zeros(3))
    recalled, moved = recall(made, float(ROWS)), sums.about(made.means)
    np.testing.assert_allclose(recalled.resp_sum, moved.resp_sum, rtol=1e-12)
    np.testing.assert_allclose(moved.first, 0, atol=1e-8 * ROWS)
    np.testing.assert_allclose(recalled.second, moved.second, rtol=1e-9, atol=1e-6)
    assert recalled.noise_sum == pytest.approx(sums.noise_sum, rel=1e-12)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_what_remembered_rows_expect_is_exact_for_rows_with_missing_values(kind, noisy, rng):
    """The expected complete log-likelihood, over the missing values too, drawn from what is known of each row."""
    before, candidate = random_mixture(kind, 2, 3, rng), random_mixture(kind, 2, 3, rng)
    rows = draw(before, 60, rng, holes=0.3)
    if noisy:
        before, candidate = with_noise(before), with_noise(candidate, 0.2)
    table = ArrayTable(rows)
    (sums,) = table.expect([before.shifted(-table.moments.mean)])
    made = maximize(sums, before.shifted(-table.moments.mean), np.zeros(3)).shifted(table.moments.mean)
    frozen, expected = responsibilities(before, rows), 0.0
    for j in range(2):
        precision = np.linalg.inv(candidate.dense_covariances[j])
        for i, row in enumerate(rows.T):
            o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
            cov, mean, spread = before.dense_covariances[j], row.copy(), np.zeros((3, 3))
            slopes = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
            mean[m] = before.means[j, m] + slopes @ (row[o] - before.means[j, o])
            spread[np.ix_(m, m)] = cov[np.ix_(m, m)] - slopes @ cov[np.ix_(o, m)]
            away = mean - candidate.means[j]
            square = away @ precision @ away + np.trace(precision @ spread)
            expected += frozen[j, i] * (candidate.log_normalisers[j] - square / 2)
    if candidate.noise is not None:
        # Noise says of a missing value that it is anywhere in the box: no candidate of this box changes that.
        expected += frozen[2].sum() * candidate.noise.log_height
    assert expect_log_likelihood(made, 60.0, candidate) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("noisy", [False, True])
def test_no_pass_lowers_the_free_energy(kind, noisy, rng):
    truth, before = random_mixture(kind, 3, 3, rng), random_mixture(kind, 3, 3, rng)
    rows = draw(truth, ROWS, rng, holes=0.2, noisy=0.1)
    for weight in (10.0, 1e3, 1e6):
        _, found = step_on(rows, with_noise(before, 0.2) if noisy else before, weight, max_iter=40)
        bounds = [one.lower_bound for one in found.result.history]
        assert len(bounds) > 1
        assert (np.diff(bounds) >= -1e-10 * np.abs(bounds[0])).all()


@pytest.mark.parametrize(("noisy", "holes"), [(0.1, 0.0), (0.0, 0.2), (0.1, 0.2)])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_thirty_days_of_one_mixture_come_to_the_fit_of_the_whole_table(kind, noisy, holes):
    rng = np.random.default_rng(5)
    days = [draw(blobs(kind), ROWS, rng, noisy, holes) for _ in range(30)]
    whole = np.concatenate(days, axis=1)
    start = with_noise(blobs(kind)) if noisy else blobs(kind)
    reference = log_density(run_em(whole, start), whole).mean()
    for half_life in (np.inf, 14.0):
        weight, mixture = float(ROWS), run_em(days[0], start)
        for rows in days[1:]:
            decay = find_decay(half_life, 1.0)
            mixture, _ = step_on(rows, mixture, decay * weight)
            weight = decay * weight + ROWS
        assert reference - log_density(mixture, whole).mean() < 1e-3


@pytest.mark.parametrize(("noisy", "holes"), [(0.1, 0.0), (0.0, 0.15), (0.1, 0.15)])
def test_days_of_the_same_mixture_are_no_refit_and_a_new_cluster_is(noisy, holes):
    rng = np.random.default_rng(8)
    mixture = with_noise(blobs()) if noisy else blobs()
    seen = draw(blobs(), 6000, rng, noisy, holes)
    mixture = run_em(seen, mixture)
    for rows in (30, 800, 2000):
        verdict = follow(mixture, seen, [draw(blobs(), rows, rng, noisy, holes) for _ in range(3)])
        assert (verdict.word, verdict.reasons, verdict.starving) == ("updated", (), ())
        assert verdict.expected == pytest.approx(verdict.log_density + verdict.shortfall)
        assert verdict.shortfall == pytest.approx(verdict.shortfall_at_fit, abs=4 * verdict.error)
    later = follow(mixture, seen, [draw(with_new_cluster(blobs()), 2000, rng, noisy, holes)])
    assert later.word == "refit"
    assert "less likely than all but 1 % of those that the model expected" in later.reasons[0]


def test_more_noise_asks_for_a_refit(rng):
    seen = draw(blobs(), 6000, rng, noisy=0.1)
    mixture = run_em(seen, with_noise(blobs()))
    verdict = follow(mixture, seen, [draw(blobs(), 2000, rng, noisy=0.2)])
    assert verdict.word == "refit"


def test_rows_that_all_lack_values_in_ways_of_their_own_are_not_judged(rng):
    seen = draw(blobs(), 6000, rng)
    rows = draw(blobs(), 300, rng)
    rows[rng.integers(0, 3, 300), np.arange(300)] = np.nan
    verdict = follow(blobs(), seen, [rows + 3.0])
    assert (verdict.judged, verdict.word) == (0.0, "updated")
    few = follow(blobs(), seen, [np.concatenate([rows, draw(blobs(), 15, rng) + 30.0], axis=1)])
    assert few.judged == pytest.approx(15 / 315)
    assert few.word == "updated"
    half = np.concatenate([rows, draw(blobs(), 300, rng)], axis=1)
    assert follow(blobs(), seen, [half]).judged == pytest.approx(0.5)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_what_a_mixture_with_noise_expects_of_itself_is_the_mean_over_its_own_rows(kind, rng):
    mixture = random_mixture(kind, 4, 3, rng)
    drawn = log_density(with_noise(mixture), draw(mixture, 40_000, rng, noisy=0.1))
    assert expect_of_itself(with_noise(mixture)) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / 200)
