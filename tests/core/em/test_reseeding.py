"""Components that starve or collapse are reseeded where rows are explained poorly, at most three times."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gmm_spark.core.em import ascent as ascent_module
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.loop import activate, make_passes
from gmm_spark.core.em.m_step import maximize, maximize_survivors
from gmm_spark.core.em.reseeding import degenerate_components, reseed
from gmm_spark.core.em.run import RESEEDING_ROUNDS, Run
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.single import polish, search
from gmm_spark.core.search.starts import draw_start
from gmm_spark.core.settings import Rule, Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError
from tests.examples import (
    COVARIANCE_TYPES,
    blobs,
    draw_rows,
    matched,
    random_mixture,
    repeated_value,
    result_of,
    run_em,
)

FAR = 1e4
# Structures in which one component can collapse while the others stand.
OWN_COVARIANCES = [name for name in COVARIANCE_TYPES if name != "tied"]


@pytest.fixture
def clear(covariance_type) -> tuple[ArrayTable, MixtureParameters]:
    """A table of three clusters far apart, and the mixture it came from, centred as the table is."""
    rng = np.random.default_rng(5)
    truth = random_mixture(covariance_type, 3, 2, rng)
    truth = MixtureParameters(truth.weights, [[0, 0], [20, 0], [0, 20]], truth.covariances, covariance_type)
    table = ArrayTable(draw_rows(truth, 900, rng)[0])
    return table, truth.shifted(-table.moments.mean)


def with_means(parameters: MixtureParameters, changed: dict[int, list[float]]) -> MixtureParameters:
    means = parameters.means.copy()
    for j, mean in changed.items():
        means[j] = mean
    return MixtureParameters(parameters.weights, means, parameters.covariances, parameters.covariance_type)


def run(
    table: ArrayTable, start: MixtureParameters, sample: ArrayTable | None, max_iter: int = 400, **rule
) -> EMResult:
    return run_em(table, start, max_iter, 1e-7, sample=sample, **rule)


def reseedings(result: EMResult) -> list[tuple[int, ...]]:
    return [record.reseeded for record in result.history if record.reseeded]


def collapsing() -> tuple[ArrayTable, dict[str, MixtureParameters]]:
    """A table with a value repeated, and starts of which one component collapses onto it."""
    table = ArrayTable(repeated_value())
    value = float(4.2 - table.moments.mean[0])
    means, variances = [[-0.5], [value], [1.2]], np.array([1.0, 1e-4, 1.0])
    shapes = {"full": (3, 1, 1), "diag": (3, 1), "spherical": (3,)}
    return table, {n: MixtureParameters([0.4, 0.2, 0.4], means, variances.reshape(s), n) for n, s in shapes.items()}


def test_a_starved_component_is_reseeded_in_the_cluster_that_none_explains(clear, covariance_type):
    table, truth = clear
    start = with_means(truth, {1: [FAR, FAR]})
    without, found, best = run(table, start, None), run(table, start, table), run(table, truth, None)
    assert degenerate_components(without.parameters) == (1,)
    assert reseedings(found) == [(1,)]
    assert degenerate_components(found.parameters) == ()
    assert found.converged
    assert found.lower_bound == pytest.approx(best.lower_bound, abs=1e-4)
    order = matched(found.parameters, best.parameters.means)
    np.testing.assert_allclose(found.parameters.means[order], best.parameters.means, atol=0.05)
    assert found.parameters.weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_reseeding_waits_for_convergence_and_the_next_change_is_not_compared(clear):
    table, truth = clear
    start = with_means(truth, {1: [FAR, FAR]})
    without, found = run(table, start, None), run(table, start, table)
    n = len(without.history)
    assert without.converged
    assert [r.lower_bound for r in found.history[:n]] == [r.lower_bound for r in without.history]
    assert found.history[n - 1].reseeded == (1,)
    assert np.isnan(found.history[n].change)
    assert np.isnan(found.history[n].remaining)
    after = [record.lower_bound for record in found.history[n:]]
    assert all(later - earlier >= -1e-10 * abs(earlier) for earlier, later in itertools.pairwise(after))


def test_two_components_reseeded_together_find_a_cluster_each(clear):
    table, truth = clear
    found = run(table, with_means(truth, {0: [FAR, FAR], 2: [-FAR, FAR]}), table)
    assert reseedings(found)[0] == (0, 2)
    assert found.lower_bound == pytest.approx(run(table, truth, None).lower_bound, abs=1e-4)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_reseeding_never_ends_lower_than_without_it(covariance_type, seed, accelerate):
    table = ArrayTable(blobs(m=150))
    truth = random_mixture(covariance_type, 5, 3, np.random.default_rng(seed)).shifted(-table.moments.mean)
    start = with_means(truth, {1: [FAR] * 3, 3: [-FAR] * 3})
    settings = {"reg_covar": 1e-6, "accelerate": accelerate, "seed": seed}
    without = run(table, start, None, **settings)
    for max_iter in (len(without.history) + 2, len(without.history) + 9, 600):
        found = run(table, start, table, max_iter, **settings)
        assert found.lower_bound >= without.lower_bound - 1e-12
        given = table.evaluate(found.parameters)
        assert given.log_likelihood / given.weight_sum >= found.lower_bound - 1e-9


def test_reseeding_follows_the_rows_weights():
    rng = np.random.default_rng(3)
    clusters = [np.zeros(300), np.full(60, 60.0), np.full(600, -60.0)]
    rows = (np.concatenate(clusters) + rng.normal(size=960))[None]
    weight = np.repeat([1.0, 1.0, 0.05], [300, 60, 600])  # sixty rows weigh more than six hundred
    table = ArrayTable(rows, weight)
    start = MixtureParameters([1.0, 0.0], np.array([[0.0], [FAR]]) - table.moments.mean, [1.0, 1.0], "spherical")
    for seed in range(5):
        placed = reseed(start, [1], table, np.random.default_rng(seed))
        assert placed.means[1, 0] + table.moments.mean[0] == pytest.approx(60.0, abs=4.0)


def test_a_round_cut_short_by_the_iteration_limit_gives_the_result_from_before_if_that_is_likelier(clear):
    table, truth = clear
    start = with_means(truth, {1: [FAR, FAR]})
    without = run(table, start, None)
    # In this sample rows are explained poorly in a place where the table has no rows.
    misleading = ArrayTable(np.full((2, 50), 500.0) + blobs(2, 50), moments=table.moments)
    found = run(table, start, misleading, len(without.history) + 1)
    assert found.history[-1].step == "lost"
    assert found.converged
    assert found.lower_bound == found.history[-1].lower_bound == without.lower_bound
    np.testing.assert_array_equal(found.parameters.means, without.parameters.means)
    np.testing.assert_array_equal(found.parameters.weights, without.parameters.weights)


def test_the_same_seed_gives_the_same_bits_and_others_lead_elsewhere(clear):
    table, truth = clear
    start = with_means(truth, {1: [FAR, FAR]})
    one, same, *others = (run(table, start, table, seed=seed) for seed in (3, 3, 4, 5, 6, -7))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(one.parameters, name), getattr(same.parameters, name))
    assert [r.lower_bound for r in one.history] == [r.lower_bound for r in same.history]
    assert len({tuple(r.lower_bound for r in result.history) for result in (one, *others)}) > 1


@pytest.mark.parametrize("name", OWN_COVARIANCES)
def test_a_component_that_collapses_is_reseeded_instead_of_ending_the_run(name):
    table, starts = collapsing()
    with pytest.raises(DegenerateComponentError, match="component 1 collapsed"):
        run(table, starts[name], None, 3000)
    found = run(table, starts[name], table, 3000)
    assert found.converged
    assert (1,) in reseedings(found)
    assert np.isfinite(found.lower_bound)
    assert found.parameters.weights.sum() == pytest.approx(1.0, abs=1e-12)
    # At least as likely as the other two components alone.
    pair = starts[name]
    pair = MixtureParameters([0.5, 0.5], pair.means[[0, 2]], pair.covariances[[0, 2]], name)
    assert found.lower_bound >= run(table, pair, None, 3000).lower_bound - 1e-6


@pytest.mark.parametrize("name", OWN_COVARIANCES)
def test_the_change_after_a_collapse_is_not_compared(name):
    table, starts = collapsing()
    found = run(table, starts[name], table, 3000)
    bounds = [record.lower_bound for record in found.history]
    after = next(i for i, (a, b) in enumerate(itertools.pairwise(bounds), 1) if b < a - 1e-3)
    assert np.isnan(found.history[after].change)


@pytest.mark.parametrize("name", OWN_COVARIANCES)
def test_more_components_than_the_rows_support_end_without_weight_after_three_rounds(name):
    # A cloud and two repeated points: only the covariance of the cloud can be estimated.
    repeated = np.repeat(np.array([[30.0, -30.0], [30.0, 30.0]]), 200, axis=1)
    table = ArrayTable(np.concatenate([repeated, blobs(2, 60)], axis=1))
    centred = table.rows - table.moments.mean[:, None]
    (start,) = draw_start(
        centred, None, np.zeros(len(centred)), table.moments.variance, 3, [name], "k-means++", np.random.default_rng(1)
    )
    found = run(table, start, table, 5000)
    assert len(reseedings(found)) == RESEEDING_ROUNDS
    assert degenerate_components(found.parameters)
    assert found.converged
    assert len(found.history) < 5000


def test_a_run_in_which_all_components_collapse_at_once_degenerates(covariance_type):
    rows = blobs()
    rows[1] = 0.1
    table = ArrayTable(rows)
    start = random_mixture(covariance_type, 2, 3, np.random.default_rng(0), spread=0.5)
    if covariance_type == "spherical":
        return  # the other features keep the one variance positive
    with pytest.raises(DegenerateComponentError, match="collapsed"):
        run(table, start, table)


def test_a_fit_without_degenerate_components_is_the_same_to_the_bit_with_a_sample(clear):
    table, truth = clear
    for accelerate in (False, True):
        one, other = (run(table, truth, sample, accelerate=accelerate) for sample in (None, table))
        assert reseedings(other) == []
        np.testing.assert_array_equal(one.parameters.covariances, other.parameters.covariances)
        assert [r.lower_bound for r in one.history] == [r.lower_bound for r in other.history]
        assert [r.step for r in one.history] == [r.step for r in other.history]


@pytest.mark.parametrize("name", OWN_COVARIANCES)
def test_starts_that_collapse_on_the_sample_are_reseeded_there(name):
    rows = repeated_value()
    asked = {"k": 6, "covariance_type": name, "reg_covar": 0.0, "tol": 1e-9, "max_iter": 500}
    result = search(ArrayTable(rows), (rows, None), Settings(**asked))
    assert np.isfinite(result.lower_bound)
    assert result.parameters.weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_run_in_a_round_of_reseeding_counts_as_the_better_of_before_and_now(clear):
    table, truth = clear
    start = with_means(truth, {1: [FAR, FAR]})
    without = run(table, start, None)
    misleading = ArrayTable(np.full((2, 50), 500.0) + blobs(2, 50), moments=table.moments)
    (active,) = activate([Run(start, Rule(400, 1e-7))], misleading, None)
    make_passes(table, [active], len(without.history) + 1)
    assert not active.ended
    assert active.latest.lower_bound < without.lower_bound
    assert result_of(active.outcome).lower_bound == without.lower_bound


def test_a_round_that_ends_in_a_collapse_of_all_gives_the_result_from_before(clear, monkeypatch):
    table, truth = clear
    start = with_means(truth, {1: [FAR, FAR]})
    without = run(table, start, None)
    n = len(without.history)
    maximized = []

    def collapsing(*arguments):
        maximized.append(arguments)
        if len(maximized) == n + 2:
            raise DegenerateComponentError("the tied covariance collapsed")
        return maximize_survivors(*arguments)

    monkeypatch.setattr(ascent_module, "maximize_survivors", collapsing)
    found = run(table, start, table)
    assert found.converged
    assert found.lower_bound == without.lower_bound
    np.testing.assert_array_equal(found.parameters.means, without.parameters.means)
    assert [record.iteration for record in found.history] == list(range(1, n + 3))
    assert [record.step for record in found.history[-2:]] == ["plain", "lost"]


@pytest.mark.parametrize("accelerate", [False, True])
def test_polish_reseeds_a_component_that_collapses_whether_or_not_it_looks_ahead(accelerate):
    table, starts = collapsing()
    settings = Settings(k=3, covariance_type="full", reg_covar=0.0, tol=1e-7, max_iter=3000, accelerate=accelerate)
    found = polish(table, (table.rows, None), starts["full"], settings)
    assert found.converged
    assert (1,) in reseedings(found)
    assert any(record.step == "extrapolated" for record in found.history) == accelerate


def test_polish_without_acceleration_takes_the_steps_of_plain_em(covariance_type, clear):
    table, truth = clear
    sample = np.ascontiguousarray(table.rows[:, ::3]), None
    settings = Settings(k=3, covariance_type=covariance_type, reg_covar=0.0, tol=1e-7, accelerate=False)
    polished, plain = polish(table, sample, truth, settings), run(table, truth, None, 100)
    np.testing.assert_array_equal(polished.parameters.means, plain.parameters.means)
    assert [r.lower_bound for r in polished.history] == [r.lower_bound for r in plain.history]


def test_a_group_of_rows_is_preferred_to_a_lone_outlier(covariance_type):
    rng = np.random.default_rng(2)
    crowd, group = rng.standard_normal((2, 600)), rng.standard_normal((2, 40)) + 12.0
    outliers = np.array([[300.0, 0.0, -400.0], [0.0, -350.0, 0.0]])
    sample = ArrayTable(np.concatenate([crowd, group, outliers], axis=1))
    second = np.ones((2, 2)) if covariance_type == "diag" else np.stack([np.eye(2)] * 2)
    covariances = {"full": second, "diag": second, "tied": np.eye(2), "spherical": np.ones(2)}[covariance_type]
    lame = MixtureParameters([1.0, 0.0], [[0, 0], [0, 0]], covariances, covariance_type)
    lame = lame.shifted(-sample.moments.mean)
    for seed in range(5):
        placed = reseed(lame, (1,), sample, np.random.default_rng(seed))
        assert placed is not None
        assert np.linalg.norm(placed.means[1] + sample.moments.mean - 12.0) < 5.0
        np.testing.assert_allclose(placed.weights, [0.5, 0.5])
        np.testing.assert_array_equal(placed.means[0], lame.means[0])


def test_no_component_is_reseeded_at_a_row_without_weight(clear, covariance_type):
    table, truth = clear
    lame = MixtureParameters([0.5, 0.5, 0.0], truth.means, truth.covariances, covariance_type)
    m = table.rows.shape[1]
    padded = np.concatenate([table.rows, np.full((2, 30), 77.0)], axis=1)
    ghosts = ArrayTable(padded, np.concatenate([np.ones(m), np.zeros(30)]), moments=table.moments)
    for seed in range(3):
        one, other = (reseed(lame, (2,), t, np.random.default_rng(seed)) for t in (table, ghosts))
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.means, other.means)
    rows = table.rows - table.moments.mean[:, None]
    assert np.all(np.isin(one.means[2], rows))
    assert log_density(one, rows).mean() > log_density(lame, rows).mean()
    weightless = ArrayTable(table.rows, np.zeros(m), moments=table.moments)
    assert reseed(lame, (2,), weightless, np.random.default_rng(0)) is None


@pytest.mark.parametrize("name", OWN_COVARIANCES)
def test_the_m_step_of_survivors_names_who_collapsed_and_keeps_its_mean_and_covariance(name):
    rows = np.concatenate([np.full((2, 30), 50.0), blobs(2, 200)], axis=1)
    table = ArrayTable(rows)
    shapes = {"full": np.stack([np.eye(2)] * 3), "diag": np.ones((3, 2)), "spherical": np.ones(3)}
    means = np.array([[0.0, 0.0], [50.1, 49.8], [1.0, -1.0]]) - table.moments.mean
    point = MixtureParameters([0.3, 0.3, 0.4], means, shapes[name], name)
    (statistics,) = table.expect([point])
    with pytest.raises(DegenerateComponentError, match="component 1"):
        maximize(statistics, point, np.zeros(2))
    found, collapsed = maximize_survivors(statistics, point, np.zeros(2))
    assert collapsed == degenerate_components(found) == (1,)
    np.testing.assert_array_equal(found.means[1], point.means[1])
    np.testing.assert_array_equal(found.covariances[1], point.covariances[1])
    np.testing.assert_allclose(found.weights, statistics.resp_sum * [1, 0, 1] / statistics.resp_sum[[0, 2]].sum())
    regularised = maximize(statistics, point, np.full(2, 0.1))
    np.testing.assert_allclose(found.means[[0, 2]], regularised.means[[0, 2]])
