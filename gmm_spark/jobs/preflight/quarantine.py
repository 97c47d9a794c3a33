"""Where bad rows go, checked before the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.jobs.config.jobs import FitConfiguration, ScoreConfiguration, SelectConfiguration
from gmm_spark.jobs.io.catalog_tables import locate_input
from gmm_spark.jobs.io.outputs import require_apart, require_writable_folder
from gmm_spark.jobs.io.tables import fold
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.storage.hadoop import files_of, is_remote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

QUARANTINE = "quarantine"  # value of features.handle_invalid
ADDED = ("run_id", "_reason", "_column")  # what a row has in quarantine, beside its own columns


def check_quarantine(
    faults: Faults,
    spark: SparkSession,
    configuration: FitConfiguration | SelectConfiguration | ScoreConfiguration,
    rows: DataFrame | None,
    target: str | None,
) -> None:
    """Find a quarantine that could not be written later, or that lies in what the job reads or writes.

    Parameters
    ----------
    faults : Faults
    spark : SparkSession
    configuration : FitConfiguration, SelectConfiguration or ScoreConfiguration
    rows : DataFrame or None
        The table; None if it could not be read.
    target : str or None
        Directory that the job writes its result to, if it has one.
    """
    path, asked = configuration.output.quarantine, configuration.features.handle_invalid == QUARANTINE
    if asked != (path is not None):
        got = "got none" if path is None else f"got {path!r}"
        faults.add(
            ConfigurationError(
                f'output.quarantine: {got}, and features.handle_invalid is "{configuration.features.handle_invalid}"; '
                f'needs both a path and "{QUARANTINE}", or neither'
            )
        )
    if path is None or not asked:
        return
    if is_remote(spark):
        faults.add(
            ConfigurationError("output.quarantine: got a path over Spark Connect, whose client cannot move files")
        )
        return
    files = files_of(spark)
    source, _ = locate_input(spark, configuration.input)
    model = configuration.model if isinstance(configuration, ScoreConfiguration) else None
    key = "output.path" if isinstance(configuration, ScoreConfiguration) else "output.model"
    sound = True
    for other, folder in (("input.path", source), ("model", model), (key, target)):
        if folder is not None:
            sound &= faults.passes(require_apart, files, "output.quarantine", path, other, folder)
            sound &= faults.passes(require_apart, files, other, folder, "output.quarantine", path)
    report = configuration.output.report
    if report is not None:
        faults.passes(require_apart, files, "output.report", report, "output.quarantine", path)
    if sound:
        faults.passes(require_writable_folder, files, "output.quarantine", path)
    if rows is not None:
        folded = {fold(rows, name) for name in rows.columns}
        clash = [name for name in ADDED if fold(rows, name) in folded]
        if clash or len(folded) < len(rows.columns):
            told = f"already has {', '.join(clash)}" if clash else "has two columns of one name"
            faults.add(DataError(f"output.quarantine: the table {told}; rename it, or leave the quarantine out"))


def plan_bad_rows(plan: Plan, configuration: FitConfiguration | SelectConfiguration | ScoreConfiguration) -> None:
    """Add to a plan what becomes of bad rows."""
    features, path = configuration.features, configuration.output.quarantine
    limit = f", at most {features.max_bad_fraction:.3%} of the rows" if features.max_bad_fraction < 1 else ""
    plan.add("features", f"bad rows: {features.handle_invalid}{limit}")
    if features.handle_invalid == "marginal":
        plan.add("features", "null and NaN are missing values: bad are rows without any value, or with an infinite one")
    if path is not None:
        plan.add("features", f"bad rows go to {path}, in a directory of the run")
