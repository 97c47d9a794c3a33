"""Score a table with a saved model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.jobs.config.jobs import ScoreConfiguration, ScoreOutputSection
from gmm_spark.jobs.io.table_output import require_partitioning, require_same_table, require_writable, write_table
from gmm_spark.jobs.io.tables import (
    drop_replaced,
    feature_parameters,
    quote,
    read_table,
    require_columns,
    select_columns,
)
from gmm_spark.jobs.run.publishing import published
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import find_model

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation, SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(score, ScoreConfiguration, arguments)


def score(spark: SparkSession, configuration: ScoreConfiguration) -> None:
    """Read the table, append the model's columns, publish the result and the report."""
    from pyspark.sql import Observation

    output = configuration.output
    report = RunReport(configuration)
    require_writable(spark, output, configuration.input.path)
    with report.timed("read"):
        saved = find_model(files_of(spark), configuration.model)
        model = gmm_spark.GaussianMixtureModel.load(saved.path)
        report.add("model", path=saved.path, run_id=saved.run_id)
        rows = read_table(spark, configuration.input)
    require_columns(rows, "output.columns", output.columns)
    set_columns(model, rows, configuration)
    features = model.input_columns or [model.getFeaturesCol()]
    rows = drop_replaced(rows, output.columns, features, name_outputs(output))
    # Count the rows while they are written: counting them separately would read the table twice.
    read, written = Observation("read"), Observation("written")
    scored = select_columns(model.transform(count_rows(rows, read)), output.columns, name_outputs(output))
    partition_by = require_partitioning(scored, output.partition_by)
    require_same_table(scored, output.path, output.mode, partition_by)
    with report.timed("score", spark):
        write_table(count_outputs(scored, written, output), output.path, output.mode, partition_by)
    with published(f"the table in {output.path} is written"):
        counts = compare_counts(read.get, written.get)
        report.add("rows", **counts)
        report.write(spark, output.report)
    print(describe(counts, output.path))


def set_columns(model: gmm_spark.GaussianMixtureModel, rows: DataFrame, configuration: ScoreConfiguration) -> None:
    """Tell the model which columns to read and to write, and what to do with bad rows."""
    features, output = configuration.features, configuration.output
    if features.columns is not None:
        model.clear(model.inputCols)
        for name, value in feature_parameters(rows, features.columns).items():
            model.set(model.getParam(name), value)
    model.setHandleInvalid(features.handle_invalid)
    model.setPredictionCol(output.prediction)
    model.setLogDensityCol(output.log_density)
    model.setProbabilityCol(output.probability)
    model.setAnomalyCol(output.anomaly).setAnomalyFraction(output.anomaly_fraction)


def name_outputs(output: ScoreOutputSection) -> list[str]:
    """List the columns that the model appends, in its order."""
    return [name for name in (output.probability, output.prediction, output.log_density, output.anomaly) if name]


def count_rows(rows: DataFrame, observation: Observation) -> DataFrame:
    """Return the rows, which will be counted when they are read."""
    from pyspark.sql.functions import count, lit

    return rows.observe(observation, count(lit(1)).alias("rows"))


def count_outputs(scored: DataFrame, observation: Observation, output: ScoreOutputSection) -> DataFrame:
    """Return the scored table. When it is written, its rows, those with a score and the anomalies will be counted."""
    from pyspark.sql.functions import col, count, count_if, lit

    counts = [count(lit(1)).alias("rows"), count(col(quote(name_outputs(output)[0]))).alias("scored")]
    if output.anomaly:
        counts.append(count_if(col(quote(output.anomaly))).alias("anomalies"))
    return scored.observe(observation, *counts)


def compare_counts(read: Mapping[str, int], written: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of rows that were read, scored, kept without a score and dropped, and of anomalies if any."""
    counts = {
        "read": read["rows"],
        "scored": written["scored"],
        "unscored": written["rows"] - written["scored"],
        "dropped": read["rows"] - written["rows"],
    }
    return {**counts, "anomalies": written["anomalies"]} if "anomalies" in written else counts


def describe(counts: Mapping[str, int], path: str) -> str:
    """Return the job's last line: what became of the rows."""
    anomalies = f"{counts['anomalies']:,} anomalies, " if "anomalies" in counts else ""
    return (
        f"score: {counts['read']:,} rows read, {counts['scored']:,} scored, {counts['unscored']:,} kept without a "
        f"score, {anomalies}{counts['dropped']:,} dropped; table in {path}"
    )
