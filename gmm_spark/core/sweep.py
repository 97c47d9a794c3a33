"""Several mixtures of one table, of any k and structure, fitted in the same passes.

Each member's starts are run on the bounded sample, as in :mod:`gmm_spark.core.search`. Then one start a member, the
best on the sample, goes on over the table together with those of all other members; who has converged leaves. A
single fit tries its three best on the table before it settles. Here that would be most of the work, while on a
sample of so many rows the order of starts seldom differs from that on the table: so with several starts a member
may, rarely, end in another local optimum than alone. Members that start by k-means|| share the passes that complete
their sample, made for the largest k among them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from gmm_spark.core.ascent import EMResult, PassRecord
from gmm_spark.core.covariance import Array, Block
from gmm_spark.core.em import best, fit
from gmm_spark.core.initialization import OVERSAMPLED
from gmm_spark.core.oversampling import completed
from gmm_spark.core.parameters import MixtureParameters
from gmm_spark.core.search import Settings, draw_starts, finalists, trial_of
from gmm_spark.core.table import ArrayTable, Table
from gmm_spark.errors import DataError, DegenerateComponentError

Failure = DataError | DegenerateComponentError


def sweep(
    table: Table,
    draw: Callable[[int, int], tuple[Block, Array | None]],
    settings: Sequence[Settings],
    callback: Callable[[PassRecord], None] | None = None,
) -> list[EMResult | Failure]:
    """Fit a mixture for each of several settings.

    Parameters
    ----------
    table : Table
    draw : callable
        From a number of rows and a seed to a sample of the table, in its own coordinates: rows (d, m) and weights
        (m,) or None. Called once for each pair among the settings. On the first sample accelerated members look
        ahead, the others are let go.
    settings : sequence of Settings
        Each with its own k, structure, starts and stopping rule.
    callback : callable, optional
        Called after each pass over the table with the record of the member that leads.

    Returns
    -------
    list of EMResult or error
        In the order of the settings; in place of a member that could not be drawn or degenerated, its reason.
    """
    starts: list[MixtureParameters] = []
    owners: list[int] = []
    failures: dict[int, Failure] = {}
    trial: ArrayTable | None = None
    for wanted in dict.fromkeys((member.rows_to_draw, member.seed) for member in settings):
        members = {i: one for i, one in enumerate(settings) if (one.rows_to_draw, one.seed) == wanted}
        sample = fuller = draw(*wanted)
        oversampled = [member.k for member in members.values() if member.init_mode == OVERSAMPLED]
        if oversampled:
            fuller = completed(table, sample, max(oversampled), wanted[1])
        trial = trial or trial_of(table, fuller)
        for alike in _drawn_alike(members).values():
            first = members[alike[0]]
            mine = fuller if first.init_mode == OVERSAMPLED else sample
            try:
                drawn = draw_starts(table, mine, first, [members[i].covariance_type for i in alike])
            except (DataError, DegenerateComponentError) as error:
                failures.update(dict.fromkeys(alike, error))
                continue
            for i, own in zip(alike, drawn, strict=True):
                found = finalists(table, mine, members[i], own, at_most=1)
                starts += found
                owners += [i] * len(found)
    results: dict[int, list[EMResult]] = {}
    for i, outcome in zip(owners, _run(table, trial, starts, [settings[i] for i in owners], callback), strict=True):
        if isinstance(outcome, EMResult):
            results.setdefault(i, []).append(outcome)
        else:
            failures[i] = outcome
    return [best(results[i]) if i in results else failures[i] for i in range(len(settings))]


def _drawn_alike(members: Mapping[int, Settings]) -> dict[Hashable, list[int]]:
    """Members whose starts differ in their covariances alone."""
    groups: dict[Hashable, list[int]] = {}
    for i, member in members.items():
        groups.setdefault((member.k, member.n_init, member.init_mode), []).append(i)
    return groups


def _run(
    table: Table,
    trial: ArrayTable | None,
    starts: Sequence[MixtureParameters],
    rules: Sequence[Settings],
    callback: Callable[[PassRecord], None] | None,
) -> list[EMResult | DegenerateComponentError]:
    """Run every start by its own rules, in shared passes; one that degenerates gives its error."""
    if not starts:
        return []
    dropped: dict[int, DegenerateComponentError] = {}
    try:
        results = fit(
            table,
            starts,
            max_iter=[rule.max_iter for rule in rules],
            tol=[rule.tol for rule in rules],
            reg_covar=[rule.reg_covar for rule in rules],
            accelerate=[rule.accelerate for rule in rules],
            trial=trial,
            seed=[rule.seed for rule in rules],
            callback=callback,
            dropped=dropped,
        )
    except DegenerateComponentError:  # raised when none is left
        results = []
    survivors = iter(results)
    return [dropped[i] if i in dropped else next(survivors) for i in range(len(starts))]
