"""Bad rows of the tables that jobs read: their counts, and their quarantine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gmm_spark.errors import DataError
from gmm_spark.jobs.io.table_output import write_table
from gmm_spark.jobs.preflight.quarantine import QUARANTINE
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark import GaussianMixtureModel
    from gmm_spark.jobs.run.report import RunReport
    from gmm_spark.spark.columns import Features


def spell_handling(handle_invalid: str) -> str:
    """Return a job's way with bad rows as pyspark.ml spells it: rows in quarantine are skipped."""
    return "skip" if handle_invalid == QUARANTINE else handle_invalid


def count_reasons(model: GaussianMixtureModel, rows: DataFrame) -> dict[str, int]:
    """Read a table again, and count its bad rows by reason and feature, as a model's features are read."""
    from gmm_spark.spark.verdicts import count_bad

    features = resolve_model_features(model, rows)
    return {} if features is None else dict(count_bad(rows, features))


def resolve_model_features(model: GaussianMixtureModel, rows: DataFrame) -> Features | None:
    """Return how a model reads the features of a table."""
    from gmm_spark.spark.columns import resolve_features

    features = resolve_features(rows, model.getFeaturesCol(), model.input_columns, None, model.numFeatures)
    return None if features is None else replace(features, missing=model.getHandleInvalid() == "marginal")


def quarantine(rows: DataFrame, features: Features, path: str, job: str, report: RunReport, bad: int) -> None:
    """Write the bad rows of a table to a directory of the run's own, in place of what an earlier attempt left there.

    The table is read once more if it has any. They have all columns of the table, and ``_reason`` and ``_column``.

    Parameters
    ----------
    rows : DataFrame
    features : Features
    path : str
        Directory of the quarantine.
    job : str
    report : RunReport
        Is told how many rows are where.
    bad : int
        Bad rows that the job has counted.

    Raises
    ------
    DataError
        If other rows are bad now: the table has changed since the job read it.
    """
    from pyspark.sql import Observation
    from pyspark.sql.functions import count, lit

    from gmm_spark.spark.verdicts import select_bad

    folder = f"{path.rstrip('/')}/run_id={report.run_id}"

    def require_same() -> None:
        found = written.get["rows"]
        if found != bad:
            raise DataError(
                f"the table has changed while the job read it: {bad:,} rows were bad, now {found:,} are; run it again"
            )

    if bad or files_of(rows.sparkSession).exists(folder):
        written = Observation("quarantined")
        counted = select_bad(rows, features).observe(written, count(lit(1)).alias("rows"))
        write_table(counted, folder, "overwrite", (), job, run_id=report.run_id, approve=require_same)
    report.add("rows", quarantined=bad, quarantine=folder if bad else None)
    print(f"{job}: {bad:,} bad rows in quarantine" + f", {folder}" * bool(bad))
