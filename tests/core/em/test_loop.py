from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import best, fit, rank
from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.em.run import Run
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.starts import draw_start
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError, DegenerateComponentError, ParameterError
from tests.examples import (
    TABLES,
    blobs,
    draw_rows,
    permuted_features,
    random_mixture,
    repeated_value,
    result_of,
    run_em,
)
from tests.oracles import assert_same_mixture, sklearn_em_step

REGULARISATION = 1e-6


def start_of(table: ArrayTable, k: int, covariance_type: str, seed: int = 0, mode: str = "k-means++"):
    centred = table.rows - table.moments.mean[:, None]
    rng = np.random.default_rng(seed)
    return draw_start(
        centred, table.sample_weight, np.zeros(len(centred)), table.moments.variance, k, [covariance_type], mode, rng
    )[0]


def run(table: ArrayTable, start: MixtureParameters, max_iter: int = 10, tol: float = 0.0, **rule) -> EMResult:
    return run_em(table, start, max_iter, tol, **rule)


def deviations(parameters: MixtureParameters) -> np.ndarray:
    return np.sqrt(np.diagonal(parameters.dense_covariances, axis1=1, axis2=2))


def assert_same_bits(found: EMResult, expected: EMResult) -> None:
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(found.parameters, name), getattr(expected.parameters, name))
    assert [r.lower_bound for r in found.history] == [r.lower_bound for r in expected.history]


@pytest.fixture
def table():
    return ArrayTable(blobs())


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("mode", ["k-means++", "random_from_data"])
def test_no_iteration_lowers_the_likelihood(covariance_type, name, mode):
    table = ArrayTable(TABLES[name]())
    k = 2 if table.rows.shape[1] == 15 else 3  # with fifteen rows a third component would be a single row
    for seed in range(3):
        bounds = [r.lower_bound for r in run(table, start_of(table, k, covariance_type, seed, mode), 40).history]
        assert len(bounds) == 40
        assert all(after - before >= -1e-10 * abs(before) for before, after in itertools.pairwise(bounds))
        assert bounds[-1] >= bounds[0] - 1e-10 * abs(bounds[0])


def test_ten_iterations_are_ten_of_scikit_learns(covariance_type, table):
    start = start_of(table, 3, covariance_type)
    expected, rows = start.shifted(table.moments.mean), table.rows
    bounds = []
    for _ in range(10):
        expected, lower_bound, _ = sklearn_em_step(expected, rows)
        bounds.append(lower_bound)
    found = run(table, start)
    np.testing.assert_allclose([r.lower_bound for r in found.history], bounds, rtol=1e-10)
    moved = found.parameters.shifted(table.moments.mean)
    # Each iteration magnifies the rounding of the one before it a little.
    assert_same_mixture(moved, expected.weights, expected.means, expected.covariances, deviations(expected), rtol=1e-9)


def test_one_component_is_the_tables_mean_and_covariance_after_one_pass(covariance_type, table):
    found = run(table, start_of(table, 1, covariance_type), 1).parameters
    covariance = np.cov(table.rows, ddof=0)
    variances = np.diag(covariance)
    mean = variances.mean(keepdims=True)
    expected = {"full": covariance[None], "tied": covariance, "diag": variances[None], "spherical": mean}
    np.testing.assert_array_equal(found.weights, [1.0])
    np.testing.assert_allclose(found.means, 0.0, atol=1e-13)
    np.testing.assert_allclose(found.covariances, expected[covariance_type], rtol=1e-12, atol=1e-13)


def test_the_same_start_twice_gives_the_same_bits(covariance_type, table):
    start = start_of(table, 3, covariance_type)
    assert_same_bits(run(table, start, 20), run(table, start, 20))


def test_starts_that_share_passes_end_where_each_does_alone(covariance_type, table):
    starts = [start_of(table, k, covariance_type, seed) for seed, k in enumerate((1, 2, 3, 4))]
    together = fit(table, [Run(start, Rule(15, 0.0)) for start in starts])
    for outcome, start in zip(together, starts, strict=True):
        found, alone = result_of(outcome).parameters, run(table, start, 15).parameters
        assert_same_mixture(found, alone.weights, alone.means, alone.covariances, deviations(alone), 1e-9)


def test_permuting_features_permutes_the_fit(covariance_type, table):
    order = np.array([1, 2, 0])
    start = start_of(table, 3, covariance_type)
    expected = permuted_features(run(table, start).parameters, order)
    permuted = ArrayTable(np.ascontiguousarray(table.rows[order]))
    found = run(permuted, permuted_features(start, order)).parameters
    assert_same_mixture(found, expected.weights, expected.means, expected.covariances, deviations(expected), 1e-9)


@pytest.mark.parametrize("scale", [2.0**-27, 2.0**27])
def test_a_change_of_units_changes_nothing_but_the_units(covariance_type, table, scale):
    # Powers of two are exact, so with the relative regularisation not one rounding differs.
    start = start_of(table, 3, covariance_type)
    scaled_start = MixtureParameters(start.weights, scale * start.means, scale**2 * start.covariances, covariance_type)
    found = run(ArrayTable(scale * table.rows), scaled_start, reg_covar=REGULARISATION).parameters
    expected = run(table, start, reg_covar=REGULARISATION).parameters
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-10)
    np.testing.assert_allclose(found.means / scale, expected.means, rtol=1e-9)
    np.testing.assert_allclose(found.covariances / scale**2, expected.covariances, rtol=1e-9, atol=1e-12)


def test_every_row_twice_gives_the_fit_of_every_row_once(covariance_type, table):
    start = start_of(table, 3, covariance_type)
    twice = ArrayTable(np.repeat(table.rows, 2, axis=1), moments=table.moments)
    weighted = ArrayTable(table.rows, np.full(table.rows.shape[1], 2.0), moments=table.moments)
    expected = run(table, start).parameters
    for found in (run(twice, start), run(weighted, start)):
        assert_same_mixture(
            found.parameters, expected.weights, expected.means, expected.covariances, deviations(expected), 1e-9
        )


@pytest.mark.parametrize("accelerate", [False, True])
def test_the_likelihood_never_falls_and_covariances_stay_above_the_floor(table, covariance_type, accelerate):
    start = start_of(table, 4, covariance_type)  # far below the floor in places
    narrow = MixtureParameters(start.weights, start.means, start.covariances * 1e-4, covariance_type)
    result = run(table, narrow, 60, reg_covar=0.3, accelerate=accelerate)
    accepted = [record.lower_bound for record in result.history if record.step != "lost"]
    assert np.diff(accepted).min() >= -1e-13 * abs(accepted[-1])
    floor = 0.3 * np.diag(table.rows.var(axis=1))
    least = np.linalg.eigvalsh(result.parameters.dense_covariances - floor).min()
    assert -1e-12 < least < 1e-12  # it binds


def test_a_floor_that_does_not_bind_changes_no_bit_of_a_run(table, covariance_type):
    start = start_of(table, 3, covariance_type)
    free, bounded = (run(table, start, 20, reg_covar=share).parameters for share in (0.0, 1e-6))
    np.testing.assert_array_equal(free.covariances, bounded.covariances)


def test_it_converges_when_the_mean_likelihood_changes_by_less_than_tol(table):
    result = run(table, start_of(table, 3, "full"), 500, tol=1e-6)
    changes = [abs(r.change) for r in result.history]
    assert result.converged
    assert changes[-1] < 1e-6
    assert all(change >= 1e-6 for change in changes[1:-1])
    assert len(changes) < 500


def test_tol_means_the_same_for_a_table_of_any_length(table):
    start = start_of(table, 3, "full")
    long = ArrayTable(np.tile(table.rows, 7), moments=table.moments)
    passes = [len(run(t, start, 500, tol=1e-5).history) for t in (table, long)]
    assert passes[0] == passes[1]


def test_the_iteration_limit_is_not_called_convergence(table):
    result = run(table, start_of(table, 3, "full"), 3, tol=1e-12)
    assert not result.converged
    assert [r.iteration for r in result.history] == [1, 2, 3]


def test_history_records_each_pass_and_its_change(table):
    history = run(table, start_of(table, 3, "diag"), 5).history
    assert np.isnan(history[0].change)
    bounds = [r.lower_bound for r in history]
    assert [r.change for r in history[1:]] == list(np.diff(bounds))
    assert run(table, start_of(table, 3, "diag"), 5).lower_bound == bounds[-1]


def test_the_returned_parameters_are_at_least_as_likely_as_the_last_pass(covariance_type, table):
    result = run(table, start_of(table, 3, covariance_type), 5)
    evaluation = table.evaluate(result.parameters)
    assert evaluation.log_likelihood / evaluation.weight_sum >= result.lower_bound


def test_the_callback_hears_of_every_pass_the_start_that_leads(table):
    heard: list[PassRecord] = []
    starts = [start_of(table, k, "diag") for k in (1, 3)]
    outcomes = fit(table, [Run(start, Rule(4, 0.0)) for start in starts], callback=heard.append)
    leading = np.max([[r.lower_bound for r in result_of(one).history] for one in outcomes], axis=0)
    assert [r.lower_bound for r in heard] == leading.tolist()


def test_the_best_result_is_the_most_likely_and_the_earliest_of_equals(table):
    low, high = (run(table, start_of(table, k, "diag"), 4) for k in (1, 3))
    assert low.lower_bound < high.lower_bound
    error = DegenerateComponentError("component 0 collapsed")
    assert rank([low, error, high, replace(high)])[::2] == [high, low]
    assert best([low, high, replace(high)]) is high


def test_if_every_run_failed_the_error_of_the_last_is_raised():
    with pytest.raises(DegenerateComponentError, match="the last"):
        best([DegenerateComponentError("the first"), DegenerateComponentError("the last")])


@pytest.mark.parametrize("starts", [0, 1])
def test_a_fit_needs_a_start_and_an_iteration(table, starts):
    given = [Run(start_of(table, 2, "diag"), Rule(0, 0.0))] * starts
    with pytest.raises(ParameterError, match=rf"{starts} start\(s\) and maxIter=0"):
        fit(table, given)


def test_a_table_without_weight_is_refused(table):
    weightless = ArrayTable(table.rows, np.zeros(table.rows.shape[1]), moments=table.moments)
    with pytest.raises(DataError, match="weights sum to 0"):
        run(weightless, start_of(table, 2, "diag"))


def test_a_starved_component_keeps_its_mean_and_covariance_and_loses_its_weight(covariance_type, table):
    drawn = start_of(table, 2, covariance_type)
    near = MixtureParameters([0.5, 0.5], drawn.means, drawn.covariances, covariance_type)
    far = np.full((1, 3), 1e5)
    covariances = near.covariances
    if covariance_type != "tied":
        covariances = np.concatenate([covariances, covariances[:1]])
    start = MixtureParameters([0.4, 0.4, 0.2], np.concatenate([near.means, far]), covariances, covariance_type)
    found = run(table, start, 10).parameters
    assert found.weights[2] == 0.0
    np.testing.assert_array_equal(found.means[2], far[0])
    if covariance_type != "tied":
        np.testing.assert_array_equal(found.covariances[2], start.covariances[2])
    # The others continue as if it were not there.
    expected = run(table, near, 10).parameters
    np.testing.assert_allclose(found.weights[:2], expected.weights, rtol=1e-9)
    np.testing.assert_allclose(found.means[:2], expected.means, rtol=1e-9)


def test_a_component_without_weight_keeps_its_mean_with_either_kernel(covariance_type, gate, table):
    drawn = start_of(table, 3, covariance_type)
    start = MixtureParameters([0.5, 0.5, 0.0], drawn.means, drawn.covariances, covariance_type)
    found = run(table, start, 3).parameters
    assert found.weights[2] == 0.0
    np.testing.assert_array_equal(found.means[2], start.means[2])


def test_a_component_on_one_repeated_value_collapses_by_name(covariance_type):
    table = ArrayTable(repeated_value())
    value = np.array([[4.2]]) - table.moments.mean
    means = np.concatenate([[[-1.0]], value, [[1.0]]])
    variances = np.array([1.0, 1e-3, 1.0])
    if covariance_type == "tied":
        # A shared covariance cannot collapse onto one value while other components stay elsewhere.
        assert np.isfinite(run(table, MixtureParameters([1 / 3] * 3, means, [[1.0]], "tied"), 200).lower_bound)
        return
    shape = {"full": (3, 1, 1), "diag": (3, 1), "spherical": (3,)}[covariance_type]
    start = MixtureParameters([1 / 3] * 3, means, variances.reshape(shape), covariance_type)
    with pytest.raises(DegenerateComponentError, match=r"component 1 collapsed.*raise regCovar"):
        run(table, start, 2000)
    cured = run(table, start, 500, reg_covar=REGULARISATION)
    assert np.isfinite(cured.lower_bound)
    assert cured.parameters.covariances.min() >= REGULARISATION * table.moments.variance[0]


def test_a_start_that_collapses_leaves_the_others_to_finish():
    table = ArrayTable(repeated_value())
    value = float(4.2 - table.moments.mean[0])
    collapsing = MixtureParameters([0.5, 0.5], [[value], [0.0]], [1e-4, 1.0], "spherical")
    sound = MixtureParameters([0.5, 0.5], [[-0.5], [1.5]], [0.3, 0.3], "spherical")
    error, outcome = fit(table, [Run(start, Rule(500, 1e-9)) for start in (collapsing, sound)])
    assert isinstance(error, DegenerateComponentError)
    found, alone = result_of(outcome).parameters, run(table, sound, 500, tol=1e-9).parameters
    assert_same_mixture(found, alone.weights, alone.means, alone.covariances, deviations(found), rtol=1e-9)


def test_each_run_goes_by_its_own_rule_and_gives_a_result_or_its_error_in_order():
    table = ArrayTable(repeated_value())
    sound = random_mixture("diag", 2, 1, np.random.default_rng(1)).shifted(-table.moments.mean)
    point = sound.shifted(4.2 - table.moments.mean - sound.means[0])
    narrow = MixtureParameters(point.weights, point.means, np.array([[1e-12], [1.0]]), "diag")
    runs = [Run(sound, Rule(3, 0.0)), Run(narrow, Rule(50, 0.0)), Run(sound, Rule(5, 0.0))]
    first, error, last = fit(table, runs)
    assert [len(result_of(one).history) for one in (first, last)] == [3, 5]
    assert isinstance(error, DegenerateComponentError)


def test_every_run_needs_a_pass(table):
    start = start_of(table, 2, "diag")
    with pytest.raises(ParameterError, match="maxIter"):
        fit(table, [Run(start, Rule(3, 0.0)), Run(start, Rule(0, 0.0))])


def test_a_constant_column_is_reported_by_name(covariance_type):
    rows = blobs()
    rows[1] = 0.1
    table = ArrayTable(rows)
    start = start_of(table, 2, covariance_type)
    if covariance_type == "spherical":
        assert np.isfinite(run(table, start).lower_bound)  # the other features keep the one variance positive
        return
    owner = "the tied covariance" if covariance_type == "tied" else "component 0"
    with pytest.raises(DegenerateComponentError, match=rf"{owner} collapsed.*constant"):
        run(table, start, reg_covar=REGULARISATION)


def test_one_row_is_reported_as_a_collapse(covariance_type):
    table = ArrayTable(np.array([[3.0], [4.0]]))
    with pytest.raises(DegenerateComponentError, match="collapsed"):
        run(table, start_of(table, 1, covariance_type))


def test_the_m_step_of_a_starved_mixture_names_no_nan(covariance_type, rng):
    # All rows belong to the first component, to the last digit: the second must not change.
    parameters = random_mixture(covariance_type, 2, 2, rng).shifted(np.zeros(2))
    apart = MixtureParameters(parameters.weights, [[0.0, 0.0], [1e3, 1e3]], parameters.covariances, covariance_type)
    first = MixtureParameters(
        [1.0], [[0.0, 0.0]], apart.covariances if covariance_type == "tied" else apart.covariances[:1], covariance_type
    )
    rows, _ = draw_rows(first, 50, rng)
    (statistics,) = ArrayTable(rows).expect([apart])
    found = maximize(statistics, apart, np.zeros(2))
    np.testing.assert_array_equal(found.weights, [1.0, 0.0])
    np.testing.assert_array_equal(found.means[1], [1e3, 1e3])


def test_the_m_step_of_rows_without_weight_is_refused(covariance_type, rng):
    parameters = random_mixture(covariance_type, 2, 2, rng)
    (statistics,) = ArrayTable(np.ones((2, 5)), np.zeros(5)).expect([parameters])
    with pytest.raises(DataError, match="positive weight"):
        maximize(statistics, parameters, np.zeros(2))
