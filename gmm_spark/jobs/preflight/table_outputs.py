"""The tables that score and sample write: checked before the work, and told of by a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gmm_spark.jobs.config.sections import InputSection, TableOutputSection
from gmm_spark.jobs.io.destinations import Destination, open_destination
from gmm_spark.jobs.io.outputs import require_apart, require_writable_folder
from gmm_spark.jobs.io.table_output import require_report
from gmm_spark.jobs.preflight.columns import describe_columns
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.storage.hadoop import files_of, is_remote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_BY_MODE = {
    "error": "a new table",
    "append": "files are added to the table",
    "overwrite": "all files of the table are replaced",
}


def check_table(
    faults: Faults,
    spark: SparkSession,
    output: TableOutputSection,
    model: str | None,
    source: InputSection | None = None,
) -> Destination | None:
    """Find outputs that could not be written later, or that lie in what the job reads.

    Parameters
    ----------
    faults : Faults
    spark : SparkSession
    output : TableOutputSection
    model : str or None
        Path of the model that the job reads.
    source : InputSection, optional
        The table that it reads.

    Returns
    -------
    Destination or None
        Where the rows go; None if there is a fault.
    """
    files = files_of(spark)
    destination = faults.attempt(open_destination, spark, output, source)
    folder = output.path if destination is None else destination.folder
    faults.passes(require_report, files, output, None if source is None else source.path, folder)
    for key, path in (("output.path", output.path), ("output.report", output.report)):
        if path is not None:
            faults.passes(require_apart, files, key, path, "model", model)
    if output.path is not None and not is_remote(spark):  # the server writes, to where a client may not reach
        faults.passes(require_writable_folder, files, "output.path", output.path, beside=True)
    return destination


def plan_table(
    plan: Plan, rows: DataFrame, output: TableOutputSection, destination: Destination, partition_by: Sequence[str]
) -> None:
    """Add to a plan where rows would go, and what they would replace."""
    files = files_of(rows.sparkSession)
    if not destination.exists():
        told = _BY_MODE["error"]
    elif output.mode == "overwrite" and partition_by:
        told = "the partitions that have rows are replaced, and no others"
    else:
        told = _BY_MODE[output.mode]
    plan.add("output", f"{output.path or output.table}: {told}")
    if partition_by:
        plan.add("output", f"partitions by {', '.join(partition_by)}")
    plan.add("output", f"columns {describe_columns(rows, rows.columns)}")
    if output.report is not None:
        plan.add(
            "output", f"{output.report} (output.report): {'replaced' if files.exists(output.report) else 'a new file'}"
        )
