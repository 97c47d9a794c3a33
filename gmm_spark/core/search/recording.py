"""Records of the starts of a fit: how each was drawn, how it compared, and how far it came."""

from __future__ import annotations

from dataclasses import replace

from gmm_spark.core.em.ascent import RELOCATED, EMResult, StartRecord
from gmm_spark.core.em.run import Outcome
from gmm_spark.core.search.racing import Standings
from gmm_spark.core.search.starts import name_kind
from gmm_spark.core.settings import Settings


def list_starts(
    settings: Settings, on_sample: Standings, on_table: Standings, result: EMResult, noise: float
) -> tuple[StartRecord, ...]:
    """List the starts of a fit, and then the relocated one, if it got to the table.

    Parameters
    ----------
    settings : Settings
    on_sample : Standings
        Of the starts. Its ``origins`` are those of the finalists: which start each goes back to, or -1 if to none.
        Without outcomes the starts were compared on the table alone.
    on_table : Standings
        Of the finalists.
    result : EMResult
        Of the winner, from its first pass over the table to its last.
    noise : float
        By how much the lower bounds of starts in one optimum may differ, nats per row.
    """
    finalists = dict(zip(on_sample.origins, on_table.outcomes, strict=True))
    if on_sample.outcomes:
        compared = dict(enumerate(on_sample.outcomes))
        leader = on_sample.outcomes[on_sample.leader]
    else:
        compared = finalists
        leader = on_table.outcomes[on_table.leader]
    best = leader.lower_bound if isinstance(leader, EMResult) else float("nan")
    records = [
        _describe(name_kind(settings.init_mode, i), compared.get(i), best, noise) for i in range(settings.n_init)
    ]
    if -1 in finalists:
        records.append(StartRecord(RELOCATED, float("nan")))
    winner = on_sample.origins[on_table.origins[0]]
    for i, outcome in finalists.items():
        passes = result.history if i == winner else outcome.history if isinstance(outcome, EMResult) else ()
        bounds = tuple(one.lower_bound for one in passes)
        records[i] = replace(records[i], table_bounds=bounds, won=i == winner)
    return tuple(records)


def _describe(kind: str, outcome: Outcome | None, best: float, noise: float) -> StartRecord:
    if not isinstance(outcome, EMResult):
        return StartRecord(kind, float("nan"))
    alike = abs(outcome.lower_bound - best) <= noise
    return StartRecord(kind, outcome.lower_bound, len(outcome.history), alike)
