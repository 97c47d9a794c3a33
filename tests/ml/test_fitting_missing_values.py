"""Fits to tables with missing values: exact EM, whatever the road of the blocks, the search or the structure."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, MixtureParameters
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.core.missing import counts
from gmm_spark.core.missing.density import log_density
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import DataError
from gmm_spark.ml.facts import list_facts
from gmm_spark.report import write_report
from gmm_spark.spark.packing import gathering as gathering_module
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.storage.answers import KeptAnswers
from gmm_spark.storage.files import LocalFiles
from tests.examples import faithful, iris, matched
from tests.ml.test_portrait import assert_same
from tests.tables import found_features

NAMES = ["a", "b", "c", "d"]


def with_holes(rows: np.ndarray, a: int, b: int, c: int, q: int) -> np.ndarray:
    """Values (d, m) of which that of row i and column j is missing where (a i + b j + c) mod q = 0."""
    j, i = np.indices(rows.shape)
    return np.where((a * i + b * j + c) % q == 0, np.nan, rows)


IRIS = with_holes(iris(), 7, 13, 1, 6)


def to_table(spark: SparkSession, rows: np.ndarray, names: Sequence[str] = NAMES, partitions: int = 2) -> DataFrame:
    """Table of rows (d, m), with NaN and null in turn for missing values."""
    frame = pd.DataFrame(rows.T, columns=list(names[: len(rows)]))
    table = spark.createDataFrame(frame)
    nulls = [F.when(F.isnan(name), None).otherwise(F.col(name)).alias(name) for name in frame.columns[::2]]
    return table.select(*nulls, *frame.columns[1::2]).select(*frame.columns).repartition(partitions)


@pytest.fixture(scope="module")
def flowers(spark: SparkSession) -> DataFrame:
    return to_table(spark, IRIS).cache()


def estimator(**settings: Any) -> GaussianMixture:
    return GaussianMixture(**{"k": 2, "inputCols": NAMES, "handleInvalid": "marginal", "tol": 1e-10, **settings})


@pytest.fixture(scope="module")
def fitted(flowers: DataFrame) -> GaussianMixtureModel:
    return estimator().fit(flowers)


@pytest.mark.parametrize(
    ("rows", "k", "holes", "log_likelihood"),
    [
        (faithful(), 2, (3, 5, 0, 7), -987.277776),
        (iris(), 2, (7, 13, 1, 6), -218.806114),
        (iris(), 3, (7, 13, 1, 6), -195.060343),
    ],
    ids=["faithful", "iris-2", "iris-3"],
)
def test_a_fit_of_many_starts_reaches_the_published_likelihood(spark, rows, k, holes, log_likelihood) -> None:
    names = NAMES[: len(rows)]
    table = to_table(spark, with_holes(rows, *holes))
    summary = estimator(k=k, inputCols=names, maxIter=500).fit(table).summary
    assert summary.logLikelihood == pytest.approx(log_likelihood, abs=1e-3)
    bounds = [record.lower_bound for record in summary.history]
    assert min(np.diff(bounds), default=0.0) >= -1e-12
    parameters = {2: 5, 4: 14}[len(rows)] * k + k - 1
    assert summary.bic == pytest.approx(-2 * summary.logLikelihood + parameters * np.log(rows.shape[1]))


def test_the_summary_and_the_facts_of_a_run_tell_what_is_missing(fitted) -> None:
    missing = fitted.summary.missing
    absent = np.isnan(IRIS)
    assert missing.rows == absent.any(axis=0).sum()
    assert missing.columns == {name: int(n) for name, n in zip(NAMES, absent.sum(axis=1), strict=True) if n}
    assert missing.patterns == len(np.unique(absent, axis=1).T) - 1
    assert fitted.summary.skipped == {}
    facts = json.loads(json.dumps(list_facts(fitted)["rows"]))
    assert facts["missing"] == {"rows": missing.rows, "columns": missing.columns, "patterns": missing.patterns}
    assert "rows with missing values" in fitted.summary.describe().index


def test_the_likelihood_is_that_of_what_was_observed(fitted, flowers) -> None:
    by_hand = log_density(fitted.parameters, IRIS).sum()
    assert fitted.summary.logLikelihood == pytest.approx(by_hand, rel=1e-9)
    assert fitted.logLikelihood(flowers) == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("form", ["array", "vector"])
def test_arrays_and_vectors_are_fitted_alike(fitted, flowers, form) -> None:
    nan = F.array(*(F.coalesce(F.col(name), F.lit(float("nan"))) for name in NAMES))
    features = F.array(*NAMES) if form == "array" else array_to_vector(nan)
    model = estimator(inputCols=None, k=2).fit(flowers.select(features.alias("features")))
    assert model.summary.missing.rows == fitted.summary.missing.rows
    assert model.summary.logLikelihood == pytest.approx(fitted.summary.logLikelihood, abs=1e-6)


def test_streamed_blocks_and_lost_ones_give_the_same_sums(flowers, monkeypatch) -> None:
    """Blocks through Spark, and files lost and packed again, hold the same rows and runs."""
    features = found_features(flowers, input_cols=NAMES)
    features = replace(features, missing=True)
    found = []
    for streaming in (False, True):
        with PackedTable(flowers, features, strict=False, streaming=streaming) as table:
            start = fitted_start(table)
            found.append(table.expect([start])[0])
            if not streaming:
                for handle in table.blocks.packing.handles:
                    Path(handle.path).unlink()
                found.append(table.expect([start])[0])
                assert table.blocks.misses == 1
    for other in found[1:]:
        assert other.log_likelihood == found[0].log_likelihood
        assert np.array_equal(other.second, found[0].second)


def fitted_start(table: PackedTable) -> MixtureParameters:
    means = np.array([[-1.0, 0.1, -1.0, -0.5], [1.0, 0.0, 1.0, 0.5]])
    return MixtureParameters([0.5, 0.5], means, np.broadcast_to(np.diag(table.moments.variance), (2, 4, 4)))


def test_without_missing_values_the_mode_changes_no_bit(spark) -> None:
    table = to_table(spark, iris(), partitions=3)
    plain, marginal = (
        GaussianMixture(k=3, inputCols=NAMES, nInit=3, handleInvalid=handling).fit(table)
        for handling in ("error", "marginal")
    )
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(plain.parameters, name), getattr(marginal.parameters, name))
    assert plain.summary.logLikelihood == marginal.summary.logLikelihood
    assert plain.summary.history[0].lower_bound == marginal.summary.history[0].lower_bound
    assert marginal.summary.missing.rows == 0


def test_rows_without_a_value_and_infinite_ones_are_left_out_and_counted(spark) -> None:
    rows = IRIS.copy()
    rows[:, 0], rows[1, 1] = np.nan, np.inf
    summary = estimator(nInit=2).fit(to_table(spark, rows)).summary
    assert summary.numRows == 148
    assert summary.skipped == {"missing value for every feature": 1, "infinite feature in b": 1}


def test_weights_count_rows(spark) -> None:
    twice = pd.DataFrame(IRIS.T, columns=NAMES)
    weighted = spark.createDataFrame(twice.assign(w=2.0))
    model = estimator(weightCol="w", nInit=2).fit(weighted)
    again = estimator(nInit=2).fit(spark.createDataFrame(pd.concat([twice, twice])))
    assert model.summary.logLikelihood == pytest.approx(again.summary.logLikelihood, abs=1e-5)


def test_a_selector_compares_mixtures_of_rows_with_missing_values(flowers) -> None:
    selector = GaussianMixtureSelector(
        ks=[1, 2],
        covarianceTypes=["full", "tied", "diag", "spherical"],
        inputCols=NAMES,
        handleInvalid="marginal",
        nInit=2,
        validationFraction=0.3,
        criterion="bic",
    )
    model = selector.fit(flowers)
    rows = model.summary.selection.rows
    assert all(not row.failure for row in rows)
    assert all(np.isfinite(row.heldout) for row in rows)
    assert (model.getK(), model.getCovarianceType()) == (2, "full")
    assert model.summary.missing.rows > 0


@pytest.mark.parametrize("settings", [{"initMode": "k-means||"}, {"precision": "float32"}, {"sampleRows": 0}])
def test_other_roads_of_the_search_end_at_the_same_optimum(fitted, flowers, settings) -> None:
    model = estimator(nInit=4, tol=1e-6, **settings).fit(flowers)
    assert model.summary.logLikelihood == pytest.approx(fitted.summary.logLikelihood, abs=0.05)


def test_a_fit_goes_on_from_a_model(fitted, flowers) -> None:
    model = estimator(tol=1e-8).setInitialModel(fitted).fit(flowers)
    assert model.summary.numIter <= 2
    order = matched(model.parameters, fitted.parameters.means)
    np.testing.assert_allclose(model.parameters.means[order], fitted.parameters.means, atol=1e-5)


def test_too_many_patterns_are_refused_with_the_columns_to_drop(spark, monkeypatch) -> None:
    monkeypatch.setattr(counts, "MAX_PATTERNS", 3)
    monkeypatch.setattr(gathering_module, "MAX_PATTERNS", 3)
    with patch.object(counts.require_few_patterns, "__defaults__", (3,)), pytest.raises(DataError) as refusal:
        estimator().fit(to_table(spark, IRIS))
    assert "different patterns of missing columns" in str(refusal.value)
    assert any(f"drop {name!r}" in str(refusal.value) for name in NAMES)


def test_a_column_without_a_value_is_refused(spark) -> None:
    rows = IRIS.copy()
    rows[2] = np.nan
    with pytest.raises(DataError, match="no value in any row that has weight: 'c'"):
        estimator().fit(to_table(spark, rows))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_ends_with_the_portrait_that_the_definitions_make_and_any_table_has_one(spark, weighted) -> None:
    weight = (1 + np.arange(150) % 3).astype(np.float64)
    frame = pd.DataFrame(IRIS.T, columns=NAMES).assign(w=weight)
    table = spark.createDataFrame(frame).repartition(3)
    model = estimator(nInit=2, portrait=True, **({"weightCol": "w"} if weighted else {})).fit(table)
    portrait = model.summary.portrait
    assert model.summary.mergeTree is not None
    expected = Portrait.of(model.parameters, IRIS, weight if weighted else None, portrait.frame)
    for found in (portrait, model.portray(table)):
        assert_same(found, expected)
        assert found.observed.patterns == expected.observed.patterns
        np.testing.assert_allclose(found.observed.shares, expected.observed.shares, rtol=1e-7)


def test_a_table_of_complete_rows_has_the_portrait_that_it_has_without_the_mode(fitted, spark) -> None:
    table = to_table(spark, iris())
    marginal = fitted.portray(table)
    plain = fitted.copy().setHandleInvalid("error").portray(table)
    assert marginal.observed is None
    assert marginal.to_dict() == plain.to_dict()


def test_a_table_of_too_many_patterns_is_not_portrayed(fitted, flowers) -> None:
    with patch.object(counts.require_few_patterns, "__defaults__", (3,)), pytest.raises(DataError, match="drop '"):
        fitted.portray(flowers)


def test_the_page_of_a_fit_to_rows_with_missing_values_shows_them(flowers, fitted, tmp_path) -> None:
    write_report(fitted, tmp_path / "page.html", flowers, anomalies=3)
    page = (tmp_path / "page.html").read_text()
    assert "have missing values. A log-density is over the features that a row has" in page
    assert "The 3 least likely rows of the table that was read" in page
    assert "could not be drawn" not in page


def test_a_fit_to_rows_of_which_none_is_complete_knows_no_log_densities(spark) -> None:
    rows = np.where(np.arange(150) % 4 == np.arange(4)[:, None], np.nan, iris())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        model = estimator(nInit=2).fit(to_table(spark, rows))
    assert model.logDensities is None
    assert model.trainingProfile is None
    assert model.summary.missing.patterns == 4


def test_a_fit_that_was_killed_goes_on_from_its_last_pass_to_the_same_bits(flowers, tmp_path) -> None:
    def fit(number: int, most: int = 1000) -> tuple[GaussianMixtureModel, KeptAnswers]:
        def stop(record: PassRecord) -> None:
            if record.iteration >= most:
                raise KeyboardInterrupt

        store = KeptAnswers(LocalFiles(), str(tmp_path), number)
        one = estimator(sampleRows=0, nInit=2, portrait=True, seed=3).setAnswerStore(store).setCallback(stop)
        try:
            return one.fit(flowers), store
        finally:
            stores.append(store)

    stores: list[KeptAnswers] = []
    with pytest.raises(KeyboardInterrupt):
        fit(1, most=3)
    again, resumed = fit(2)
    assert 0 < stores[0].kept <= resumed.recalled
    assert resumed.kept > 0
    whole = estimator(sampleRows=0, nInit=2, portrait=True, seed=3).fit(flowers)
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(again.parameters, name), getattr(whole.parameters, name))
    assert again.summary.logLikelihood == whole.summary.logLikelihood
    assert np.array_equal(again.summary.portrait.confusion, whole.summary.portrait.confusion)
