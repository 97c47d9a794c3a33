"""Held tables: small ones, over which the driver makes short passes itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureSelector
from gmm_spark.core.kernels.distance_draw import DrawRequest
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.spark import results
from gmm_spark.spark.packing import carrying
from gmm_spark.spark.packing import held as held_module
from gmm_spark.spark.packing import packer as packer_module
from gmm_spark.spark.packing.carrying import carried_rows, limit_carried
from gmm_spark.spark.packing.held import Held
from gmm_spark.spark.packing.record import PackingRecord
from gmm_spark.spark.packing.sources import Listed
from gmm_spark.spark.packing.table import PackedTable
from tests.spark.packing.fits import ROWS, START, Files, assert_same_bits
from tests.tables import found_features

pytestmark = pytest.mark.usefixtures("several_pieces")


@pytest.fixture
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pass may run as a Spark job."""

    def refuse(rows: DataFrame) -> None:
        raise AssertionError("a pass went to Spark")

    monkeypatch.setattr(held_module, "collect", refuse)


def ask(table: PackedTable) -> dict[str, Any]:
    """Ask a table all that a fit asks."""
    start = START.shifted(-table.moments.mean)
    (sums,), judged = table.expect([start]), table.evaluate(start)
    found: dict[str, Any] = {name: getattr(sums, name) for name in ("rows", "resp_sum", "first", "second")}
    found |= {"log_likelihood": judged.log_likelihood, "entropy": judged.entropy, "moments": table.moments.vector()}
    found["few"], found["few_weights"] = table.sample(100, 3)
    found["all"], found["all_weights"] = table.sample(1_000, 3)
    found["extent"] = table.extent()
    if not table.patterns:
        draw = DrawRequest(np.zeros(3), np.ones(3), np.zeros((3, 1)), 5, 0, 40.0)
        found["drawn"] = table.draw(draw).rows
        profile = ColumnProfile.of(found["all"], found["all_weights"])
        frame = Frame.of(START, profile.quartiles, profile.step, profile.mode, None)
        found["portrait"] = table.portray(start, frame).histograms
    return found


@pytest.mark.parametrize(
    "kind", ["plain", "frequencies", "importances", "narrow", "missing values", "bad rows", "empty partitions"]
)
def test_a_held_table_gives_the_bits_that_spark_gives_without_a_job(
    table: DataFrame, kind: str, request: pytest.FixtureRequest
) -> None:
    weight = "w" if kind in ("frequencies", "importances") else None
    choice: dict[str, Any] = {"strict": kind != "bad rows", "weight_kind": "frequency"}
    if kind == "importances":
        choice["weight_kind"] = "importance"
        table = table.withColumn("w", F.col("w") * 1e-300)
    elif kind == "narrow":
        table = table.withColumn("features", F.col("features").cast("array<float>"))
        choice["precision"] = "float32"
    elif kind == "missing values":
        hole = F.when(F.col("id") % 5 == 0, F.lit(None).cast("double")).otherwise(F.col("features")[1])
        table = table.withColumn("features", F.array(F.col("features")[0], hole, F.col("features")[2]))
    elif kind == "bad rows":
        table = table.withColumn("features", F.when(F.col("id") % 10 != 0, F.col("features")))
    elif kind == "empty partitions":
        table = table.repartition(7, F.lit(1))
    features = replace(found_features(table, weight_col=weight), missing=kind == "missing values")
    with PackedTable(table, features, **choice) as through_spark:
        assert isinstance(through_spark.blocks.source, Listed)
        expected = ask(through_spark)
    with PackedTable(table, features, held_rows=10 * len(ROWS), **choice) as held:
        assert isinstance(held.blocks.source, Held)
        assert held.bad == through_spark.bad
        request.getfixturevalue("no_jobs")
        found = ask(held)
        assert held.blocks.record.passes == through_spark.blocks.record.passes
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value, err_msg=name)


@pytest.mark.usefixtures("hosts")
def test_long_passes_over_a_held_table_go_to_spark_and_survive_lost_files(
    table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_module, "HELD_PRODUCTS", 1_000.0)  # a sample takes 1,800 multiplications
    with PackedTable(table, found_features(table)) as through_spark:
        expected = ask(through_spark)
    with PackedTable(table, found_features(table), held_rows=len(ROWS)) as held:
        assert isinstance(held.blocks.source, Held)
        for handle in held.blocks.packing.handles:
            Path(handle.path).unlink()
        found = ask(held)
        assert held.blocks.misses == 1  # Spark looked for the files
        assert isinstance(held.blocks.source, Held)
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("case", ["more rows", "uneven", "streamed"])
def test_a_table_that_may_not_be_held_is_left_to_spark(spark: SparkSession, table: DataFrame, case: str) -> None:
    if case == "uneven":  # all rows are in the last of many partitions, whose share is small
        rows = spark.range(0, 60 * len(ROWS), 1, 60).where(F.col("id") >= 59 * len(ROWS))
        table = rows.select(F.array(*(F.sin(F.col("id") * i) for i in (1, 2, 3))).alias("features"))
    streaming, most = case == "streamed", len(ROWS) - (case == "more rows")
    with PackedTable(table, found_features(table), streaming=streaming, held_rows=most) as packed:
        assert not isinstance(packed.blocks.source, Held)
        assert packed.blocks.packing.contents is None
        assert not packed.blocks.record.held
        assert packed.sample(1_000, 0)[0].shape == (3, len(ROWS))


@given(st.integers(1, 10_000_000), st.integers(1, 1_000))
def test_even_partitions_carry_all_rows(rows: int, tasks: int) -> None:
    assert all(carried_rows(rows, task) >= -(-rows // tasks) for task in range(tasks))


@pytest.mark.parametrize("allowed", [0, 1_000_000, 100_000_000])
def test_tasks_carry_no_more_bytes_than_a_job_may_bring(
    spark: SparkSession, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "bytes_per_job", lambda spark: allowed)
    rows = limit_carried(spark, 100_000, 3, 1_000)
    assert 8 * 4 * sum(carried_rows(rows, task) for task in range(1_000)) <= allowed
    assert rows == 100_000 if allowed > 8 * 4 * 100_000 * 16 else rows < 100_000
    assert limit_carried(spark, 100, 3, 1_000) == (100 if allowed else 0)


# Fits


@pytest.fixture
def steps_of_spark(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passes that went to Spark."""
    asked: list[str] = []

    def collect(rows: DataFrame) -> list[Row]:
        asked.append("a pass")
        return results.collect(rows)

    monkeypatch.setattr(held_module, "collect", collect)
    return asked


def test_a_fit_holds_a_table_of_no_more_rows_than_its_sample(
    table: DataFrame, steps_of_spark: list[str], block_files: Files
) -> None:
    before = set(block_files())
    settings: dict[str, Any] = {
        "maxIter": 5,
        "tol": 0.0,
        "accelerate": False,
        "weightCol": "w",
        "varianceFloor": [1e-6] * 3,
    }
    held = GaussianMixture(sampleRows=len(ROWS), **settings).setInitialModel(START).fit(table)
    assert held.summary.packing == PackingRecord(
        packings=1,
        passes=7,  # a sample, and the evaluation
        bytes_written=len(ROWS) * 4 * 8,
        read_by="spark",
        reason=held.summary.packing.reason,
        held=True,
    )
    assert not steps_of_spark
    for rows in (len(ROWS) - 1, 0):
        asked = GaussianMixture(sampleRows=rows, **settings).setInitialModel(START).fit(table)
        assert not asked.summary.packing.held
        assert_same_bits(held, asked)
    assert len(steps_of_spark) == 14
    assert not set(block_files()) - before


def test_a_selection_holds_the_rows_that_it_fits_and_those_held_out(
    table: DataFrame, steps_of_spark: list[str]
) -> None:
    selector = GaussianMixtureSelector(ks=[1, 2], nInit=1, maxIter=3, validationFraction=0.3, criterion="heldout")
    assert selector.fit(table).summary.packing.held
    assert not steps_of_spark


@pytest.mark.parametrize("local", [True, False])
def test_files_are_removed_by_the_driver_or_by_tasks(
    table: DataFrame, block_files: Files, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(block_files())
    jobs: list[str] = []

    def collect(rows: DataFrame) -> list[Row]:
        jobs.append("removal")
        return results.collect(rows)

    monkeypatch.setattr(packer_module, "is_local", lambda spark: local)
    with PackedTable(table, found_features(table)):
        left = sorted(set(block_files()) - before)
        assert len(left) == 3
        retried = left[0].with_name(left[0].name.replace(".blocks", "-of-a-task-that-ran-twice.blocks"))
        retried.write_bytes(b"")
        monkeypatch.setattr(packer_module, "collect", collect)
    assert not set(block_files()) - before
    assert jobs == ([] if local else ["removal"])


def test_rows_reach_the_driver_as_they_lie_in_the_file(table: DataFrame) -> None:
    with PackedTable(table, found_features(table, weight_col="w"), held_rows=len(ROWS)) as packed:
        contents = packed.blocks.packing.contents
        assert contents is not None
        assert {path: bytes(content) for path, content in contents.items()} == {
            handle.path: Path(handle.path).read_bytes() for handle in packed.blocks.packing.handles
        }
