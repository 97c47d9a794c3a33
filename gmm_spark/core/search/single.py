"""Fit one mixture: many starts, few passes over the table.

Draw starts from a bounded sample; rank them on a part of it; race the best on the sample, where an iteration costs next
to nothing; relocate components of the winner; race the finalists over the table, until the best of them has converged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.kernels.weight_kinds import IMPORTANCE
from gmm_spark.core.mixture.floor import find_floor, robust_variance
from gmm_spark.core.mixture.noise import INITIAL_WEIGHT
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.crew import Crew
from gmm_spark.core.search.drawing import draw_starts, make_sample_table
from gmm_spark.core.search.judging import rank_judged
from gmm_spark.core.search.kmeans_parallel import complete_sample
from gmm_spark.core.search.racing import Stage, Standings, cut_after, race
from gmm_spark.core.search.recording import list_starts
from gmm_spark.core.search.relocation import relocate
from gmm_spark.core.search.starts import OVERSAMPLED, make_noise
from gmm_spark.core.settings import Rule, Settings
from gmm_spark.core.steps import step
from gmm_spark.core.table import ArrayTable, Sample, Table
from gmm_spark.errors import DegenerateComponentError

# Iterations by which starts are ranked on a part of the sample: with 25, one in 30 samples missed the best optimum.
_RANKING_ITERATIONS = 40
# Iterations of these before the worse of the starts are given up: those of random responsibilities are slow.
_RANKING_CUT_AFTER = 25
# Rows of that part, or more if there are many parameters: for each of them the likelihoods of starts differ by about
# half a nat by chance, in all rows together.
_RANKING_ROWS, _RANKING_ROWS_PER_PARAMETER = 20_000, 20
# Iterations on the whole sample, which bring the starts near their fixed points.
_SAMPLE_ITERATIONS = 100
# Iterations on the sample before only the best start is kept, if there is to be one finalist. Ranked starts begin again
# where they were drawn and need twice as many.
_SAMPLE_CUT_AFTER = 10
# Times the tolerance that starts may be from their fixed points when they are compared.
_UNCONVERGED = 20.0
# A single start is not compared with others, so it is run on the sample until an iteration changes less than this share
# of the tolerance: accelerated EM changes little also near saddles that it leaves later.
_TOLERANCE_SHARE = 0.01
# Starts that are run on the table, and the passes they share before only the best is kept.
FINALISTS = 3
_SHARED_PASSES = 2


def search(
    table: Table,
    sample: Sample,
    settings: Settings,
    callback: Callable[[PassRecord], None] | None = None,
    profile: ColumnProfile | None = None,
    crew: Crew | None = None,
) -> EMResult:
    """Fit a mixture.

    Parameters
    ----------
    table : Table
    sample : rows (d, m) and weights (m,) or None
        Drawn from the table, in its own coordinates.
    settings : Settings
        If ``sample_rows`` is 0, no start is run on the sample: all are run on the table together, to their ends.
    callback : callable, optional
        Called after each pass over the table.
    profile : ColumnProfile, optional
        Of the table's columns; by default of the sample's.
    crew : Crew, optional
        Draws starts and runs them on the sample; by default this process does.

    Raises
    ------
    DegenerateComponentError
        If every start degenerated.
    DataError
        If the sample has fewer distinct rows than k.
    """
    profile = complete_profile(table, sample, settings.noise, profile)
    with step("starts"):
        if settings.init_mode == OVERSAMPLED:
            units = robust_variance(profile, table.moments.variance)
            sample = complete_sample(table, sample, units, settings.k, settings.seed)
        (starts,) = draw_starts(table, sample, profile, settings, [settings.covariance_type], crew)
    on_sample, on_table = Standings(), Standings()
    with step("search") as told:
        finalists = choose_finalists(table, sample, profile, settings, starts, standings=on_sample, crew=crew)
        told.update(starts=len(starts), finalists=len(finalists))
    whole = make_sample_table(table, sample)
    stages = [Stage(table, settings.max_iter, keep=1, sample=whole, lookahead=whole)]
    if settings.sample_rows:  # else starts have made no iteration yet, and are compared at their ends
        stages = cut_after(_SHARED_PASSES, *stages)
    with step("passes") as told:
        result = race(finalists, stages, make_rule(table, profile, settings), callback, on_table)[0]
        told.update(passes=len(result.history), bound=result.lower_bound, converged=result.converged)
    chance = _bound_chance(result.parameters, sample, settings)
    return replace(result, start_records=list_starts(settings, on_sample, on_table, result, chance))


def polish(
    table: Table,
    sample: Sample,
    start: MixtureParameters,
    settings: Settings,
    callback: Callable[[PassRecord], None] | None = None,
    profile: ColumnProfile | None = None,
) -> EMResult:
    """Run one given start to the table's fixed point; arguments and errors as of :func:`search`.

    If there is to be noise, its box is this table's, whatever the start's is.
    """
    whole = make_sample_table(table, sample)
    profile = complete_profile(table, sample, settings.noise, profile)
    rule = make_rule(table, profile, settings)
    if settings.noise:
        weight = INITIAL_WEIGHT if start.noise is None else start.noise.weight
        start = start.with_noise(make_noise(profile, table.moments.mean, weight))
    with step("passes") as told:
        result = best(fit(table, [Run(start, rule)], sample=whole, lookahead=whole, callback=callback))
        told.update(passes=len(result.history), bound=result.lower_bound, converged=result.converged)
    return result


def complete_profile(table: Table, sample: Sample, noise: bool, profile: ColumnProfile | None = None) -> ColumnProfile:
    """Make the profile of a sample unless there is one, and add the table's extent if noise needs it: one pass."""
    profile = profile or ColumnProfile.of(*sample)
    return replace(profile, extent=table.extent()) if noise and profile.extent is None else profile


def choose_floor(table: Table, profile: ColumnProfile, settings: Settings) -> Array:
    """Choose the floor under variances, (d,), that some settings and the table's columns ask for; 0 for none."""
    moments = table.moments
    counted = moments.weights.effective_rows if settings.weight_kind == IMPORTANCE else moments.weight_sum
    return find_floor(profile, moments.variance, counted, settings.reg_covar, settings.variance_floor)


def make_rule(table: Table, profile: ColumnProfile, settings: Settings) -> Rule:
    """Make the rule of the runs of EM that some settings ask for."""
    return settings.rule(choose_floor(table, profile, settings))


def choose_finalists(
    table: Table,
    sample: Sample,
    profile: ColumnProfile,
    settings: Settings,
    starts: Sequence[MixtureParameters],
    most: int = FINALISTS,
    standings: Standings | None = None,
    crew: Crew | None = None,
) -> list[MixtureParameters]:
    """Run starts on the sample, and return the parameters of the most likely, best first.

    There are no more of them than starts. Components of the best are relocated, in one round for each two starts and
    at least in one; the result is ranked with the others. If ``sample_rows`` is 0, all starts are returned as they are,
    and up to three of them if every start degenerated on the sample. ``standings`` is that of :func:`.racing.race`; a
    relocated start goes back to none of the starts, to -1.
    """
    standings = Standings() if standings is None else standings
    if settings.sample_rows == 0:
        standings.origins = list(range(len(starts)))
        return list(starts)
    whole = make_sample_table(table, sample)
    ranking_rows = _rows_to_rank(starts[0])
    part = whole.part(ranking_rows, random_stream(settings.seed, Purpose.RANKING))
    rule = make_rule(table, profile, settings)
    if len(starts) == 1:
        rule = replace(rule, tol=_TOLERANCE_SHARE * rule.tol)
    ranked = len(starts) > FINALISTS and sample[0].shape[1] > ranking_rows
    try:
        results = race(starts, _plan_stages(part, whole, ranked, most), rule, standings=standings, crew=crew)
    except DegenerateComponentError:
        # The sample may be too small for a component that the table can carry: leave it to the table.
        standings.origins = list(range(min(len(starts), FINALISTS)))
        return list(starts[:FINALISTS])
    rounds = max(len(starts) // 2, 1)
    moved = _relocate_best(part, whole, results[0], rule, rounds, settings.weight_kind, crew)
    candidates, origins = [*results, *moved], [*standings.origins, *[-1] * len(moved)]
    results = rank_judged(candidates, whole, rule.floor)[: min(most, len(starts))]
    standings.origins = [origins[candidates.index(result)] for result in results]
    return [result.parameters for result in results]


def _rows_to_rank(start: MixtureParameters) -> int:
    """Rows of the part of the sample that starts are ranked on, if the sample has more."""
    return max(_RANKING_ROWS, _RANKING_ROWS_PER_PARAMETER * start.n_parameters)


def _bound_chance(parameters: MixtureParameters, sample: Sample, settings: Settings) -> float:
    """Bound how much the lower bounds of starts in one optimum differ, by chance or for want of iterations, in nats."""
    rows = int(min(sample[0].shape[1], _rows_to_rank(parameters)))
    return max(0.5 * parameters.n_parameters / rows, _UNCONVERGED * settings.tol)


def _plan_stages(part: ArrayTable, whole: ArrayTable, ranked: bool, most: int) -> list[Stage]:
    """Plan the race on the sample that leaves so many starts."""
    # Ranked starts begin again where they were drawn: without rows in the part, a rare component would be lost.
    ranking = []
    if ranked:
        first = Stage(part, _RANKING_CUT_AFTER, keep=2 * FINALISTS, sample=part)
        rest = Stage(part, _RANKING_ITERATIONS - _RANKING_CUT_AFTER, keep=FINALISTS, sample=part, restart=True)
        ranking = [first, rest]
    on_sample = Stage(whole, _SAMPLE_ITERATIONS, keep=most, sample=whole)
    if most > 1:
        return [*ranking, on_sample]
    return [*ranking, *cut_after(_SAMPLE_CUT_AFTER * (2 if ranked else 1), on_sample)]


def _relocate_best(
    part: ArrayTable,
    whole: ArrayTable,
    leader: EMResult,
    rule: Rule,
    rounds: int,
    weight_kind: str,
    crew: Crew | None,
) -> list[EMResult]:
    """Relocate components on a part of the sample, and run the result on all of it; an empty list if nothing gains."""
    rng = random_stream(rule.seed, Purpose.RELOCATION)
    try:
        quick = replace(rule, max_iter=_RANKING_ITERATIONS)
        moved = relocate(part, leader.parameters, quick, rounds, rng, weight_kind, crew)
        return [] if moved is None else race([moved], [Stage(whole, _SAMPLE_ITERATIONS, keep=1, sample=whole)], rule)
    except DegenerateComponentError:
        return []
