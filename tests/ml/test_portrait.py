"""The portrait that a fit ends with, and that of any table: what the definitions make of the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.core.steps import timing
from gmm_spark.errors import DataError, ResourceError
from gmm_spark.spark import folding
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.storage.answers import KeptAnswers
from gmm_spark.storage.files import LocalFiles
from tests.tables import mixture, three_blobs

NAMES = ["x", "y", "z"]
ROWS = three_blobs(600)
WEIGHTS = np.random.default_rng(5).integers(1, 4, len(ROWS)).astype(float)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    frame = pd.DataFrame(ROWS, columns=NAMES).assign(w=WEIGHTS)
    return spark.createDataFrame(frame).repartition(3).cache()


def assert_same(found: Portrait, expected: Portrait, factor: float = 1.0) -> None:
    """Compare two portraits whose weights differ by a factor."""
    assert found.rows == expected.rows
    assert found.weight_sum == pytest.approx(factor * expected.weight_sum)
    for name in ("histograms", "component_histograms", "pair_histograms", "confusion", "certainty"):
        one, other = getattr(found, name), factor * getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8, err_msg=name)
    for name in ("means", "spreads", "least_likely_means", "other_spreads"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8, err_msg=name)
    assert found.least_likely == pytest.approx(factor * expected.least_likely)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_ends_with_the_portrait_that_the_definitions_make(table: DataFrame, weighted: bool) -> None:
    estimator = GaussianMixture(inputCols=NAMES, k=3, seed=1, nInit=2, portrait=True)
    if weighted:
        estimator.setWeightCol("w")
    with timing() as seconds:
        model = estimator.fit(table)
    portrait = model.summary.portrait
    assert portrait is not None
    assert portrait.feature_names == tuple(NAMES)
    weight = WEIGHTS if weighted else None
    assert_same(portrait, Portrait.of(model.parameters, ROWS.T, weight, portrait.frame))
    assert portrait.least_likely / portrait.weight_sum == pytest.approx(0.01, abs=0.005)
    assert "portrait" in seconds
    # The sample is the whole table, up to the order of its rows.
    tree, expected = model.summary.mergeTree, MergeTree.of(model.parameters, ROWS.T, weight)
    assert tree is not None
    assert tree.clusters(2) == expected.clusters(2)
    np.testing.assert_allclose(tree.entropies, expected.entropies, atol=1e-9)


def test_without_the_parameter_a_fit_makes_no_pass_for_it_and_the_mixture_is_the_same(table: DataFrame) -> None:
    estimator = GaussianMixture(inputCols=NAMES, k=2, seed=1, nInit=1)
    plain, drawn = (estimator.setPortrait(one).fit(table) for one in (False, True))
    assert plain.summary.portrait is None
    assert plain.summary.mergeTree is None
    assert drawn.summary.packing.passes == plain.summary.packing.passes + 1
    assert np.array_equal(plain.covariances, drawn.covariances)


def test_a_selection_portrays_the_mixture_that_it_chose(table: DataFrame) -> None:
    model = GaussianMixtureSelector(inputCols=NAMES, ks=[1, 3], seed=1, nInit=1, portrait=True).fit(table)
    portrait = model.summary.portrait
    assert portrait is not None
    assert_same(portrait, Portrait.of(model.parameters, ROWS.T, None, portrait.frame))


def test_a_fit_that_is_begun_again_recalls_its_portrait(table: DataFrame, tmp_path: Path) -> None:
    def fit(number: int) -> tuple[Portrait, KeptAnswers]:
        store = KeptAnswers(LocalFiles(), str(tmp_path), number)
        estimator = GaussianMixture(inputCols=NAMES, k=2, seed=1, nInit=1, portrait=True).setAnswerStore(store)
        portrait = estimator.fit(table).summary.portrait
        assert portrait is not None
        return portrait, store

    first, kept = fit(1)
    again, recalled = fit(2)
    assert (recalled.recalled, recalled.kept) == (kept.kept, 0)
    assert np.array_equal(first.confusion, again.confusion)


def test_a_fit_stands_if_there_is_no_memory_for_its_portrait(table: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Portrait:
        raise ResourceError("too many sums")

    monkeypatch.setattr(PackedTable, "portray", refuse)
    with pytest.warns(RuntimeWarning, match="the fit has no portrait: too many sums"):
        model = GaussianMixture(inputCols=NAMES, k=2, seed=1, nInit=1, portrait=True).fit(table)
    assert model.summary.portrait is None


@pytest.mark.classic("an accumulator counts the reads")
@pytest.mark.parametrize("groups", [0, 2])
def test_any_table_is_portrayed_in_one_read(table: DataFrame, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_SMALL_VECTOR", 0 if groups else 1 << 40)
    monkeypatch.setattr(folding, "_MOST_GROUPS", groups or 1)
    model = GaussianMixtureModel(mixture(d=3).shifted(np.full(3, 20.0)))
    model.setInputCols(NAMES)
    reads = table.sparkSession.sparkContext.accumulator(0)

    def count(frames):
        for frame in frames:
            reads.add(len(frame))
            yield frame

    counted = table.mapInPandas(count, table.schema)
    portrait = model.portray(counted)
    assert_same(portrait, Portrait.of(model.parameters, ROWS.T, None, portrait.frame))
    assert reads.value == len(ROWS)
    again = model.portray(table.where("x > 20"), frame=portrait.frame)
    assert np.array_equal(again.frame.edges, portrait.frame.edges)


def test_a_loaded_model_portrays_rounded_values_in_the_bins_of_its_fit(table: DataFrame, tmp_path: Path) -> None:
    whole = table.select(*(F.round(F.col(name)).alias(name) for name in NAMES))
    fitted = GaussianMixture(inputCols=NAMES, k=2, seed=1, nInit=1, maxIter=5, portrait=True).fit(whole)
    assert fitted.summary.roundingSteps == [1.0, 1.0, 1.0]
    fitted.save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    assert_same(loaded.portray(whole), fitted.summary.portrait)
    assert np.array_equal(loaded.portray(whole).frame.edges % 1, np.full((3, 65), 0.5))


@pytest.mark.parametrize("factor", [1.0, 2.0**40])
def test_importance_weights_give_one_portrait_whatever_their_unit(table: DataFrame, factor: float) -> None:
    model = GaussianMixtureModel(mixture(d=3).shifted(np.full(3, 20.0)))
    model.setInputCols(NAMES)
    model.setWeightCol("w").setWeightKind("importance")
    portrait = model.portray(table.withColumn("w", F.col("w") * factor))
    expected = Portrait.of(model.parameters, ROWS.T, WEIGHTS, portrait.frame)
    assert_same(portrait, expected, portrait.weight_sum / expected.weight_sum)


def test_a_table_without_usable_rows_is_refused(table: DataFrame) -> None:
    model = GaussianMixtureModel(mixture(d=3))
    model.setInputCols(NAMES)
    with pytest.raises(DataError, match="no usable row"):
        model.portray(table.where("x < -1e9"))
    with pytest.raises(DataError, match="null"):
        model.portray(table.withColumn("x", F.when(F.col("x") > 20, F.col("x"))))
