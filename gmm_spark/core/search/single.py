"""From a table and a bounded sample of it to one fitted mixture: many starts, few passes.

Starts are drawn from the sample and run there first, where an iteration costs next to nothing, and the best of them is
tried with components elsewhere; the most promising go on over the full table together, sharing its passes; the best
there is run to convergence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.kmeans_parallel import completed
from gmm_spark.core.search.relocation import relocate
from gmm_spark.core.search.starts import OVERSAMPLED, draw_start
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable, Table
from gmm_spark.errors import DegenerateComponentError

# Starts are ranked on a part of the sample: so many rows, or more where there are many parameters, by which the
# likelihoods of starts differ at random (about one nat in two for each parameter, in all). Those that end best may be
# the slowest: after 40 plain iterations some that did were behind others at their ends. Accelerated, and with
# components tried elsewhere, 40 and 60 led to the best optimum of the flights from each of 30 samples, 25 missed one.
_RANKING_ITERATIONS = 40
_RANKING_ROWS, _RANKING_ROWS_A_PARAMETER = 20_000, 20
# Iterations on the sample of the best few, to bring them near their fixed points, and those after which but one goes on
# where no more are asked for.
_SAMPLE_ITERATIONS = 100
_DECIDED_AFTER = 10
# Starts that go on over the full table, and the passes they share before only the best is kept.
_FINALISTS = 3
_SHARED_PASSES = 2


def search(
    table: Table,
    sample: tuple[Block, Array | None],
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
        With ``sample_rows`` 0 no start is run on the sample: all go over the full table together, to their ends.
    callback : callable, optional
        Called after each pass over the table.

    Raises
    ------
    DegenerateComponentError
        Where every start degenerated.
    DataError
        Where the sample has fewer distinct rows than k.
    """
    if settings.init_mode == OVERSAMPLED:
        sample = completed(table, sample, settings.k, settings.seed)
    (starts,) = draw_starts(table, sample, settings, [settings.covariance_type])
    starts = finalists(table, sample, settings, starts)
    # Starts that have not been on the sample are not compared before they are done.
    contest = _SHARED_PASSES if settings.sample_rows else None
    loop = settings.loop(settings.max_iter)
    return best(fit(table, starts, **loop, trial=trial_of(table, sample), contest=contest, callback=callback))


def polish(
    table: Table,
    sample: tuple[Block, Array | None] | None,
    start: MixtureParameters,
    settings: Settings,
    callback: Callable[[PassRecord], None] | None = None,
) -> EMResult:
    """Run one given start to the table's fixed point; arguments and errors as of :func:`search`."""
    trial = None if sample is None else trial_of(table, sample)
    (result,) = fit(table, [start], **settings.loop(settings.max_iter), trial=trial, callback=callback)
    return result


def trial_of(table: Table, sample: tuple[Block, Array | None]) -> ArrayTable:
    """Make a table in memory of a sample, in the coordinates of the one it was drawn from."""
    return ArrayTable(*sample, moments=table.moments)


def draw_starts(
    table: Table, sample: tuple[Block, Array | None], settings: Settings, structures: Sequence[str]
) -> list[list[MixtureParameters]]:
    """Draw ``n_init`` starts from the sample, for each of several structures the same but for their covariances.

    For k-means|| the sample has to be a completed one.

    Raises
    ------
    DataError
        Where the sample has fewer distinct rows than k.
    """
    rows, weight = sample
    centred = rows - table.moments.mean[:, None]

    def drawn(i: int) -> list[MixtureParameters]:
        rng = random_stream(settings.seed, Purpose.START, i)
        return draw_start(centred, weight, table.moments.variance, settings.k, structures, settings.init_mode, rng)

    return [list(starts) for starts in zip(*map(drawn, range(settings.n_init)), strict=True)]


def finalists(
    table: Table,
    sample: tuple[Block, Array | None],
    settings: Settings,
    starts: Sequence[MixtureParameters],
    at_most: int = _FINALISTS,
) -> list[MixtureParameters]:
    """Run starts on the sample, and return the most promising, best first.

    Of several, the best is then tried with components elsewhere, a round for each two of them, and what that leads to
    is ranked with the others. All starts, unranked, where ``sample_rows`` is 0; where every one degenerated on the
    sample, up to three.
    """
    if settings.sample_rows == 0:
        return list(starts)
    trial = trial_of(table, sample)
    most = max(_RANKING_ROWS, _RANKING_ROWS_A_PARAMETER * starts[0].n_parameters)
    part = trial.part(most, random_stream(settings.seed, Purpose.RANKING)) if len(starts) > 1 else trial
    decided_after = _DECIDED_AFTER
    rounds = len(starts) // 2
    try:
        if len(starts) > _FINALISTS and sample[0].shape[1] > most:
            starts = _ranked(part, starts, settings)[:_FINALISTS]
            decided_after *= 2  # since they begin anew
        contest = decided_after if at_most == 1 else None
        near = fit(trial, starts, **settings.loop(_SAMPLE_ITERATIONS), trial=trial, contest=contest)
    except DegenerateComponentError:
        # The sample may be too small for a component that the table can carry: leave it to the table.
        return list(starts[:_FINALISTS])
    if rounds:
        near += _relocated(part, trial, best(near).parameters, settings, rounds)
    return [r.parameters for r in _by_bound(near)[:at_most]]


def _relocated(
    part: ArrayTable, trial: ArrayTable, leader: MixtureParameters, settings: Settings, rounds: int
) -> list[EMResult]:
    """What the leader becomes on the sample with components elsewhere; nothing where none is better off there."""
    rng = random_stream(settings.seed, Purpose.RELOCATION)
    try:
        moved = relocate(part, leader, settings.loop(_RANKING_ITERATIONS), rounds, rng)
        return [] if moved is None else fit(trial, [moved], **settings.loop(_SAMPLE_ITERATIONS), trial=trial)
    except DegenerateComponentError:
        return []


def _ranked(part: ArrayTable, starts: Sequence[MixtureParameters], settings: Settings) -> list[MixtureParameters]:
    """Put starts in the order of how far some iterations on a few rows take them.

    They go on from where they were drawn: of so few rows a rare component may have none, and would be lost.
    """
    dropped: dict[int, DegenerateComponentError] = {}
    results = fit(part, starts, **settings.loop(_RANKING_ITERATIONS), trial=part, dropped=dropped)
    survivors = [i for i in range(len(starts)) if i not in dropped]
    bounds = {i: result.lower_bound for i, result in zip(survivors, results, strict=True)}
    return [starts[i] for i in sorted(bounds, key=lambda i: -bounds[i])]


def _by_bound(results: list[EMResult]) -> list[EMResult]:
    return sorted(results, key=lambda r: -r.lower_bound)
