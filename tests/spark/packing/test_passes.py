"""One pass over a packed table: its sums, their order, and sums that are too large for the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from gmm_spark import MixtureParameters
from gmm_spark.core.kernels.distance_draw import DrawRequest
from gmm_spark.core.kernels.evaluation import EvaluationSums
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.kernels.weight_sums import WeightSums
from gmm_spark.core.kernels.weighted_draw import WeightedDraw
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import ResourceError
from gmm_spark.spark import results
from gmm_spark.spark.packing import held, limits, passes
from gmm_spark.spark.packing.blocks import Handle
from gmm_spark.spark.packing.pieces import Piece
from gmm_spark.spark.packing.sources import PieceTask
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.schema import Schema
from tests.oracles import sklearn_mixture
from tests.tables import array_table, found_features, rough_start, three_blobs

ROWS = three_blobs(500)
WEIGHT = 0.5 + np.arange(len(ROWS), dtype=float) % 4
SUMS = ("rows", "weight_sum", "log_likelihood", "resp_sum", "first", "second")


@pytest.fixture(scope="module")
def packed(spark: SparkSession) -> Iterator[PackedTable]:
    table = array_table(spark, ROWS, partitions=5, weight=WEIGHT)
    with PackedTable(table, found_features(table, weight_col="w")) as blocks:
        yield blocks


@pytest.fixture(scope="module")
def candidates(packed: PackedTable) -> list[MixtureParameters]:
    """Of every structure, in centred coordinates."""
    kinds = ("full", "tied", "diag", "spherical", "full")
    ks = (3, 2, 4, 1, 2)
    return [rough_start(ROWS, k, kind).shifted(-packed.moments.mean) for k, kind in zip(ks, kinds, strict=True)]


def assert_same_sums(ours: SufficientStatistics, theirs: SufficientStatistics, rtol: float) -> None:
    """Equal up to ``rtol`` of what was added up: sums about a mean may cancel to zero."""
    np.testing.assert_array_equal(ours.reference, theirs.reference)
    added_up = ours.weight_sum * ROWS.std()
    for name in SUMS:
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * added_up, err_msg=name)


def test_packing_takes_the_tables_moments(packed: PackedTable) -> None:
    mean = np.average(ROWS, axis=0, weights=WEIGHT)
    assert packed.rows == packed.moments.rows == len(ROWS)
    assert packed.moments.weight_sum == WEIGHT.sum()
    np.testing.assert_allclose(packed.moments.mean, mean, rtol=1e-14)
    np.testing.assert_allclose(
        packed.moments.variance, np.average((ROWS - mean) ** 2, axis=0, weights=WEIGHT), rtol=1e-13
    )
    np.testing.assert_array_equal(packed.moments.constant, np.zeros(ROWS.shape[1], bool))


def test_one_pass_gives_every_candidate_the_sums_of_the_same_rows_in_memory(
    packed: PackedTable, candidates: list[MixtureParameters]
) -> None:
    in_memory = ArrayTable(np.ascontiguousarray(ROWS.T), WEIGHT)
    expected = in_memory.expect([c.shifted(packed.moments.mean - in_memory.moments.mean) for c in candidates])
    for ours, theirs in zip(packed.expect(candidates), expected, strict=True):
        assert_same_sums(ours, theirs, 1e-11)


def test_a_pass_agrees_with_responsibilities_of_scikit_learn(
    packed: PackedTable, candidates: list[MixtureParameters]
) -> None:
    for candidate, found in zip(candidates, packed.expect(candidates), strict=True):
        oracle = sklearn_mixture(candidate.shifted(packed.moments.mean))
        resp = oracle.predict_proba(ROWS) * WEIGHT[:, None]
        np.testing.assert_allclose(found.resp_sum, resp.sum(axis=0), rtol=1e-10)
        assert found.log_likelihood == pytest.approx(oracle.score_samples(ROWS) @ WEIGHT, rel=1e-10)
        first = resp.T @ (ROWS - packed.moments.mean) - resp.sum(axis=0)[:, None] * found.reference
        np.testing.assert_allclose(found.first, first, rtol=1e-9, atol=1e-8)


def test_an_evaluation_agrees_with_scikit_learn(packed: PackedTable, candidates: list[MixtureParameters]) -> None:
    for candidate in candidates:
        oracle = sklearn_mixture(candidate.shifted(packed.moments.mean))
        resp = oracle.predict_proba(ROWS)
        entropy = -np.where(resp > 0, resp * np.log(np.maximum(resp, 1e-300)), 0.0).sum(axis=1) @ WEIGHT
        found = packed.evaluate(candidate)
        assert (found.rows, found.weight_sum) == (len(ROWS), WEIGHT.sum())
        assert found.log_likelihood == pytest.approx(oracle.score_samples(ROWS) @ WEIGHT, rel=1e-11)
        assert found.entropy == pytest.approx(entropy, rel=1e-8, abs=1e-9)
        sizes = np.bincount(oracle.predict(ROWS), minlength=candidate.n_components)
        np.testing.assert_array_equal(found.cluster_sizes, sizes)


def test_the_same_pass_twice_gives_the_same_bits(packed: PackedTable, candidates: list[MixtureParameters]) -> None:
    for ours, theirs in zip(packed.expect(candidates), packed.expect(candidates), strict=True):
        for name in SUMS:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize("slice_length", [1, 7, 10_000])
def test_sums_added_by_slices_have_the_bits_of_sums_added_on_the_driver(
    spark: SparkSession,
    packed: PackedTable,
    candidates: list[MixtureParameters],
    monkeypatch: pytest.MonkeyPatch,
    slice_length: int,
) -> None:
    candidates = candidates[:2]
    on_driver = packed.expect(candidates)
    added: list[object] = []
    monkeypatch.setattr(passes, "DRIVER_SUM_BYTES", 0)
    monkeypatch.setattr(passes, "SLICE_LENGTH", slice_length)
    repartition = type(spark.range(1)).repartition

    def noticed(self: DataFrame, *how: object) -> DataFrame:
        added.append(how)
        return repartition(self, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(type(spark.range(1)), "repartition", noticed)
    by_slice = packed.expect(candidates)
    assert added, "the sliced path was not taken"
    for ours, theirs in zip(by_slice, on_driver, strict=True):
        for name in SUMS:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


def test_a_lost_file_is_noticed_if_sums_are_added_by_slices(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, block_files: Callable[[], list[Path]]
) -> None:
    table = array_table(spark, ROWS, partitions=3)
    before = set(block_files())
    with PackedTable(table, found_features(table)) as blocks:
        start = rough_start(ROWS).shifted(-blocks.moments.mean)
        (expected,) = blocks.expect([start])
        for file in sorted(set(block_files()) - before)[:2]:
            file.unlink()
        monkeypatch.setattr(passes, "DRIVER_SUM_BYTES", 0)
        monkeypatch.setattr(passes, "SLICE_LENGTH", 5)
        (found,) = blocks.expect([start])
    assert_same_sums(found, expected, 0.0)


def test_sums_that_no_driver_could_hold_are_refused_before_the_pass(
    packed: PackedTable, candidates: list[MixtureParameters], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_VECTOR_BYTES", 500)
    touched: list[str] = []
    monkeypatch.setattr(type(packed.blocks.source), "map_pieces", lambda *_: touched.append("a job"))
    with pytest.raises(ResourceError, match=r"[\d,]+ bytes of sums .*limit 500.*lower k.*diag or spherical"):
        packed.expect(candidates)
    assert not touched


def test_moments_of_parts_are_the_moments_of_the_whole() -> None:
    whole = Moments.of(ROWS.T, WEIGHT)
    parts = sum((Moments.of(ROWS[i::7].T, WEIGHT[i::7]) for i in range(7)), Moments.zero(3))
    for name in ("rows", "weight_sum", "mean", "scatter", "observed"):  # any two values of a feature are low and high
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, err_msg=name)
    assert parts.weights.effective_rows == pytest.approx(whole.weights.effective_rows, rel=1e-12)
    np.testing.assert_array_equal(parts.constant, whole.constant)


@dataclass
class Here:
    """Source of pieces in memory: its tasks read some of those that the table has."""

    spark: SparkSession
    pieces: list[Handle]
    read: list[int]

    def map_pieces(self, task: PieceTask, schema: Schema, products: int) -> Any:  # itself in place of a DataFrame
        self._found = task(Piece(number, iter([(np.ones((3, 4)), np.ones(4))])) for number in self.read)
        return self

    def collect(self) -> list[dict[str, object]]:
        return [row for batch in self._found for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("read", "complete"), [([0, 1, 5], True), ([5, 0, 1], True), ([0, 1], False), ([0, 1, 1, 5], False), ([], False)]
)
def test_a_pass_whose_pieces_are_missing_or_duplicated_has_no_answer(
    spark: SparkSession, read: list[int], complete: bool
) -> None:
    source = Here(spark, [Handle(number, "", 4, 4, 3, "float64", False) for number in (0, 1, 5)], read)
    sums = EvaluationSums(plan_pass([rough_start(ROWS, 2, "diag")], np.zeros(3), np.ones(3)))
    draw = DrawRequest(np.zeros(3), np.ones(3), np.zeros((3, 1)), 3, 0, 40.0)
    weighted = WeightedDraw(5, WeightSums.of(np.ones(12)))
    summed, drawn = passes.collect_sums(source, sums), passes.collect_draw(source, draw)
    sampled = passes.collect_weighted_sample(source, weighted, 0, 3)
    assert [answer is not None for answer in (summed, drawn, sampled)] == [complete] * 3
    if complete:
        assert sums.read(summed)[0].rows == 12
        assert sampled[0].shape == (3, 5)


# Results that one job may not bring


@pytest.fixture
def little_per_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may bring 2,000 bytes: some sixty rows of three features and their weight."""
    monkeypatch.setattr(results, "bytes_per_job", lambda spark: 2_000)


def count_jobs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    jobs: list[object] = []

    def counted(rows: DataFrame) -> list[Row]:
        jobs.append(rows)
        return results.collect(rows)

    monkeypatch.setattr(held, "collect", counted)
    return jobs


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_that_comes_in_several_jobs_is_the_same_sample(
    spark: SparkSession,
    streaming: bool,
    weighted: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = array_table(spark, ROWS, partitions=5, weight=WEIGHT)
    features = found_features(table, weight_col="w" if weighted else None)
    with PackedTable(table, features, streaming=streaming) as blocks:
        rows, weight = blocks.sample(300, 4)
        request.getfixturevalue("little_per_job")
        jobs = count_jobs(monkeypatch)
        again, weight_again = blocks.sample(300, 4)
        # Of weighted rows, tasks send keys as well, and of more rows than are chosen.
        assert len(jobs) > 8 if weighted else len(jobs) == -(-8 * 300 * 3 // 2_000)
    np.testing.assert_array_equal(again, rows)
    np.testing.assert_array_equal(weight_again, weight)


def test_draws_that_come_in_several_jobs_are_the_same_draws(
    packed: PackedTable, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = DrawRequest(packed.moments.mean, np.sqrt(packed.moments.variance), np.zeros((3, 1)), 3, 0, 40.0)
    expected = packed.draw(draw)
    request.getfixturevalue("little_per_job")
    jobs = count_jobs(monkeypatch)
    found = packed.draw(draw)
    assert len(jobs) > 1
    for name in ("rows", "weight", "keys", "cells", "cost"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@pytest.mark.usefixtures("little_per_job")
def test_moments_that_come_in_several_jobs_are_the_same_moments(spark: SparkSession, packed: PackedTable) -> None:
    table = array_table(spark, ROWS, partitions=5, weight=WEIGHT)
    with PackedTable(table, found_features(table, weight_col="w")) as again:
        np.testing.assert_array_equal(again.moments.vector(), packed.moments.vector())


def test_a_vector_that_spark_does_not_let_through_is_refused_with_the_setting(
    packed: PackedTable, candidates: list[MixtureParameters], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "max_result_bytes", lambda spark: 500)
    with pytest.raises(ResourceError, match=r"[\d,]+ bytes of sums .*maxResultSize allows 500.*raise .*maxResultSize"):
        packed.expect(candidates)


def test_a_sample_is_cut_to_the_drivers_memory_with_a_warning(
    packed: PackedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "available_bytes", lambda: 8 * 3 * limits.SAMPLE_COPIES * 100)
    with pytest.warns(RuntimeWarning, match=r"64 rows and not sampleRows=300: the driver can get 19,200 bytes"):
        rows, _ = packed.sample(300, 4)
    assert rows.shape == (3, 64)
    monkeypatch.setattr(limits, "available_bytes", lambda: None)
    assert packed.sample(300, 4)[0].shape == (3, 300)
