"""A mixture that is likelier only for a component on a handful of rows is not the better one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.judging import judge, rank_judged, starved_of_rows
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.examples import wine

D = 3
FLOOR = np.full(D, 1e-6)


def shaped(covariances: list[np.ndarray], covariance_type: str) -> np.ndarray:
    if covariance_type == "full":
        return np.stack(covariances)
    variances = np.stack([np.diag(one) for one in covariances])
    return variances if covariance_type == "diag" else variances.mean(axis=1)


@pytest.fixture
def table(rng) -> ArrayTable:
    return ArrayTable(rng.normal(size=(D, 400)))


def result_at(table: ArrayTable, weights, means, covariances, covariance_type: str) -> EMResult:
    parameters = MixtureParameters(weights, means, shaped(covariances, covariance_type), covariance_type)
    return EMResult(parameters, table.expect([parameters])[0].lower_bound, True, ())


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_component_on_two_rows_is_judged_by_the_variances_of_the_others(table, covariance_type):
    rows = table.rows - table.moments.mean[:, None]
    narrow = 1e-6 * np.eye(D)
    found = result_at(table, [0.995, 0.005], [np.zeros(D), rows[:, 0]], [np.eye(D), narrow], covariance_type)
    density = 0.995 * multivariate_normal.pdf(rows.T, np.zeros(D), np.eye(D))
    density += 0.005 * multivariate_normal.pdf(rows.T, rows[:, 0], np.eye(D))
    assert judge(found, table, FLOOR) == pytest.approx(np.log(density).mean(), rel=1e-9)
    assert judge(found, table, FLOOR) < found.lower_bound


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_rows_that_are_far_from_all_others_may_have_a_component(rng, covariance_type):
    rows = rng.normal(size=(D, 400))
    rows[:, :2] = 1e5
    table = ArrayTable(rows)
    mean = table.moments.mean
    share = 2 / 400
    apart = result_at(
        table,
        [1 - share, share],
        [rows[:, 2:].mean(axis=1) - mean, 1e5 - mean],
        [np.cov(rows[:, 2:]), 1e-6 * np.eye(D)],
        covariance_type,
    )
    within = result_at(table, [0.5, 0.5], [np.zeros(D), np.ones(D)], [np.cov(rows)] * 2, covariance_type)
    assert rank_judged([within, apart], table, FLOOR) == [apart, within]


def test_a_sample_stands_for_the_rows_of_its_table(rng):
    parameters = MixtureParameters([0.99, 0.01], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    assert starved_of_rows(parameters, 100).tolist() == [False, True]
    assert starved_of_rows(parameters, 1e6).tolist() == [False, False]
    shared = MixtureParameters([0.99, 0.01], [[0.0], [9.0]], [[1.0]], "tied")
    assert not starved_of_rows(shared, 100).any(), "what all share has all rows"


def test_of_two_that_are_alike_but_for_chance_the_one_above_the_floor_is_preferred(table):
    free = result_at(table, [0.5, 0.5], np.zeros((2, D)), [np.eye(D)] * 2, "diag")
    bound = MixtureParameters([0.5, 0.5], np.zeros((2, D)), [[1.0] * D, [1.0, 1.0, FLOOR[2]]], "diag")
    by_chance = 1 / table.rows.shape[1]
    slightly = EMResult(bound, free.lower_bound + by_chance, True, ())
    clearly = EMResult(bound, free.lower_bound + 10 * by_chance, True, ())
    assert rank_judged([slightly, free], table, FLOOR)[0] is free
    assert rank_judged([free, clearly], table, FLOOR)[0] is clearly
    assert rank_judged([free, slightly], table, None)[0] is slightly


def test_if_all_have_a_component_on_few_rows_the_likeliest_is_preferred(table):
    rows = table.rows - table.moments.mean[:, None]
    narrow = [
        result_at(table, [0.995, 0.005], [np.zeros(D), rows[:, 0]], [np.eye(D), s * np.eye(D)], "diag")
        for s in (1, 1e-6)
    ]
    assert rank_judged(narrow, table, FLOOR)[0] is narrow[1]
    sound = result_at(table, [0.5, 0.5], np.zeros((2, D)), [np.eye(D)] * 2, "diag")
    assert rank_judged([*narrow, sound], table, FLOOR)[0] is not narrow[1]


@pytest.mark.parametrize("seed", range(4))
def test_on_wine_no_component_ends_on_fewer_rows_than_a_covariance_needs(seed):
    rows = wine()
    found = search(ArrayTable(rows), (rows, None), Settings(k=3, seed=seed))
    assert not starved_of_rows(found.parameters, rows.shape[1]).any()
