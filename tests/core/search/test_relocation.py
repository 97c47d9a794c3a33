"""Components moved from where they are needed least to where rows are explained poorly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search import relocation as relocation_module
from gmm_spark.core.search import single as search_module
from gmm_spark.core.search.racing import race
from gmm_spark.core.search.relocation import relocate, removal_losses
from gmm_spark.core.search.single import choose_finalists
from gmm_spark.core.settings import Rule, Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError
from tests.examples import CountingTable, blobs, draw_rows, matched, random_mixture, run_em

RULE = Rule(max_iter=60, tol=1e-6)


@pytest.fixture
def clear(covariance_type) -> tuple[ArrayTable, MixtureParameters]:
    """A table of eight clusters well apart, and the mixture it came from, centred as the table is."""
    rng = np.random.default_rng(11)
    truth = random_mixture(covariance_type, 8, 2, rng)
    centres = [[0, 0], [30, 0], [40, 0], [0, 30], [30, 30], [0, 60], [30, 60], [60, 60]]
    truth = MixtureParameters(truth.weights, centres, truth.covariances, covariance_type)
    table = ArrayTable(draw_rows(truth, 2000, rng)[0])
    return table, truth.shifted(-table.moments.mean)


def astray(truth: MixtureParameters, twice: bool = False) -> MixtureParameters:
    """Two components in one cluster and one over the next two; if ``twice``, the same among three more clusters."""
    means = truth.means.copy()
    for own, one, other in [(0, 1, 2), (3, 5, 6)][: 1 + twice]:
        means[one] = (means[one] + means[other]) / 2
        means[other] = means[own] + 0.5
    return MixtureParameters(truth.weights, means, truth.covariances, truth.covariance_type)


def run(table: ArrayTable, start: MixtureParameters) -> EMResult:
    return run_em(table, start, RULE.max_iter, RULE.tol, reg_covar=1e-6, sample=table)


def test_two_components_in_one_cluster_and_one_over_two_are_set_right(clear):
    table, truth = clear
    stuck, right = run(table, astray(truth)), run(table, truth)
    assert stuck.lower_bound < right.lower_bound - 0.1, "EM would do it alone"
    moved = relocate(table, stuck.parameters, RULE, 2, np.random.default_rng(0))
    assert moved is not None
    assert run(table, moved).lower_bound == pytest.approx(right.lower_bound, abs=1e-4)
    order = matched(moved, right.parameters.means)
    np.testing.assert_allclose(moved.means[order], right.parameters.means, atol=0.1)


@pytest.mark.parametrize("weighted", [False, True])
def test_places_are_compared_on_a_random_part_of_the_rows(clear, weighted, monkeypatch):
    table, truth = clear
    # Every second row is of the clusters that one component covers: taking every other row might miss them all.
    hidden = np.abs(table.rows[1]) + np.abs(table.rows[0] - 35) < 25
    m = min(hidden.sum(), (~hidden).sum())
    assert m > 200
    rows = np.stack([table.rows[:, ~hidden][:, :m], table.rows[:, hidden][:, :m]], axis=2).reshape(2, 2 * m)
    monkeypatch.setattr(relocation_module, "_PLACING_ROWS", m)
    weight = None
    if weighted:  # rows without weight, where no cluster is
        rows, weight = np.concatenate([rows, np.full((2, m), 15.0)], axis=1), np.repeat([2.0, 2.0, 0.0], m)
    found = ArrayTable(rows, weight, table.moments)
    moved = relocate(found, run(found, astray(truth)).parameters, RULE, 1, np.random.default_rng(0))
    assert moved is not None
    assert run(found, moved).lower_bound == pytest.approx(run(found, truth).lower_bound, abs=1e-4)


def test_each_round_sets_one_right(clear, covariance_type):
    table, truth = clear
    stuck, right = run(table, astray(truth, twice=True)), run(table, truth).lower_bound
    once, twice = (relocate(table, stuck.parameters, RULE, n, np.random.default_rng(0)) for n in (1, 2))
    assert relocate(table, stuck.parameters, RULE, 0, np.random.default_rng(0)) is None
    assert stuck.lower_bound + 0.05 < run(table, once).lower_bound < right - 0.05
    assert run(table, twice).lower_bound == pytest.approx(right, abs=1e-4)


def test_a_mixture_that_is_right_is_not_moved(clear):
    table, truth = clear
    assert relocate(table, truth, RULE, 2, np.random.default_rng(0)) is None


def test_the_same_random_stream_gives_the_same_bits(clear):
    table, truth = clear
    first, second = (relocate(table, astray(truth), RULE, 2, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.means, second.means)
    np.testing.assert_array_equal(first.covariances, second.covariances)


def test_after_some_passes_only_the_best_candidate_is_kept(clear):
    table, truth = clear
    counted = CountingTable(table.rows)
    relocate(counted, astray(truth), replace(RULE, tol=0.0), 1, np.random.default_rng(0))
    # First the mixture as it is, to its end; then the candidates, until one is left.
    (*_, unmoved), candidates = np.split(np.array(counted.candidates), [RULE.max_iter])
    assert unmoved == 1
    assert candidates[0] > 1
    assert len(candidates) == RULE.max_iter
    assert (candidates > 1).sum() == relocation_module._CUT_AFTER


def test_a_single_component_is_not_relocated():
    table = ArrayTable(blobs())
    one = MixtureParameters([1.0], [[0.0] * 3], [1.0], "spherical")
    assert relocate(table, one, RULE, 2, np.random.default_rng(0)) is None


def test_a_gain_that_chance_explains_is_not_accepted(clear, monkeypatch):
    table, truth = clear
    unmoved = run(table, truth)
    by_chance = truth.n_parameters / 8 / table.rows.shape[1]

    def race_to(gain):
        found = EMResult(truth, unmoved.lower_bound + gain, True, unmoved.history)
        return lambda *_, **__: [found]

    monkeypatch.setattr(relocation_module, "fit", lambda *_, **__: [unmoved])
    monkeypatch.setattr(relocation_module, "race", race_to(0.9 * by_chance))
    assert relocate(table, truth, RULE, 1, np.random.default_rng(0)) is None
    monkeypatch.setattr(relocation_module, "race", race_to(1.1 * by_chance))
    assert relocate(table, truth, RULE, 1, np.random.default_rng(0)) is truth


@pytest.mark.parametrize("spread", [0.3, 3.0, 300.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_removal_losses_are_those_of_the_mixture_without_each_component(covariance_type, spread, weighted):
    rng = np.random.default_rng(2)
    truth = random_mixture(covariance_type, 4, 3, rng, spread)
    table = ArrayTable(draw_rows(truth, 500, rng)[0], rng.uniform(0.5, 2.0, 500) if weighted else None)
    centred = truth.shifted(-table.moments.mean)
    rows = table.rows - table.moments.mean[:, None]
    for j, loss in enumerate(removal_losses(centred, table)):
        others = np.delete(np.arange(4), j)
        weights = centred.weights[others] / centred.weights[others].sum()
        shapes = centred.covariances if covariance_type == "tied" else centred.covariances[others]
        without = MixtureParameters(weights, centred.means[others], shapes, covariance_type)
        lost = log_density(centred, rows) - log_density(without, rows)
        assert loss == pytest.approx(np.average(lost, weights=table.sample_weight), rel=1e-9, abs=1e-12)


def test_if_all_starts_are_stuck_the_best_is_set_right_on_the_sample(clear, covariance_type):
    table, truth = clear
    settings = Settings(k=8, covariance_type=covariance_type, n_init=4, tol=1e-6)
    sample, right = (table.rows, None), run(table, truth).lower_bound
    for n_starts, at_most in ((4, 1), (4, 3), (1, 3)):
        starts = [astray(truth)] * n_starts
        found = choose_finalists(table, sample, ColumnProfile.of(sample[0]), settings, starts, at_most)
        assert len(found) == min(n_starts, at_most)
        assert run(table, found[0]).lower_bound == pytest.approx(right, abs=1e-4)


def test_if_relocation_degenerates_the_results_of_the_race_are_kept(clear, covariance_type, monkeypatch):
    def collapse(*_):
        raise DegenerateComponentError("collapsed")

    table, truth = clear
    settings = Settings(k=8, covariance_type=covariance_type, n_init=2, tol=1e-6)
    monkeypatch.setattr(search_module, "relocate", collapse)
    found = choose_finalists(table, (table.rows, None), ColumnProfile.of(table.rows), settings, [astray(truth), truth])
    assert len(found) == 2
    assert run(table, found[0]).lower_bound == pytest.approx(run(table, truth).lower_bound, abs=1e-4)


def test_the_best_start_is_relocated_and_run_to_its_end_on_the_sample(clear, covariance_type, monkeypatch):
    table, truth = clear
    monkeypatch.setattr(search_module, "_RANKING_ROWS", 500)
    monkeypatch.setattr(search_module, "_RANKING_ROWS_PER_PARAMETER", 0)
    settings = Settings(k=8, covariance_type=covariance_type, n_init=2, tol=1e-9, seed=1)
    starts = [astray(truth), astray(truth, twice=True)]
    right = run_em(table, truth, RULE.max_iter, 1e-9, reg_covar=1e-6)
    first, again = (
        choose_finalists(table, (table.rows, None), ColumnProfile.of(table.rows), settings, starts)[0] for _ in range(2)
    )
    # Two starts give one round: enough to set the first start right, not the second.
    np.testing.assert_allclose(first.means[matched(first, right.parameters.means)], right.parameters.means, atol=1e-4)
    np.testing.assert_array_equal(first.means, again.means)


def test_a_mixture_with_a_degenerate_component_is_left_alone(clear, monkeypatch):
    table, truth = clear
    result = run(table, truth)
    weights = np.append(truth.weights[:-1], 0.0)
    lost = MixtureParameters(weights / weights.sum(), truth.means, truth.covariances, truth.covariance_type)
    monkeypatch.setattr(relocation_module, "fit", lambda *_, **__: [replace(result, parameters=lost)])
    monkeypatch.setattr(relocation_module, "Round", None)  # an error if it is used
    assert relocate(table, truth, RULE, 2, np.random.default_rng(0)) is None


def test_if_all_candidates_of_a_round_degenerate_the_result_of_the_round_before_is_kept(clear, monkeypatch):
    table, truth = clear
    stuck = run(table, astray(truth)).parameters
    rounds = iter([1, 2])

    def collapsing(*arguments, **more):
        if next(rounds) == 2:
            raise DegenerateComponentError("collapsed")
        return race(*arguments, **more)

    expected = relocate(table, stuck, RULE, 1, np.random.default_rng(0))
    monkeypatch.setattr(relocation_module, "race", collapsing)
    found = relocate(table, stuck, RULE, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(found.means, expected.means)


@pytest.mark.parametrize("scale", [3.0, 1e-250, 1e250])
def test_uneven_weights_count_as_fewer_rows(clear, scale):
    table, _ = clear
    even, uneven = np.full(2000, scale), scale * np.where(np.arange(2000) < 20, 1.0, 1e-9)
    tables = [ArrayTable(table.rows, weight) for weight in (None, even, uneven)]
    counts = [relocation_module._count_rows(one, "importance") for one in tables]
    np.testing.assert_allclose(counts, [2000, 2000, 20], rtol=1e-4)


def test_frequencies_count_rows_if_no_row_of_the_table_is_left_out(clear, rng):
    table, _ = clear
    counts = ArrayTable(table.rows, rng.integers(1, 5, 2000).astype(float))
    assert relocation_module._count_rows(counts, "frequency") == counts.sample_weight.sum()
    assert relocation_module._count_rows(counts.part(500, rng), "frequency") <= 500
    no_counts = ArrayTable(table.rows, np.full(2000, 1 / 2000))
    np.testing.assert_allclose(relocation_module._count_rows(no_counts, "frequency"), 2000)
