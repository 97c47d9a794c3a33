"""Score a table with a saved model.

``spark-submit jobs/score.py --config conf/score.toml`` or ``python jobs/score.py …``; ``--help`` lists every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.jobs.config.sections import ScoreConfiguration
from gmm_spark.jobs.io.publishing import require_publishable
from gmm_spark.jobs.io.tables import (
    feature_parameters,
    read_table,
    require_columns,
    require_partitioning,
    select_columns,
    write_table,
)
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def score(spark: SparkSession, configuration: ScoreConfiguration) -> None:
    """Read the table, append the model's columns, publish the result and the report."""
    # Here, not above: faults in a configuration are told before Spark is loaded.
    from pyspark.sql import Observation
    from pyspark.sql.functions import col, count, count_if, lit

    from gmm_spark import GaussianMixtureModel

    features, output = configuration.features, configuration.output
    report = RunReport(configuration)
    if output.mode != "append":
        overwrite = output.mode == "overwrite"
        require_publishable(spark, "output.path", output.path, overwrite, 'output.mode = "overwrite"')
    with report.timed("read"):
        model = GaussianMixtureModel.load(configuration.model)
        rows = read_table(spark, configuration.input)
    require_columns(rows, "output.columns", output.columns)
    if features.columns is not None:
        model.clear(model.inputCols)
        for name, value in feature_parameters(rows, features.columns).items():
            model.set(model.getParam(name), value)
    model.setHandleInvalid(features.handle_invalid)
    model.setPredictionCol(output.prediction)
    model.setLogDensityCol(output.log_density)
    model.setProbabilityCol(output.probability)
    model.setAnomalyCol(output.anomaly).setAnomalyFraction(output.anomaly_fraction)

    # Counted while the rows go by: asking again would read the table twice.
    read, written = Observation("read"), Observation("written")
    outputs = [name for name in (output.probability, output.prediction, output.log_density, output.anomaly) if name]
    scored = model.transform(rows.observe(read, count(lit(1)).alias("rows")))
    scored = select_columns(scored, output.columns, outputs)
    require_partitioning(scored, output.partition_by)
    counts = [count(lit(1)).alias("rows"), count(col(outputs[0])).alias("scored")]
    if output.anomaly:
        counts.append(count_if(col(output.anomaly)).alias("anomalies"))
    scored = scored.observe(written, *counts)
    with report.timed("score"):
        write_table(scored, output.path, output.mode, output.partition_by)

    rows_in, rows_out, rows_scored = read.get["rows"], written.get["rows"], written.get["scored"]
    report.add("rows", read=rows_in, scored=rows_scored, unscored=rows_out - rows_scored, dropped=rows_in - rows_out)
    anomalies = ""
    if output.anomaly:
        report.add("rows", anomalies=written.get["anomalies"])
        anomalies = f"{written.get['anomalies']:,} anomalies, "
    report.write(spark, output.report)
    print(
        f"score: {rows_in:,} rows read, {rows_scored:,} scored, {rows_out - rows_scored:,} kept without a score, "
        f"{anomalies}{rows_in - rows_out:,} dropped; table in {output.path}"
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default the process's own, and end the process with its exit code."""
    run(score, ScoreConfiguration, arguments)
