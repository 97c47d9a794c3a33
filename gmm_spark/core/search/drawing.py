"""Draw the starts of a fit from its sample, on the cores of a crew if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmm_spark.core.arrays import Array, has_missing
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.missing.filling import fill
from gmm_spark.core.mixture.floor import robust_variance
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.randomness import Purpose, random_stream
from gmm_spark.core.search.crew import MULTIPLICATIONS_A_SECOND, Crew, share_out, share_saved
from gmm_spark.core.search.overall import find_overall_gaussian
from gmm_spark.core.search.sparse_rows import keep_dense
from gmm_spark.core.search.starts import draw_start, make_noise
from gmm_spark.core.search.transport import from_bytes, to_bytes
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable, Sample, Table
from gmm_spark.errors import DataError

# Multiplications that a start takes for each value of the sample and each component, on average over the kinds.
_MULTIPLICATIONS = 60


def make_sample_table(table: Table, sample: Sample) -> ArrayTable:
    """Make a table in memory of a sample, in the coordinates of the table it was drawn from."""
    return ArrayTable(*sample, moments=table.moments)


def draw_starts(
    table: Table,
    sample: Sample,
    profile: ColumnProfile,
    settings: Settings,
    covariance_types: Sequence[str],
    crew: Crew | None = None,
) -> list[list[MixtureParameters]]:
    """Draw ``n_init`` starts from the sample for each of several structures; these differ in their covariances alone.

    Seeds see missing values as one Gaussian over all rows expects them. EM does not: it begins with what was observed.

    For k-means|| the sample has to be a completed one. Starts with noise are drawn from rows where the table is dense.

    Raises
    ------
    DataError
        If the sample has fewer distinct rows than k.
    """
    groups = share_out(range(settings.n_init), crew)
    answers = None
    if crew is not None and len(groups) > 1:
        kinds = tuple(covariance_types)
        tasks = [DrawTask(table.moments, profile, settings, kinds, tuple(group)) for group in groups]
        values = sample[0].size * settings.k * settings.n_init
        saves = values * _MULTIPLICATIONS / MULTIPLICATIONS_A_SECOND * share_saved(groups)
        d = sample[0].shape[0]
        answers = crew.run(sample, tasks, saves, 8 * settings.n_init * len(kinds) * settings.k * (1 + d + d * d))
    if answers is None:
        drawn = _draw(table, sample, profile, settings, covariance_types, range(settings.n_init))
    else:
        found: dict[int, list[MixtureParameters]] = {}
        for group, answer in zip(groups, map(from_bytes, answers), strict=True):
            if isinstance(answer, DataError):
                raise answer
            found.update(zip(group, answer, strict=True))
        drawn = [found[i] for i in range(settings.n_init)]
    return [list(starts) for starts in zip(*drawn, strict=True)]


@dataclass(frozen=True, eq=False)
class DrawTask:
    """Task on a sample: draw some of a fit's starts, each in several structures.

    Attributes
    ----------
    moments : Moments
        Of the table that the sample was drawn from.
    profile : ColumnProfile
        Of the table's columns.
    settings : Settings
    covariance_types : tuple of str
    numbers : tuple of int
        Of the starts, from 0.
    """

    moments: Moments
    profile: ColumnProfile
    settings: Settings
    covariance_types: tuple[str, ...]
    numbers: tuple[int, ...]

    def __call__(self, sample: Sample) -> bytes:
        """Return the starts of each number, or the error met in drawing them, as bytes."""
        table = ArrayTable(*sample, moments=self.moments)
        try:
            drawn = _draw(table, sample, self.profile, self.settings, self.covariance_types, self.numbers)
        except DataError as error:
            return to_bytes(error)
        return to_bytes(drawn)


def _draw(
    table: Table,
    sample: Sample,
    profile: ColumnProfile,
    settings: Settings,
    covariance_types: Sequence[str],
    numbers: Sequence[int],
) -> list[list[MixtureParameters]]:
    """Draw the starts of some numbers, each in several structures; other arguments as of :func:`draw_starts`."""
    rows, weight = sample
    centred, doubt = rows - table.moments.mean[:, None], None
    if has_missing(rows):
        centred, doubt = fill(find_overall_gaussian(make_sample_table(table, sample)), centred)
    centre = profile.quartiles[1] - table.moments.mean
    variance = robust_variance(profile, table.moments.variance)
    noise = make_noise(profile, table.moments.mean) if settings.noise else None
    everywhere = dense = centred, weight
    if noise is not None:
        dense = keep_dense(centred, weight, variance, noise, settings.seed)

    def draw(i: int) -> list[MixtureParameters]:
        def draw_from(rows: Array, weight: Array | None) -> list[MixtureParameters]:
            rng, mode = random_stream(settings.seed, Purpose.START, i), settings.init_mode
            return draw_start(rows, weight, centre, variance, settings.k, covariance_types, mode, rng, i, doubt)

        try:
            starts = draw_from(*dense)
        except DataError:  # fewer distinct values than k
            if noise is None:
                raise
            starts = draw_from(*everywhere)
        return starts if noise is None else [start.with_noise(noise) for start in starts]

    return [draw(i) for i in numbers]
