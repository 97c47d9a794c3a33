"""A table that is no longer what the model was fitted on: code 3, and the last lines name column or file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixtureModel
from tests.jobs.conftest import Outcome
from tests.tables import mixture

Run = Callable[..., Outcome]
ROWS = np.random.default_rng(0).normal(size=(40, 2))
DAY = pa.table({"x": ROWS[:, 0], "why": ROWS[:, 1]})


@pytest.fixture(scope="module")
def fitted(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model"
    GaussianMixtureModel(mixture("full"), ["x", "why"]).setInputCols(["x", "why"]).save(str(path))
    return path


def retype(values: pa.Array | list[object]) -> pa.Table:
    return DAY.set_column(1, "why", values if isinstance(values, pa.Array) else pa.array(values))


def write(folder: Path, *parts: pa.Table | bytes) -> None:
    folder.mkdir()
    for number, part in enumerate(parts):
        path = folder / f"part-{number}.parquet"
        if isinstance(part, bytes):
            path.write_bytes(part)
        else:
            pq.write_table(part, path)


def whole(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        pytest.param([DAY.drop_columns(["why"])], "the table lacks why", id="a column is gone"),
        pytest.param([DAY.rename_columns(["x", "wherefore"])], "the table lacks why", id="a column has another name"),
        pytest.param([retype(["1.5"] * 40)], "why is string", id="a column is text"),
        pytest.param([retype([True] * 40)], "why is boolean", id="a column is boolean"),
        pytest.param([retype([[1.0]] * 40)], "why is array", id="a column is an array"),
        pytest.param([retype(pa.array([0] * 40, pa.timestamp("us")))], "why is timestamp", id="a column is a time"),
        pytest.param([DAY, retype(["1.5"] * 40)], "why", id="a column is text in one of the files"),
        pytest.param([DAY, whole(DAY)[:-200]], "part-1.parquet", id="a file was cut"),
        pytest.param([DAY, b"no table"], "part-1.parquet", id="a file is something else"),
    ],
)
def test_a_day_that_the_model_cannot_read_ends_with_code_3_and_names_what_has_changed(
    run_job: Run, fitted: Path, tmp_path: Path, parts: list[pa.Table | bytes], named: str
) -> None:
    write(tmp_path / "day", *parts)
    done = run_job("score", "--model", fitted, "--input.path", tmp_path / "day", "--output.path", tmp_path / "scored")
    assert done.code == 3, done.err
    assert named in "\n".join(done.err.splitlines()[-3:])
    assert not (tmp_path / "scored").exists()


def test_a_day_with_its_columns_in_another_order_and_of_whole_numbers_is_scored_as_before(
    run_job: Run, fitted: Path, tmp_path: Path
) -> None:
    numbers = pa.table({"x": [0, 1, 2], "why": [3, 4, 5]})
    days = {"before": numbers.cast(pa.schema({"x": pa.float64(), "why": pa.float64()}).with_metadata(None))}
    days["after"] = numbers.select(["why", "x"])
    scores = {}
    for name, table in days.items():
        write(tmp_path / name, table)
        done = run_job(
            "score", "--model", fitted, "--input.path", tmp_path / name, "--output.path", tmp_path / f"{name}-scored"
        )
        assert done.code == 0, done.err
        read = pq.read_table(tmp_path / f"{name}-scored").sort_by("x")
        scores[name] = read["log_density"].to_pylist()
    assert scores["before"] == scores["after"]
