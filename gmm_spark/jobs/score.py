"""Score a table with a saved model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.jobs.bad_rows import count_reasons, quarantine, resolve_model_features, spell_handling
from gmm_spark.jobs.config.jobs import ScoreConfiguration, ScoreOutputSection
from gmm_spark.jobs.drift import DriftGate
from gmm_spark.jobs.io.tables import (
    drop_replaced,
    feature_parameters,
    read_table,
    require_columns,
    select_columns,
)
from gmm_spark.jobs.preflight.columns import check_model_features
from gmm_spark.jobs.preflight.extent import measure, plan_extent
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.models import plan_model
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.jobs.preflight.quarantine import check_quarantine, plan_bad_rows
from gmm_spark.jobs.preflight.table_outputs import check_table, plan_table
from gmm_spark.jobs.preflight.workers import check_workers
from gmm_spark.jobs.run.lineage import tell_lineage
from gmm_spark.jobs.run.naming import name_run
from gmm_spark.jobs.run.plans import show_plan
from gmm_spark.jobs.run.publishing import published
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.saved import locate_model
from gmm_spark.spark.names import quote
from gmm_spark.storage.hadoop import files_of, is_remote
from gmm_spark.storage.runs import Located

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation, SparkSession

    from gmm_spark.spark.columns import Features


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(score, ScoreConfiguration, arguments)


def score(spark: SparkSession, configuration: ScoreConfiguration) -> None:
    """Read the table, append the model's columns, publish the result and the report."""
    with name_run(spark, configuration.job, configuration.run.id) as run_id:
        _score(spark, configuration, run_id)


def _score(spark: SparkSession, configuration: ScoreConfiguration, run_id: str) -> None:
    from pyspark.sql import Observation

    from gmm_spark.spark.columns import require_few_bad
    from gmm_spark.spark.decoding import describe_bad

    output = configuration.output
    report, faults = RunReport(configuration, run_id), Faults()
    destination = check_table(faults, spark, output, configuration.model, configuration.input)
    most = configuration.features.max_bad_fraction
    can_wait = not (is_remote(spark) or (destination is not None and destination.commits_by_itself))
    if most < 1 and not can_wait:
        faults.add(
            ConfigurationError(
                f"features.max_bad_fraction: got {most:g}, but the table is written before its rows are counted over "
                "Spark Connect, and if its catalog commits by itself; write to output.path by spark-submit"
            )
        )
    with report.timed("read"):
        model, saved = faults.attempt(load_model, spark, configuration.model, report) or (None, None)
        rows = faults.attempt(read_table, spark, configuration.input)
    # Count the rows while they are written: counting them separately would read the table twice.
    read, written, gate = Observation("read"), Observation("written"), DriftGate(configuration.drift)
    with report.timed("check", spark):
        workers = check_workers(faults, spark, "gmm_spark.spark.scoring")
        scored = check_columns(faults, model, rows, configuration, read, gate)
        partition_by = None
        if scored is not None and destination is not None:
            partition_by = faults.attempt(destination.require_fit, scored, output.partition_by)
    check_quarantine(faults, spark, configuration, rows, None if destination is None else destination.folder)
    if output.quarantine is not None and destination is not None and destination.commits_by_itself:
        faults.add(
            ConfigurationError("output.quarantine: got a path, but the catalog of output.table commits by itself")
        )
    faults.require_none()
    assert model is not None  # or there was a fault
    assert rows is not None
    assert scored is not None
    assert destination is not None
    assert partition_by is not None
    if configuration.run.dry_run:
        plan = Plan(configuration.job)
        plan_extent(plan, configuration.input, measure(spark, configuration.input, rows))
        plan_model(plan, model, saved)
        plan_bad_rows(plan, configuration)
        plan_table(plan, scored, output, destination, partition_by)
        plan.add("output", f"run {run_id}")
        plan.add("drift", gate.describe())
        show_plan(plan, spark, workers, configuration)
        return
    counts: dict[str, int] = {}

    def look() -> None:
        counts.update(compare_counts(read.get, written.get))
        if not counts["read"] and not configuration.input.allow_empty:
            raise DataError(
                "the input has no row: check input.where and the table; if that may be so, set input.allow_empty"
            )
        report.add("rows", **counts)
        gate.judge(report, bad_rows=counts["read"] - counts["scored"])

    def refuse_bad_rows() -> None:
        bad = counts["read"] - counts["scored"]
        if output.quarantine is not None:
            features = resolve_model_features(model, rows)
            assert features is not None  # the model knows their number
            quarantine(rows, features, output.quarantine, "score", report, bad)
        if bad and bad / counts["read"] > most:
            reasons = count_reasons(model, rows)
            report.add("rows", bad=reasons)
            with suppress(Exception):  # that the rows are bad matters more
                report.write(spark, output.report)
            require_few_bad(bad, counts["read"], most, f": {describe_bad(reasons)}")

    def approve() -> None:
        look()
        refuse_bad_rows()
        if gate.breaches and gate.stops_before:
            report.write(spark, output.report)
            raise gate.explain(f"the new rows were not put in place, {output.path or output.table} is as it was")

    with report.timed("score", spark):
        observed = count_outputs(scored, written, output)
        before = approve if can_wait or gate.stops_before else None
        destination.write(observed, partition_by, "score", run_id, before)
    with published(f"the {destination.describe()} is written"):
        if not counts:
            look()
        tell_lineage(rows_written=counts["scored"] + counts["unscored"])
        report.write(spark, output.report)
    print(f"{describe(counts)}; run {run_id}, {destination.describe()}" + (f"; {gate.message}" if gate.message else ""))
    if gate.breaches:
        raise gate.explain(f"the {destination.describe()} is written")


def load_model(spark: SparkSession, path: str, report: RunReport) -> tuple[gmm_spark.GaussianMixtureModel, Located]:
    """Load the model that a path stands for, and add to the report which it is; return it, and where it was saved."""
    saved = locate_model(files_of(spark), "model", path)
    report.add("model", path=saved.path, run_id=saved.run_id)
    return gmm_spark.GaussianMixtureModel.load(saved.path), saved


def check_columns(
    faults: Faults,
    model: gmm_spark.GaussianMixtureModel | None,
    rows: DataFrame | None,
    configuration: ScoreConfiguration,
    read: Observation,
    gate: DriftGate,
) -> DataFrame | None:
    """Return the scored table, whose rows will be counted when they are read; None if columns do not allow it."""
    output = configuration.output
    if rows is None:
        return None
    kept = faults.passes(require_columns, rows, "output.columns", output.columns)
    if model is None or not check_model_features(faults, rows, model, configuration.features.columns) or not kept:
        return None
    return faults.attempt(append_columns, model, rows, configuration, read, gate)


def append_columns(
    model: gmm_spark.GaussianMixtureModel,
    rows: DataFrame,
    configuration: ScoreConfiguration,
    read: Observation,
    gate: DriftGate,
) -> DataFrame:
    """Return the columns to keep, and those of the model."""
    output = configuration.output
    set_columns(model, rows, configuration)
    features = model.input_columns or [model.getFeaturesCol()]
    appended = [*name_outputs(output), *(f"{name}{output.impute}" for name in features if output.impute)]
    rows = drop_replaced(rows, output.columns, features, appended)
    counted = count_rows(rows, read, resolve_model_features(model, rows))
    return select_columns(gate.transform(model, counted, output.impute or None), output.columns, appended)


def set_columns(model: gmm_spark.GaussianMixtureModel, rows: DataFrame, configuration: ScoreConfiguration) -> None:
    """Tell the model which columns to read and to write, and what to do with bad rows."""
    features, output = configuration.features, configuration.output
    if features.columns is not None:
        model.clear(model.inputCols)
        for name, value in feature_parameters(rows, features.columns).items():
            model.set(model.getParam(name), value)
    model.setHandleInvalid(spell_handling(features.handle_invalid))
    model.setPredictionCol(output.prediction)
    model.setComponentIdCol(output.component_id)
    model.setLogDensityCol(output.log_density)
    model.setProbabilityCol(output.probability)
    model.setAnomalyCol(output.anomaly).setAnomalyFraction(output.anomaly_fraction).setReasonsCol(output.reasons)


def name_outputs(output: ScoreOutputSection) -> list[str]:
    """List the columns that the model appends, in its order."""
    names = (output.probability, output.prediction, output.component_id, output.log_density, output.anomaly)
    return [name for name in (*names, output.reasons) if name]


def count_rows(rows: DataFrame, observation: Observation, features: Features | None) -> DataFrame:
    """Return the rows, which will be counted when they are read, and those with missing values if these are scored."""
    from pyspark.sql.functions import count, count_if, lit

    counts = [count(lit(1)).alias("rows")]
    if features is not None and features.missing:
        counts.append(count_if(features.has_missing()).alias("incomplete"))
    return rows.observe(observation, *counts)


def count_outputs(scored: DataFrame, observation: Observation, output: ScoreOutputSection) -> DataFrame:
    """Return the scored table. When it is written, its rows, those with a score and the anomalies will be counted."""
    from pyspark.sql.functions import col, count, count_if, lit

    counts = [count(lit(1)).alias("rows"), count(col(quote(name_outputs(output)[0]))).alias("scored")]
    if output.anomaly:
        counts.append(count_if(col(quote(output.anomaly))).alias("anomalies"))
    return scored.observe(observation, *counts)


def compare_counts(read: Mapping[str, int], written: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of rows that were read, scored, kept without a score and dropped.

    Also those with missing values, if these are scored, and of anomalies if they are marked.
    """
    counts = {
        "read": read["rows"],
        "scored": written["scored"],
        "unscored": written["rows"] - written["scored"],
        "dropped": read["rows"] - written["rows"],
    }
    if "incomplete" in read:
        counts["incomplete"] = read["incomplete"]
    return {**counts, "anomalies": written["anomalies"]} if "anomalies" in written else counts


def describe(counts: Mapping[str, int]) -> str:
    """Return the beginning of the job's last line: what became of the rows."""
    anomalies = f"{counts['anomalies']:,} anomalies, " if "anomalies" in counts else ""
    incomplete = f"{counts['incomplete']:,} with missing values, " if "incomplete" in counts else ""
    return (
        f"score: {counts['read']:,} rows read, {incomplete}{counts['scored']:,} scored, {counts['unscored']:,} kept "
        f"without a score, {anomalies}{counts['dropped']:,} dropped"
    )
