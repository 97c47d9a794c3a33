"""Answers that are kept: recalled for the same question on the same rows, and for no other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureSelector
from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.accumulators import Sums
from gmm_spark.core.settings import Settings
from gmm_spark.spark.packing import table as table_module
from gmm_spark.spark.packing.answers import make_digest
from gmm_spark.spark.packing.passes import collect_sums
from gmm_spark.spark.packing.sources import Source
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.storage.answers import KeptAnswers
from gmm_spark.storage.files import LocalFiles
from tests.tables import found_features, mixture


@dataclass(frozen=True)
class Point:
    x: float
    y: float


@dataclass(frozen=True)
class Pair:
    x: float
    y: float


def test_a_digest_is_of_kinds_and_contents() -> None:
    array = np.arange(6.0).reshape(2, 3)
    values = [
        None, 0, False, 0.0, -0.0, "0", b"0", "", (), ("",), ("", ""), (("",), ""), {"a": 1}, {"a": 2}, array, array.T,
        array.astype(np.float32), array.ravel(), Point(1.0, 2.0), Pair(1.0, 2.0), Point(2.0, 1.0), Settings(k=2),
        Settings(k=3), mixture(), mixture(seed=4), mixture("diag"),
    ]  # fmt: skip
    assert len({make_digest(value) for value in values}) == len(values)
    assert make_digest(array[:, ::-1]) == make_digest(array[:, ::-1].copy())
    with pytest.raises(TypeError, match="object has no digest"):
        make_digest([object()])


@pytest.fixture
def table(spark: SparkSession) -> DataFrame:
    rng = np.random.default_rng(8)
    rows = np.concatenate([rng.normal(centre, 1.0, (2000, 2)) for centre in ([0, 0], [2, 1], [1, 3])])
    return spark.createDataFrame(pd.DataFrame(rows, columns=["x", "y"])).repartition(3).cache()


def count_sums(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one at each pass that sums over the rows."""
    passes: list[int] = []

    def counted(source: Source, sums: Sums[object]) -> Array | None:
        passes.append(sums.length)
        return collect_sums(source, sums)

    monkeypatch.setattr(table_module, "collect_sums", counted)
    return passes


def fit(table: DataFrame, store: KeptAnswers | None, tol: float = 1e-4, **params: Any) -> tuple[bytes, ...]:
    """Fit, and return the model's parameters and what a pass says of them, to the bit."""
    estimator = GaussianMixture(**{"k": 3, "inputCols": ["x", "y"], "seed": 1, "tol": tol, "nInit": 2, **params})
    model = estimator.setAnswerStore(store).fit(table)
    parameters = model.parameters
    arrays = parameters.weights, parameters.means, parameters.covariances, np.float64(model.summary.logLikelihood)
    return tuple(array.tobytes() for array in arrays)


def test_a_fit_goes_on_from_any_number_of_kept_answers_to_the_same_bits(
    table: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = KeptAnswers(LocalFiles(), str(tmp_path / "whole"), 1)
    # Starts on the whole table: it is small, and would be fitted on the sample in few passes.
    expected = fit(table, whole, sampleRows=0, maxIter=9)
    assert expected == fit(table, None, sampleRows=0, maxIter=9)
    written = sorted((tmp_path / "whole/_answers").iterdir())
    assert len(written) == whole.kept > 5
    for n in (1, len(written) // 2, len(written)):
        folder = tmp_path / f"first-{n}"
        (folder / "_answers").mkdir(parents=True)
        for path in written[:n]:
            (folder / "_answers" / path.name).write_bytes(path.read_bytes())
        passes = count_sums(monkeypatch)
        again = KeptAnswers(LocalFiles(), str(folder), 2)
        assert fit(table, again, sampleRows=0, maxIter=9) == expected
        assert (again.recalled, again.kept) == (n, whole.kept - n)
        assert len(passes) == whole.kept - n
        monkeypatch.undo()


def test_other_rows_other_types_and_other_weights_recall_nothing(table: DataFrame, tmp_path: Path) -> None:
    fit(table, KeptAnswers(LocalFiles(), str(tmp_path), 1))
    others: dict[str, tuple[DataFrame, dict[str, Any]]] = {
        "rows": (table.where("x < 4"), {}),
        "combinations": (table.selectExpr("y as x", "x as y"), {}),
        "precision": (table, {"precision": "float32"}),
        "weights": (table.withColumn("w", table.x * 0 + 1), {"weightCol": "w"}),
    }
    for name, (rows, params) in others.items():
        store = KeptAnswers(LocalFiles(), str(tmp_path), 2, every=1e9)
        assert fit(rows, store, **params) == fit(rows, None, **params), name
        assert store.recalled == 0, name


def test_a_stricter_tolerance_goes_on_where_the_looser_ended(table: DataFrame, tmp_path: Path) -> None:
    first = KeptAnswers(LocalFiles(), str(tmp_path), 1)
    fit(table, first, tol=1e-3, nInit=1, accelerate=False, sampleRows=0)
    second = KeptAnswers(LocalFiles(), str(tmp_path), 2)
    assert fit(table, second, tol=1e-6, nInit=1, accelerate=False, sampleRows=0) == fit(
        table, None, tol=1e-6, nInit=1, accelerate=False, sampleRows=0
    )
    assert second.recalled >= first.kept - 1 > 3


def test_a_selection_recalls_its_starts_and_passes(table: DataFrame, tmp_path: Path) -> None:
    def select(store: KeptAnswers | None) -> list[tuple[float, ...]]:
        selector = GaussianMixtureSelector(ks=[2, 3], covarianceTypes=["full", "diag"], inputCols=["x", "y"], seed=1)
        selection = selector.setAnswerStore(store).fit(table).summary.selection
        return [(one.k, one.logLikelihood, one.bic) for one in selection.rows]

    first = KeptAnswers(LocalFiles(), str(tmp_path), 1)
    expected = select(first)
    second = KeptAnswers(LocalFiles(), str(tmp_path), 2)
    assert select(second) == expected == select(None)
    assert (second.recalled, second.kept) == (first.kept, 0)


def test_streamed_blocks_and_files_have_one_checksum(table: DataFrame) -> None:
    features = found_features(table, input_cols=["x", "y"])
    checksums = set()
    for rows, streaming in ((table, False), (table, True), (table.repartition(7), False)):
        with PackedTable(rows, features, streaming=streaming) as packed:
            checksums.add(packed.blocks.packing.checksum)
    assert len(checksums) == 1
