"""Fit one mixture: many starts, few passes over the table.

Draw starts from a bounded sample; rank them on a part of it; race the best on the sample, where an iteration costs next
to nothing; relocate components of the winner; race the finalists over the table, until the best of them has converged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import best, fit, rank
from gmm_spark.core.em.run import Run
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.kmeans_parallel import complete_sample
from gmm_spark.core.search.racing import Stage, cut_after, race
from gmm_spark.core.search.relocation import relocate
from gmm_spark.core.search.starts import OVERSAMPLED, draw_start
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable, Sample, Table
from gmm_spark.errors import DegenerateComponentError

# Iterations by which starts are ranked on a part of the sample: with 25, one in 30 samples missed the best optimum.
_RANKING_ITERATIONS = 40
# Rows of that part, or more if there are many parameters: for each of them the likelihoods of starts differ by about
# half a nat by chance, in all rows together.
_RANKING_ROWS, _RANKING_ROWS_PER_PARAMETER = 20_000, 20
# Iterations on the whole sample, which bring the starts near their fixed points.
_SAMPLE_ITERATIONS = 100
# Iterations on the sample before only the best start is kept, if there is to be one finalist. Ranked starts begin again
# where they were drawn and need twice as many.
_SAMPLE_CUT_AFTER = 10
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

    Raises
    ------
    DegenerateComponentError
        If every start degenerated.
    DataError
        If the sample has fewer distinct rows than k.
    """
    if settings.init_mode == OVERSAMPLED:
        sample = complete_sample(table, sample, settings.k, settings.seed)
    (starts,) = draw_starts(table, sample, settings, [settings.covariance_type])
    finalists = choose_finalists(table, sample, settings, starts)
    whole = make_sample_table(table, sample)
    stages = [Stage(table, settings.max_iter, keep=1, sample=whole, lookahead=whole)]
    if settings.sample_rows:  # else starts have made no iteration yet, and are compared at their ends
        stages = cut_after(_SHARED_PASSES, *stages)
    return race(finalists, stages, settings.rule(), callback)[0]


def polish(
    table: Table,
    sample: Sample,
    start: MixtureParameters,
    settings: Settings,
    callback: Callable[[PassRecord], None] | None = None,
) -> EMResult:
    """Run one given start to the table's fixed point; arguments and errors as of :func:`search`."""
    whole = make_sample_table(table, sample)
    return best(fit(table, [Run(start, settings.rule())], sample=whole, lookahead=whole, callback=callback))


def make_sample_table(table: Table, sample: Sample) -> ArrayTable:
    """Make a table in memory of a sample, in the coordinates of the table it was drawn from."""
    return ArrayTable(*sample, moments=table.moments)


def draw_starts(
    table: Table, sample: Sample, settings: Settings, covariance_types: Sequence[str]
) -> list[list[MixtureParameters]]:
    """Draw ``n_init`` starts from the sample for each of several structures; these differ in their covariances alone.

    For k-means|| the sample has to be a completed one.

    Raises
    ------
    DataError
        If the sample has fewer distinct rows than k.
    """
    rows, weight = sample
    centred = rows - table.moments.mean[:, None]

    def draw(i: int) -> list[MixtureParameters]:
        rng = random_stream(settings.seed, Purpose.START, i)
        return draw_start(
            centred, weight, table.moments.variance, settings.k, covariance_types, settings.init_mode, rng, i
        )

    return [list(starts) for starts in zip(*map(draw, range(settings.n_init)), strict=True)]


def choose_finalists(
    table: Table, sample: Sample, settings: Settings, starts: Sequence[MixtureParameters], most: int = FINALISTS
) -> list[MixtureParameters]:
    """Run starts on the sample, and return the parameters of the most likely, best first.

    There are no more of them than starts. Components of the best are relocated, in one round for each two starts and
    at least in one; the result is ranked with the others. If ``sample_rows`` is 0, all starts are returned as they are,
    and up to three of them if every start degenerated on the sample.
    """
    if settings.sample_rows == 0:
        return list(starts)
    whole = make_sample_table(table, sample)
    ranking_rows = max(_RANKING_ROWS, _RANKING_ROWS_PER_PARAMETER * starts[0].n_parameters)
    part = whole.part(ranking_rows, random_stream(settings.seed, Purpose.RANKING))
    if len(starts) == 1:
        settings = replace(settings, tol=_TOLERANCE_SHARE * settings.tol)
    ranked = len(starts) > FINALISTS and sample[0].shape[1] > ranking_rows
    try:
        results = race(starts, _plan_stages(part, whole, ranked, most), settings.rule())
    except DegenerateComponentError:
        # The sample may be too small for a component that the table can carry: leave it to the table.
        return list(starts[:FINALISTS])
    rounds = max(len(starts) // 2, 1)
    results = rank([*results, *_relocate_best(part, whole, results[0], settings, rounds)])
    return [result.parameters for result in results[: min(most, len(starts))]]


def _plan_stages(part: ArrayTable, whole: ArrayTable, ranked: bool, most: int) -> list[Stage]:
    """Plan the race on the sample that leaves so many starts."""
    # Ranked starts begin again where they were drawn: without rows in the part, a rare component would be lost.
    ranking = [Stage(part, _RANKING_ITERATIONS, keep=FINALISTS, sample=part, restart=True)] if ranked else []
    on_sample = Stage(whole, _SAMPLE_ITERATIONS, keep=most, sample=whole)
    if most > 1:
        return [*ranking, on_sample]
    return [*ranking, *cut_after(_SAMPLE_CUT_AFTER * (2 if ranked else 1), on_sample)]


def _relocate_best(
    part: ArrayTable, whole: ArrayTable, leader: EMResult, settings: Settings, rounds: int
) -> list[EMResult]:
    """Relocate components on a part of the sample, and run the result on all of it; an empty list if nothing gains."""
    rng = random_stream(settings.seed, Purpose.RELOCATION)
    rule = settings.rule()
    try:
        moved = relocate(part, leader.parameters, replace(rule, max_iter=_RANKING_ITERATIONS), rounds, rng)
        return [] if moved is None else race([moved], [Stage(whole, _SAMPLE_ITERATIONS, keep=1, sample=whole)], rule)
    except DegenerateComponentError:
        return []
