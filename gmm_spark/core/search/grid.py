"""Fit many mixtures of one table, of any k and structure, in the same passes.

Each member's starts are run on the sample, as in :mod:`.single`; the table may spread that over many cores. Then one
start of each member, the best on the sample, goes on over the table together with those of all other members; a member
that has converged leaves.

A fit of :mod:`.single` compares its three best starts on the table. For a grid that would be most of the work, and on a
sample of so many rows starts seldom rank otherwise than on the table: rarely, a member ends in another local optimum
than it would alone. If the sample is the whole table, a pass costs little, and members get as many starts as a fit
alone. Members that start by k-means|| share the passes that complete their sample, made for the largest k
among them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import fit
from gmm_spark.core.em.run import Outcome, Run
from gmm_spark.core.mixture.floor import robust_variance
from gmm_spark.core.mixture.parameters import MixtureParameters, count_parameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.drawing import make_sample_table
from gmm_spark.core.search.judging import rank_judged
from gmm_spark.core.search.kmeans_parallel import complete_sample
from gmm_spark.core.search.single import FINALISTS, complete_profile, make_rule
from gmm_spark.core.search.start_task import Failure, StartTask, read_starts
from gmm_spark.core.search.starts import OVERSAMPLED
from gmm_spark.core.settings import Rule, Settings
from gmm_spark.core.steps import step
from gmm_spark.core.table import ArrayTable, Sample, Table
from gmm_spark.errors import DegenerateComponentError

# Rows of the sample that members look ahead on, or more if they have many parameters. With 8 rows for each parameter,
# looking ahead gained little over plain steps on overlapping components.
_LOOKAHEAD_ROWS, _LOOKAHEAD_ROWS_PER_PARAMETER = 20_000, 50


def sweep(
    table: Table,
    draw: Callable[[int, int], Sample],
    settings: Sequence[Settings],
    callback: Callable[[PassRecord], None] | None = None,
    profile: ColumnProfile | None = None,
) -> list[EMResult | Failure]:
    """Fit a mixture for each of several settings.

    Parameters
    ----------
    table : Table
    draw : callable
        From a number of rows and a seed to a sample of the table, in its own coordinates: rows (d, m) and weights
        (m,) or None. Called once for each such pair among the settings. All members reseed components in the first
        sample, and look ahead on a part of it.
    settings : sequence of Settings
        Each with its own k, structure, starts and stopping rule.
    callback : callable, optional
        Called after each pass over the table with the record of the member that leads.
    profile : ColumnProfile, optional
        Of the table's columns; by default of the first sample's.

    Returns
    -------
    list of EMResult or error
        In the order of the settings. The error says why a member's starts could not be drawn, or that it degenerated.
    """
    starts: dict[int, list[MixtureParameters]] = {}
    failures: dict[int, Failure] = {}
    rules: dict[int, Rule] = {}
    whole: ArrayTable | None = None
    for n_rows, seed in dict.fromkeys((member.rows_to_draw, member.seed) for member in settings):
        members = {i: one for i, one in enumerate(settings) if (one.rows_to_draw, one.seed) == (n_rows, seed)}
        plain = {i: member for i, member in members.items() if member.init_mode != OVERSAMPLED}
        oversampled = {i: member for i, member in members.items() if member.init_mode == OVERSAMPLED}
        sample = completed = draw(n_rows, seed)
        profile = complete_profile(table, sample, any(member.noise for member in settings), profile)
        rules |= {i: make_rule(table, profile, member) for i, member in members.items()}
        most = FINALISTS if sample[0].shape[1] >= table.moments.rows else 1
        if oversampled:
            units = robust_variance(profile, table.moments.variance)
            with step("starts"):
                most_k = max(member.k for member in oversampled.values())
                completed = complete_sample(table, sample, units, most_k, seed)
        for of_members, rows in ((plain, sample), (oversampled, completed)):
            with step("search") as told:
                found, failed = _choose_starts(table, rows, profile, of_members, most)
                told.update(mixtures=len(of_members), finalists=sum(map(len, found.values())), failed=len(failed))
            starts |= found
            failures |= failed
        if whole is None:
            whole = make_sample_table(table, completed)
            # All of a completed sample: it has few of the rare rows.
            lookahead = whole if oversampled else _draw_lookahead_rows(whole, settings)
    if whole is None or not starts:
        return [failures[i] for i in range(len(settings))]
    owners = [i for i, own in starts.items() for _ in own]
    runs = [Run(start, rules[i]) for i, own in starts.items() for start in own]
    with step("passes") as told:
        told["starts"] = len(runs)
        fitted = fit(table, runs, sample=whole, lookahead=lookahead, callback=callback)
    outcomes: dict[int, list[Outcome]] = {i: [] for i in starts}
    for i, outcome in zip(owners, fitted, strict=True):
        outcomes[i].append(outcome)
    return [_pick_best(outcomes[i], whole, rules[i]) if i in outcomes else failures[i] for i in range(len(settings))]


def _choose_starts(
    table: Table, sample: Sample, profile: ColumnProfile, members: Mapping[int, Settings], most: int
) -> tuple[dict[int, list[MixtureParameters]], dict[int, Failure]]:
    """Find so many of the best starts of each member on the sample, or why it has none."""
    groups = _group_by_draw(members)
    tasks = [StartTask(table.moments, profile, tuple(members[i] for i in group), most) for group in groups]
    starts: dict[int, list[MixtureParameters]] = {}
    failures: dict[int, Failure] = {}
    for group, answer in zip(groups, table.run_on_sample(sample, tasks) if tasks else [], strict=True):
        found = read_starts(answer, len(group))
        if isinstance(found, list):
            starts |= zip(group, found, strict=True)
        else:
            failures |= dict.fromkeys(group, found)
    return starts, failures


def _group_by_draw(members: Mapping[int, Settings]) -> list[list[int]]:
    """Group members whose starts differ in their covariances alone; the largest come first, so that cores end alike."""
    groups: dict[Hashable, list[int]] = {}
    for i, member in members.items():
        groups.setdefault((member.k, member.n_init, member.init_mode, member.noise), []).append(i)
    return sorted(groups.values(), key=lambda group: -sum(members[i].k * members[i].n_init for i in group))


def _draw_lookahead_rows(whole: ArrayTable, settings: Sequence[Settings]) -> ArrayTable:
    """Draw a part of the sample, large enough for the largest member: every member looks ahead after every pass."""
    d = whole.rows.shape[0]
    n_parameters = max(count_parameters(member.covariance_type, member.k, d, member.noise) for member in settings)
    rows = max(_LOOKAHEAD_ROWS, _LOOKAHEAD_ROWS_PER_PARAMETER * n_parameters)
    return whole.part(rows, random_stream(settings[0].seed, Purpose.LOOKING_AHEAD))


def _pick_best(outcomes: Sequence[Outcome], sample: ArrayTable, rule: Rule) -> EMResult | Failure:
    try:
        return rank_judged(outcomes, sample, rule.floor)[0]
    except DegenerateComponentError as error:
        return error
