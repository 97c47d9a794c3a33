"""Several mixtures fitted in shared passes over one packed table: a selector's grid, or the param maps of a tuning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from pyspark.sql import DataFrame

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import choose_floor, search
from gmm_spark.core.settings import Settings
from gmm_spark.errors import (
    DataError,
    DegenerateComponentError,
    GmmSparkError,
    ParameterError,
    ResourceError,
)
from gmm_spark.ml.fitting import MixtureFitting, require_fittable, require_holdable
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.ml.progress import Callback
from gmm_spark.ml.summary import Fitted
from gmm_spark.ml.watching import Watch
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import one_blas_thread


def fit_together(
    table: PackedTable,
    settings: Sequence[Settings],
    callback: Callback | None,
    log_densities: bool = False,
) -> list[Fitted | GmmSparkError]:
    """Fit one mixture for each of several settings.

    Parameters
    ----------
    table : PackedTable
    settings : sequence of Settings
    callback : callable or None
        Called on the driver after each shared pass.
    log_densities : bool
        Whether the evaluations hold the distribution of the log-densities, which makes the last pass send more.

    Returns
    -------
    list of Fitted or GmmSparkError
        In the order of the settings; the error of each that could not be fitted.
    """
    outcomes: dict[int, Fitted | GmmSparkError] = {}
    for i, member in enumerate(settings):
        try:
            require_fittable(table, member)
            require_holdable(table.spark, [member], table.features.width)
        except (DataError, ParameterError, ResourceError) as error:
            outcomes[i] = error
    able = [i for i in range(len(settings)) if i not in outcomes]
    if not able:
        return list(outcomes.values())
    draw = cache(table.sample)
    with one_blas_thread():
        profile = ColumnProfile.of(*draw(settings[able[0]].rows_to_draw, settings[able[0]].seed))
        watch = Watch(table, max(settings[i].max_iter for i in able), callback)
        found = sweep(table, draw, [settings[i] for i in able], watch, profile)
    results = {i: one for i, one in zip(able, found, strict=True) if isinstance(one, EMResult)}
    outcomes.update({i: one for i, one in zip(able, found, strict=True) if not isinstance(one, EMResult)})
    if results:
        evaluations = table.evaluate_all([result.parameters for result in results.values()], log_densities)
        for (i, result), evaluation in zip(results.items(), evaluations, strict=True):
            floor = choose_floor(table, profile, settings[i])
            sample = draw(settings[i].rows_to_draw, settings[i].seed)
            outcomes[i] = Fitted(result, evaluation, profile, floor, sample)
    return [outcomes[i] for i in range(len(settings))]


def fit_alone(
    table: PackedTable, settings: Settings, member: Fitted, callback: Callback | None
) -> Fitted | DegenerateComponentError:
    """Fit one mixture by a search of its own, from the sample that it had as a member of a grid.

    Other arguments and the result are those of :func:`fit_together`.
    """
    with one_blas_thread():
        try:
            watch = Watch(table, settings.max_iter, callback)
            result = search(table, member.sample, settings, watch, member.profile, table.crew)
        except DegenerateComponentError as error:
            return error
    return replace(member, result=result, evaluation=table.evaluate_all([result.parameters])[0])


def fit_members(
    members: Sequence[MixtureFitting], settings: Sequence[Settings], dataset: DataFrame
) -> list[GaussianMixtureModel | Exception]:
    """Fit one model for each of several estimators that read the same columns in the same way.

    Parameters
    ----------
    members : sequence of MixtureFitting
        The first that has sound parameters packs the table. Its callback hears of each pass, and its ``verbose`` says
        whether the fit is shown.
    settings : sequence of Settings
        One for each member.
    dataset : DataFrame

    Returns
    -------
    list of GaussianMixtureModel or Exception
        In the order of the members; the error of each that could not be fitted.
    """
    outcomes: dict[int, GaussianMixtureModel | Exception] = {}
    for i, member in enumerate(members):
        try:
            member.check_params()
        except ParameterError as error:
            outcomes[i] = error
    able = [i for i in range(len(members)) if i not in outcomes]
    if able:
        first = members[able[0]]
        features = first._resolve(dataset)
        require_holdable(dataset.sparkSession, [settings[i] for i in able], features.width)
        with first._named(dataset), first._shown() as callback, first._pack(dataset, features) as table:
            fitted = fit_together(table, [settings[i] for i in able], callback, log_densities=True)
            for i, found in zip(able, fitted, strict=True):
                outcomes[i] = members[i]._build_model(dataset, table, found) if isinstance(found, Fitted) else found
    return [outcomes[i] for i in range(len(members))]


class ModelsOnDemand(Iterator[tuple[int, GaussianMixtureModel]]):
    """Models by index, all fitted when the first is asked for. Several threads may ask at the same time.

    Parameters
    ----------
    fit : callable
        Returns a model, or the error to raise in its place, for each index.
    n : int
        Number of models.
    """

    def __init__(self, fit: Callable[[], list[GaussianMixtureModel | Exception]], n: int) -> None:
        self._fit = fit
        self._n = n
        self._lock = threading.Lock()
        self._indices = iter(range(n))
        self._outcomes: list[GaussianMixtureModel | Exception] | None = None

    def __next__(self) -> tuple[int, GaussianMixtureModel]:
        with self._lock:
            index = next(self._indices)
            if self._outcomes is None:
                try:
                    self._outcomes = self._fit()
                except Exception as error:  # the table's fault, so every model's
                    self._outcomes = [error] * self._n
        outcome = self._outcomes[index]
        if isinstance(outcome, Exception):
            raise outcome
        return index, outcome
