"""What fit and select check before they read the table, and the plan of their work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gmm_spark.core.kernels.sizes import least_driver_bytes
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import Settings
from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.jobs.config.jobs import FitConfiguration, SelectConfiguration
from gmm_spark.jobs.io.tables import feature_parameters
from gmm_spark.jobs.preflight.columns import check_features, count_features, describe_columns, require_weight
from gmm_spark.jobs.preflight.disks import count_block_bytes, count_free, warn_of_disks
from gmm_spark.jobs.preflight.extent import estimate_rows, measure, plan_extent
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.jobs.preflight.quarantine import check_quarantine, plan_bad_rows
from gmm_spark.jobs.preflight.workers import Worker, check_workers

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.spark.columns import Features

Configuration: TypeAlias = FitConfiguration | SelectConfiguration

_MODULE = "gmm_spark.spark.packing.tasks"  # what the tasks of a fit need first


@dataclass(frozen=True)
class Checked:
    """What a fit works with, once it has been checked.

    Attributes
    ----------
    rows : DataFrame
    workers : sequence of Worker
    shapes : sequence of (str, int)
        Structure and k of each mixture.
    initial : MixtureParameters or None
        What the fit starts from.
    """

    rows: DataFrame
    workers: Sequence[Worker]
    shapes: Sequence[tuple[str, int]]
    initial: MixtureParameters | None


def check_fit(
    spark: SparkSession,
    configuration: Configuration,
    rows: DataFrame | None,
    initial: MixtureParameters | None,
    faults: Faults,
) -> Checked:
    """Check all that can be known before a fit, and raise everything that is wrong in one message.

    Parameters
    ----------
    spark : SparkSession
    configuration : FitConfiguration or SelectConfiguration
    rows : DataFrame or None
        The table; None if it could not be read.
    initial : MixtureParameters or None
        What the fit starts from.
    faults : Faults
        What is known to be wrong so far.

    Raises
    ------
    GmmSparkError
        Lists all faults: those known, of the workers, of the columns and their types, and of the memory that the
        mixtures need.
    """
    columns, weight = configuration.features.columns, configuration.features.weight
    shapes, d = _list_shapes(configuration, initial), None
    if rows is not None:
        sound = check_features(faults, rows, "features.columns", columns)
        if weight is not None:
            faults.passes(require_weight, rows, "features.weight", weight)
        d = count_features(rows, columns) if sound else None
        if d is not None:
            _check_width(faults, configuration, d, initial)
            settings = [Settings(k=k, covariance_type=kind, n_init=configuration.model.n_init) for kind, k in shapes]
            faults.passes(_require_memory, spark, settings, d, initial is not None)
    check_quarantine(faults, spark, configuration, rows, configuration.output.model)
    workers = check_workers(faults, spark, _MODULE)
    faults.require_none()
    assert rows is not None  # or there was a fault
    if (n := estimate_rows(spark, rows)) is not None and d is not None:
        warn_of_disks(workers, count_block_bytes(resolve(rows, configuration, d), n))
    return Checked(rows, workers, shapes, initial)


def plan_fit(spark: SparkSession, configuration: Configuration, checked: Checked, previous: str | None = None) -> Plan:
    """Return what a fit would do, with ids of an earlier model if there is one. Small jobs measure the input.

    Raises
    ------
    DataError
        If the table has fewer rows than the mixture components, or its features have no width.
    """
    from gmm_spark.spark.memory import available_bytes
    from gmm_spark.spark.packing.limits import SAMPLE_COPIES

    rows, source, chosen = checked.rows, configuration.input, configuration.features
    plan, extent = Plan(configuration.job), measure(spark, source, rows)
    plan_extent(plan, source, extent)
    features = resolve(rows, configuration, count_features(rows, chosen.columns))
    least = min(k for _, k in checked.shapes)
    if extent.exact and extent.rows is not None and extent.rows < least:
        raise DataError(f"the input has {extent.rows:,} rows, needs at least {least} for as many components; lower k")
    plan.add("features", describe_columns(rows, chosen.columns), f"{features.width} features")
    if chosen.weight is not None:
        plan.add("features", f"weight {describe_columns(rows, [chosen.weight])}, {chosen.weight_kind}")
    plan_bad_rows(plan, configuration)
    _plan_search(plan, configuration, checked)
    plan.add("ids", "from 0 on" if previous is None else f"components keep those of {previous}")
    if extent.rows is not None:
        needed = count_block_bytes(features, extent.rows)
        plan.add(
            "disks",
            f"{needed:,} bytes of blocks on the executors' disks, which have {count_free(checked.workers):,} free",
        )
    drawn = configuration.model.sample_rows or Settings.sample_rows
    sampled = drawn if extent.rows is None else min(drawn, extent.rows)
    least_bytes = max(least_driver_bytes(kind, k, features.width) for kind, k in checked.shapes)
    needed, found = least_bytes + SAMPLE_COPIES * 8 * features.width * sampled, available_bytes()
    can = "an unknown number" if found is None else f"{found:,}"
    plan.add("memory", f"the driver needs about {needed:,} bytes, its sample included, and can get {can}")
    return plan


def _list_shapes(configuration: Configuration, initial: MixtureParameters | None) -> list[tuple[str, int]]:
    """List structure and k of every mixture."""
    if initial is not None:
        return [(initial.covariance_type, initial.n_components)]
    if isinstance(configuration, SelectConfiguration):
        grid = configuration.selection
        return [(kind, k) for kind in grid.covariance_types for k in grid.ks]
    return [(configuration.model.covariance_type, configuration.model.k)]


def _tell_noise(configuration: Configuration, initial: MixtureParameters | None) -> str:
    """Tell in the plan whether there will be noise; empty if there will be none."""
    if isinstance(configuration, SelectConfiguration):
        noises = configuration.selection.noises
        return "each without and with noise" if len(noises) > 1 else "each with noise" if noises[0] else ""
    noisy = configuration.model.noise or (initial is not None and initial.noise is not None)
    return "with noise over the table's box" if noisy else ""


def _check_width(faults: Faults, configuration: Configuration, d: int, initial: MixtureParameters | None) -> None:
    """Find a start, or a floor under variances, of another number of features than the table's."""
    fitting = configuration.model
    if initial is not None and initial.n_features != d:
        key = "initial_model" if getattr(fitting, "initial_model", None) else "initial_parameters"
        faults.add(
            DataError(f"model.{key}: got a mixture of {initial.n_features} features, and features.columns has {d}")
        )
    floor = fitting.variance_floor
    if floor is not None and len(floor) != d:
        faults.add(ConfigurationError(f"model.variance_floor: got {len(floor)} number(s), needs {d}, one a feature"))


def _require_memory(spark: SparkSession, settings: Sequence[Settings], d: int, has_start: bool) -> None:
    from gmm_spark.ml.fitting import require_holdable

    require_holdable(spark, settings, d, has_start)


def resolve(rows: DataFrame, configuration: Configuration, d: int | None) -> Features:
    """Return how the features are read; a small job finds the width of arrays if it is not known."""
    from gmm_spark.spark.columns import resolve_features

    chosen = configuration.features
    form = feature_parameters(rows, chosen.columns)
    found = resolve_features(rows, form.get("featuresCol", ""), form.get("inputCols"), chosen.weight, d)
    if found is None:
        raise DataError(f"features.columns: {chosen.columns[0]} is null in every row; check the filter")
    return found


def _plan_search(plan: Plan, configuration: Configuration, checked: Checked) -> None:
    """Add to a plan which mixtures are fitted, from which starts, in how many passes."""
    fitting = configuration.model
    for kind in dict.fromkeys(kind for kind, _ in checked.shapes):
        plan.add("mixtures", f"{kind}, k = {', '.join(str(k) for own, k in checked.shapes if own == kind)}")
    if told := _tell_noise(configuration, checked.initial):
        plan.add("mixtures", told)
    if checked.initial is not None:
        start = getattr(fitting, "initial_model", None) or getattr(fitting, "initial_parameters", None)
        plan.add("starts", f"1, from {start}")
    else:
        sample = f"a sample of {fitting.sample_rows:,} rows" if fitting.sample_rows else "the full table"
        each = " for each mixture" if len(checked.shapes) > 1 else ""
        plan.add("starts", f"{fitting.n_init} ({fitting.init_mode}), on {sample}{each}; seed {fitting.seed}")
    shared = ", which the mixtures share" if len(checked.shapes) > 1 else ""
    again = (
        f", and {fitting.max_iter} for the best of them alone if the table is larger than the sample" if shared else ""
    )
    plan.add(
        "passes",
        "the table is read once, into blocks on the executors' disks",
        f"EM passes over the blocks {fitting.max_iter} times at most (model.max_iter){shared}{again}; it ends if a "
        f"pass changes the mean log-likelihood by less than {fitting.tol:g} (model.tol)",
        "a few passes more draw the sample and evaluate the result"
        + (", and one takes the portrait (output.portrait)" if configuration.output.portrait else ""),
    )
