"""Several mixtures of one table, of any k and structure, fitted in the same passes.

Each member's starts are run on the bounded sample, as in :mod:`.single`; those of each k apart from the
others, so that a table may have many cores do it. Then one start a member, the best on the sample, goes on over the
table together with those of all other members; who has converged leaves. A single fit tries its three best on the
table before it settles. Here that would be most of the work, while on a sample of so many rows the order of starts
seldom differs from that on the table: so with several starts a member may, rarely, end in another local optimum than
alone. Members that start by k-means|| share the passes that complete their sample, made for the largest k among them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.em.ascent import EMResult, PassRecord
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.mixture.parameters import MixtureParameters, count_parameters
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.kmeans_parallel import completed
from gmm_spark.core.search.single import draw_starts, finalists, trial_of
from gmm_spark.core.search.starts import OVERSAMPLED
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable, Sample, Table
from gmm_spark.errors import DataError, DegenerateComponentError

Failure = DataError | DegenerateComponentError

# Rows of the sample that members look ahead on, or more where they have many parameters. With 8 rows a parameter it led
# little further than plain steps where components overlap; with 100, members evaluated 914 components over the table in
# all, with 500 they evaluated 904.
_AHEAD_ROWS, _AHEAD_ROWS_A_PARAMETER = 20_000, 50
# What a start travels as.
_PARTS = ("weights", "means", "covariances")


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
        (m,) or None. Called once for each pair among the settings. On a part of the first sample accelerated members
        look ahead, the others are let go.
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
    ahead: ArrayTable | None = None
    for wanted in dict.fromkeys((member.rows_to_draw, member.seed) for member in settings):
        members = {i: one for i, one in enumerate(settings) if (one.rows_to_draw, one.seed) == wanted}
        sample = fuller = draw(*wanted)
        oversampled = [member.k for member in members.values() if member.init_mode == OVERSAMPLED]
        if oversampled:
            fuller = completed(table, sample, max(oversampled), wanted[1])
        if trial is None:
            trial = trial_of(table, fuller)
            # Not of a completed sample: its rare rows are few.
            ahead = None if oversampled else _large_enough(trial, settings)
        alike = _drawn_alike(members)
        for mine, groups in (
            (sample, [group for group in alike if members[group[0]].init_mode != OVERSAMPLED]),
            (fuller, [group for group in alike if members[group[0]].init_mode == OVERSAMPLED]),
        ):
            tasks = [_Starts(table.moments, tuple(members[i] for i in group)) for group in groups]
            for group, answer in zip(groups, table.run_on_sample(mine, tasks), strict=True):
                drawn = _read(answer, len(group))
                if not isinstance(drawn, list):
                    failures.update(dict.fromkeys(group, drawn))
                    continue
                for i, found in zip(group, drawn, strict=True):
                    starts += found
                    owners += [i] * len(found)
    results: dict[int, list[EMResult]] = {}
    for i, outcome in zip(
        owners, _run(table, trial, ahead, starts, [settings[i] for i in owners], callback), strict=True
    ):
        if isinstance(outcome, EMResult):
            results.setdefault(i, []).append(outcome)
        else:
            failures[i] = outcome
    return [best(results[i]) if i in results else failures[i] for i in range(len(settings))]


def _drawn_alike(members: Mapping[int, Settings]) -> list[list[int]]:
    """Members whose starts differ in their covariances alone, the largest first: cores are done at about one time."""
    groups: dict[Hashable, list[int]] = {}
    for i, member in members.items():
        groups.setdefault((member.k, member.n_init, member.init_mode), []).append(i)
    return sorted(groups.values(), key=lambda group: -sum(members[i].k * members[i].n_init for i in group))


def _large_enough(trial: ArrayTable, settings: Sequence[Settings]) -> ArrayTable:
    """Part of the sample to look ahead on, enough for members of this size: what all of them take adds up."""
    d = trial.rows.shape[0]
    most = max(count_parameters(member.covariance_type, member.k, d) for member in settings)
    rows = max(_AHEAD_ROWS, _AHEAD_ROWS_A_PARAMETER * most)
    return trial.part(rows, random_stream(settings[0].seed, Purpose.LOOKING_AHEAD))


@dataclass(frozen=True, eq=False)
class _Starts:
    """Task on a sample: the starts of members that are drawn alike, and of each member the best of them."""

    moments: Moments
    members: tuple[Settings, ...]

    def __call__(self, sample: Sample) -> bytes:
        """Starts in the table's centred coordinates, or the error that kept them from being drawn, as npz."""
        trial = ArrayTable(*sample, moments=self.moments)
        try:
            drawn = draw_starts(trial, sample, self.members[0], [member.covariance_type for member in self.members])
        except (DataError, DegenerateComponentError) as error:
            return _npz({type(error).__name__: np.array(str(error))})
        return _npz(
            {
                f"{i} {j} {start.covariance_type} {part}": getattr(start, part)
                for i, (member, own) in enumerate(zip(self.members, drawn, strict=True))
                for j, start in enumerate(finalists(trial, sample, member, own, at_most=1))
                for part in _PARTS
            }
        )


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _read(answer: bytes, n_members: int) -> list[list[MixtureParameters]] | Failure:
    """Read what :class:`_Starts` returned: of each member its starts, or why it has none."""
    with np.load(io.BytesIO(answer), allow_pickle=False) as found:
        for failure in (DataError, DegenerateComponentError):
            if failure.__name__ in found:
                return failure(str(found[failure.__name__]))
        starts: list[list[MixtureParameters]] = [[] for _ in range(n_members)]
        for key in dict.fromkeys(name.rpartition(" ")[0] for name in found):
            i, _, kind = key.split()
            weights, means, covariances = (found[f"{key} {part}"] for part in _PARTS)
            starts[int(i)].append(MixtureParameters(weights, means, covariances, kind))
        return starts


def _run(
    table: Table,
    trial: ArrayTable | None,
    ahead: ArrayTable | None,
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
            ahead=ahead,
            seed=[rule.seed for rule in rules],
            callback=callback,
            dropped=dropped,
        )
    except DegenerateComponentError:  # raised when none is left
        results = []
    survivors = iter(results)
    return [dropped[i] if i in dropped else next(survivors) for i in range(len(starts))]
