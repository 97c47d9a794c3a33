"""The condition of a job's input decides which files are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gmm_spark import GaussianMixtureModel, MixtureParameters
from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.jobs.io.tables import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_condition_on_a_partition_column_reads_only_its_partitions(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spark.range(9).selectExpr("double(id) x", "id % 3 dt").write.partitionBy("dt").parquet(str(tmp_path / "days"))
    rows = read_table(spark, InputSection(path=str(tmp_path / "days"), where="dt = 2"))
    model = GaussianMixtureModel(MixtureParameters([1.0], [[0.0]], [1.0], "spherical"))
    model.setInputCols(["x"]).transform(rows).explain("formatted")
    assert re.search(r"PartitionFilters: \[.*dt#\d+ = 2", capsys.readouterr().out)
