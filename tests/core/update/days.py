"""Days of a table in memory, for the tests of updates."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable
from gmm_spark.core.update.likeness import list_by_pattern
from gmm_spark.core.update.memory import Memory
from gmm_spark.core.update.updating import find_decay, update
from gmm_spark.core.update.verdict import Today, Verdict, judge, measure

ROWS = 1500


def run_em(rows, start: MixtureParameters, max_iter: int = 300) -> MixtureParameters:
    table = ArrayTable(rows)
    found = best(fit(table, [Run(start.shifted(-table.moments.mean), Rule(max_iter, 1e-9))]))
    return found.parameters.shifted(table.moments.mean)


def step_on(rows, before: MixtureParameters, weight: float, max_iter: int = 10, floor=None):
    table = ArrayTable(rows)
    mean = table.moments.mean
    floor = np.zeros(len(mean)) if floor is None else floor
    found = update(table, before.shifted(-mean), weight, table.moments.weight_sum, floor, max_iter, 1e-4)
    return found.result.parameters.shifted(mean), found


def blobs(kind: str = "full") -> MixtureParameters:
    means = np.array([[0.0, 0, 0], [6, 0, 1], [0, 6, -1]])
    dense = np.stack([np.eye(3), np.diag([2.0, 1, 0.5]), np.eye(3) * 0.5])
    covariances = {
        "full": dense,
        "tied": dense[1],
        "diag": np.diagonal(dense, axis1=1, axis2=2),
        "spherical": [1, 2, 1],
    }
    return MixtureParameters([0.5, 0.3, 0.2], means, covariances[kind], kind)


def follow(mixture: MixtureParameters, seen, days, remembered: float = 14.0) -> Verdict:
    """The verdict after some days, with a half-life of a week and a memory of so many days of the rows that fit."""
    table = ArrayTable(seen)
    found = table.evaluate_all([mixture.shifted(-table.moments.mean)], log_densities=True)[0]
    by_pattern = list_by_pattern(found, mixture.n_features)
    measured = measure(mixture, None if found.incomplete else found.log_likelihood / found.weight_sum, by_pattern)
    weight, floor = days[0].shape[1] * remembered, np.zeros(mixture.n_features)
    memory = Memory(weight, floor, mixture.weights, (), *measured)
    for rows in days:
        before, table = mixture, ArrayTable(rows)
        mean = table.moments.mean
        mixture, step = step_on(table.rows, before, find_decay(7.0, 1.0) * weight)
        weight = find_decay(7.0, 1.0) * weight + rows.shape[1]
        views = table.evaluate_all([before.shifted(-mean), mixture.shifted(-mean)], log_densities=True)
        shares = (step.last.resp_sum / step.last.weight_sum).tolist()
        one, other = (each.log_likelihood / each.weight_sum for each in views)
        old, new = (list_by_pattern(one, mixture.n_features) for one in views)
        judged = sum(float(each.weights.sum()) for each in new.values()) / rows.shape[1]
        verdict = judge(
            before, mixture, memory, Today(rows.shape[1], one, other, old, new, judged, views[1].incomplete, shares)
        )
    return verdict
