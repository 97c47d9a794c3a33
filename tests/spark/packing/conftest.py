"""Fixtures of the tests of packing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pyspark.sql import DataFrame, SparkSession

from gmm_spark.spark.packing import packer as packer_module
from gmm_spark.spark.packing import pieces as pieces_module
from gmm_spark.spark.packing import recovery as recovery_module
from gmm_spark.spark.packing.cluster import survey_cluster
from tests.spark.packing.fits import ROWS, WEIGHT
from tests.tables import array_table


@pytest.fixture(scope="module")
def several_pieces() -> Iterator[None]:
    """Every file of more than one block is cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces_module, "PIECE_ROWS", 1)
        yield


@pytest.fixture
def several_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cores seem to be on two hosts: passes go where Spark has cached the handles."""
    monkeypatch.setattr(recovery_module, "survey_cluster", lambda spark: replace(survey_cluster(spark), hosts=2))


@pytest.fixture(params=["one host", "several hosts"])
def hosts(request: pytest.FixtureRequest) -> None:
    """Passes share out listed pieces, as on one host, or go where Spark has cached the handles."""
    if request.param == "several hosts":
        request.getfixturevalue("several_hosts")


@pytest.fixture
def five_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores and the bound on the tasks of packing: 3 + 2."""
    monkeypatch.setattr(packer_module, "PACK_TASKS", 3)
    monkeypatch.setattr(packer_module, "PACK_TASKS_PER_CORE", 1)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Iterator[DataFrame]:
    """Three partitions of rows and weights."""
    found = array_table(spark, ROWS, partitions=3, weight=WEIGHT).persist()
    yield found
    found.unpersist()
