"""Start many, and keep the best few after some iterations: one race, in stages.

A stage says which table EM runs on, for how many iterations, and how many runs it keeps. Whatever compares starts is a
list of stages: the ranking on a part of the sample, the runs on the sample, the finalists on the table, and the
candidates of a round of relocation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import activate, make_passes
from gmm_spark.core.em.run import Outcome, Run
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.climbing import climb
from gmm_spark.core.search.crew import Crew
from gmm_spark.core.search.judging import rank_judged
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable, Table


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a race.

    Attributes
    ----------
    table : Table
        EM runs on it. In consecutive stages on one table the same runs continue.
    iterations : int
        Passes over the table at most.
    keep : int
        Runs that enter the next stage, or are returned after the last one.
    sample : ArrayTable
        Rows in memory in which degenerate components are reseeded; for a table in memory, the table itself.
    lookahead : ArrayTable, optional
        Rows in memory on which accelerated runs look ahead.
    restart : bool
        Runs begin on the next table where they began on this one, not where they ended.
    """

    table: Table
    iterations: int
    keep: int
    sample: ArrayTable
    lookahead: ArrayTable | None = None
    restart: bool = False


@dataclass(eq=False)
class Standings:
    """How a race stood, for whoever wants to tell of it.

    Attributes
    ----------
    outcomes : list
        Of all runs, in the order of the starts, after the first stage; empty if all of them degenerated in it.
    leader : int
        Which of them was the best.
    origins : list of int
        Which start each of the results goes back to that the race returned.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    leader: int = 0
    origins: list[int] = field(default_factory=list)


def cut_after(iterations: int, stage: Stage) -> list[Stage]:
    """Split a stage in two: after so many iterations only the best run goes on."""
    first = min(iterations, stage.iterations)
    return [replace(stage, iterations=first, keep=1), replace(stage, iterations=stage.iterations - first)]


def race(
    starts: Sequence[MixtureParameters],
    stages: Sequence[Stage],
    rule: Rule,
    callback: Callable[[PassRecord], None] | None = None,
    standings: Standings | None = None,
    crew: Crew | None = None,
) -> list[EMResult]:
    """Run EM from several starts in stages, each with the best runs of the stage before.

    Parameters
    ----------
    starts : sequence of MixtureParameters
        In the table's centred coordinates.
    stages : sequence of Stage
    rule : Rule
        For every run; the stages' iterations replace its ``max_iter``.
    callback : callable, optional
        Called after each pass with the record of the run that leads.
    standings : Standings, optional
        New; takes in how the race stood.
    crew : Crew, optional
        Runs EM in those stages whose table is in memory; by default this process does.

    Returns
    -------
    list of EMResult
        The runs that the last stage keeps, best first.

    Raises
    ------
    DegenerateComponentError
        If all runs of a stage degenerate.
    """
    results: list[EMResult] = []
    origins = list(range(len(starts)))
    for _, group in groupby(stages, key=lambda stage: id(stage.table)):
        on_table = list(group)
        first, last = on_table[0], on_table[-1]
        limited = replace(rule, max_iter=sum(stage.iterations for stage in on_table))
        runs = activate([Run(start, limited) for start in starts], first.sample, first.lookahead)
        for stage in on_table:
            if stage.table is stage.sample and callback is None:
                runs = climb(stage.sample, runs, stage.iterations, crew)
            else:
                make_passes(stage.table, runs, stage.iterations, callback)
            outcomes = [run.outcome for run in runs]
            ranked = rank_judged(outcomes, stage.sample, rule.floor)
            if standings is not None and not standings.outcomes:
                standings.outcomes, standings.leader = outcomes, outcomes.index(ranked[0])
            results = ranked[: stage.keep]
            kept = [outcomes.index(result) for result in results]
            runs, origins = [runs[i] for i in kept], [origins[i] for i in kept]
        starts = [run.run.start for run in runs] if last.restart else [result.parameters for result in results]
    if standings is not None:
        standings.origins = origins
    return results
