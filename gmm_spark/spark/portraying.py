"""Portraying: what the rows of any table look like beside a mixture, by one read of the table."""

from __future__ import annotations

from pyspark.sql import DataFrame

from gmm_spark.core.kernels.weight_kinds import FREQUENCY
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.core.portrait.sums import PortraitSums
from gmm_spark.core.steps import step
from gmm_spark.spark.columns import Features, require_rows
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.spark.folding import fold_table, plan_unseen


def portray(
    table: DataFrame,
    parameters: MixtureParameters,
    features: Features,
    frame: Frame,
    strict: bool,
    precision: str = "float64",
    weight_kind: str = FREQUENCY,
) -> Portrait:
    """Make the portrait of a table's rows beside a mixture: one read, nothing written.

    Raises
    ------
    DataError
        If a row is bad and ``strict``, no good row has weight, or the table is a stream.
    """
    sums = PortraitSums(plan_unseen(parameters, precision, features), frame, features.names)
    with step("portrait"), describe_jobs(table.sparkSession, "portrait"):
        vector, bad = fold_table(table, sums, features, strict, weight_kind)
    require_rows(int(sums.layout.unpack(vector)["rows"]), bad, features)
    return sums.read(vector)
