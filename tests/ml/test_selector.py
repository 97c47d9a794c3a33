"""Choosing k and the structure: the right ones, in shared passes over one packed table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.errors import DataError, DegenerateComponentError, ParameterError
from gmm_spark.ml import fitting as fitting_module
from gmm_spark.ml import selector as selector_module
from gmm_spark.ml.joint_fitting import fit_alone
from gmm_spark.spark.held_out import held_out_split
from gmm_spark.spark.packing.table import PackedTable
from tests.examples import draw_rows, random_mixture
from tests.oracles import sklearn_mixture
from tests.tables import array_table, found_features, three_blobs

TRUTH = random_mixture("diag", 3, 2, np.random.default_rng(5), spread=6.0)
ROWS = draw_rows(TRUTH, 1500, np.random.default_rng(6))[0].T
KINDS = ["full", "tied", "diag", "spherical"]
KS = [1, 2, 3, 4]


class CountingTable(PackedTable):
    """Counts packings, and the candidates of every pass."""

    packed = 0
    expected: list[int] = []  # noqa: RUF012 - shared on purpose
    judged: list[int] = []  # noqa: RUF012

    def __init__(self, *arguments, **settings) -> None:
        CountingTable.packed += 1
        super().__init__(*arguments, **settings)

    def expect(self, candidates):
        self.expected.append(len(candidates))
        return super().expect(candidates)

    def evaluate_all(self, candidates, log_densities=False):
        self.judged.append(len(candidates))
        return super().evaluate_all(candidates, log_densities)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[CountingTable]:
    CountingTable.packed, CountingTable.expected, CountingTable.judged = 0, [], []
    monkeypatch.setattr(fitting_module, "PackedTable", CountingTable)
    return CountingTable


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Iterator[DataFrame]:
    found = array_table(spark, ROWS).persist()
    yield found
    found.unpersist()


@pytest.fixture(scope="module")
def chosen(table: DataFrame) -> GaussianMixtureModel:
    return GaussianMixtureSelector(ks=KS, covarianceTypes=KINDS, nInit=3, seed=1, predictionCol="p").fit(table)


def test_the_mixture_that_made_the_rows_is_chosen(chosen: GaussianMixtureModel, table: DataFrame) -> None:
    assert (chosen.getK(), chosen.getCovarianceType()) == (3, "diag")
    assert chosen.summary.converged
    assert chosen.summary.numRows == len(ROWS)
    assert chosen.transform(table).select("p").distinct().count() == 3


def test_every_mixture_tried_is_listed_with_its_criteria(chosen: GaussianMixtureModel, table: DataFrame) -> None:
    selection = chosen.summary.selection
    assert selection is not None
    assert [(row.covarianceType, row.k) for row in selection.rows] == [(kind, k) for kind in KINDS for k in KS]
    assert all(row.failure is None and math.isnan(row.heldout) and row.numIter > 0 for row in selection.rows)
    best = selection.rows[selection.best]
    assert best.bic == min(row.bic for row in selection.rows) == pytest.approx(chosen.bic(table), rel=1e-10)
    assert best.icl == pytest.approx(chosen.icl(table), rel=1e-10)
    assert best.aic == pytest.approx(sklearn_mixture(chosen.parameters).aic(ROWS), rel=1e-10)
    assert best.nParameters == chosen.parameters.n_parameters
    assert best.numIter == chosen.summary.numIter
    one = next(row for row in selection.rows if (row.covarianceType, row.k) == ("full", 1))
    n, d = ROWS.shape
    determinant = np.linalg.slogdet(np.cov(ROWS.T, bias=True))[1]
    assert one.logLikelihood == pytest.approx(-n / 2 * (d * np.log(2 * np.pi) + determinant + d), rel=1e-5)
    frame = selection.toDF()
    assert [tuple(row) for row in frame.drop("heldout").collect()] == [
        tuple(v for name, v in vars(row).items() if name != "heldout") for row in selection.rows
    ]


def test_a_selection_packs_once_and_shares_every_pass(table: DataFrame, counted: type[CountingTable]) -> None:
    heard: list[PassRecord] = []
    selector = GaussianMixtureSelector(ks=KS, covarianceTypes=KINDS, maxIter=15, accelerate=False, nInit=1)
    selector.setCallback(heard.append)
    selection = selector.fit(table).summary.selection
    assert selection is not None
    lengths = [row.numIter for row in selection.rows]
    assert counted.packed == 1
    assert counted.expected == [sum(n >= i for n in lengths) for i in range(1, max(lengths) + 1)]
    assert counted.judged == [len(lengths), 1]  # and the best for its log-densities
    assert [record.iteration for record in heard] == list(range(1, max(lengths) + 1))


def test_in_a_table_larger_than_its_sample_the_chosen_mixture_is_fitted_alone_too_and_the_better_kept(
    table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[Any] = []

    def watched(*arguments):
        alone.append(fit_alone(*arguments))
        return alone[-1]

    def fit_worse(packed, settings, member, callback):
        return fit_alone(packed, replace(settings, max_iter=1, init_mode="random", n_init=1), member, callback)

    def fail(*arguments):
        return DegenerateComponentError("all collapsed")

    # Four iterations leave room for improvement.
    settings: dict[str, Any] = {
        "ks": [4, 3],
        "covarianceTypes": ["spherical"],
        "sampleRows": 60,
        "nInit": 3,
        "maxIter": 4,
        "tol": 1e-9,
    }
    kept = []
    for stand_in in (watched, fit_worse, fail):
        monkeypatch.setattr(selector_module, "fit_alone", stand_in)
        model = GaussianMixtureSelector(**settings).fit(table)
        selection = model.summary.selection
        assert selection is not None
        best = selection.rows[selection.best]
        assert best.k == model.getK()
        assert best.bic == pytest.approx(model.bic(table), rel=1e-10)
        kept.append(best.bic)
    assert len(alone) == 1
    assert kept[0] <= kept[1] == kept[2]
    own = GaussianMixture(k=best.k, **{name: settings[name] for name in ("sampleRows", "nInit", "maxIter", "tol")})
    assert kept[0] <= own.setCovarianceType("spherical").fit(table).bic(table) + 1e-6
    GaussianMixtureSelector(ks=[3], nInit=3).fit(table)
    assert len(alone) == 1, "the sample is the whole table: the starts have been compared on it"


@pytest.mark.parametrize("criterion", ["aic", "icl"])
def test_the_criterion_decides(table: DataFrame, criterion: str) -> None:
    model = GaussianMixtureSelector(ks=KS, criterion=criterion, maxIter=30).fit(table)
    rows = model.summary.selection.rows
    assert getattr(model.summary, criterion) == min(getattr(row, criterion) for row in rows)


def test_rows_are_held_out_of_every_fit_and_judge_it(table: DataFrame, counted: type[CountingTable]) -> None:
    selector = GaussianMixtureSelector(ks=KS, criterion="heldout", validationFraction=0.3, seed=4, nInit=2)
    model = selector.fit(table)
    selection = model.summary.selection
    assert counted.packed == 2
    assert counted.judged == [len(KS), len(KS), 1]
    rest, held_out = held_out_split(table, found_features(table), 0.3, 4)
    judged = np.array([row["features"] for row in held_out.collect()])
    assert model.summary.numRows == rest.count() == len(ROWS) - len(judged)
    assert selection.heldOutRows == len(judged)
    best = selection.rows[selection.best]
    assert best.heldout == max(row.heldout for row in selection.rows)
    assert best.heldout == pytest.approx(sklearn_mixture(model.parameters).score(judged), rel=1e-10)
    assert best.k == model.getK() == 3
    assert model.summary.predictions.count() == model.summary.numRows


def test_the_rows_held_out_do_not_depend_on_partitions_or_order(spark: SparkSession) -> None:
    features = found_features(array_table(spark, ROWS))

    def held_out(rows: np.ndarray, partitions: int, seed: int = 1) -> set[tuple[float, ...]]:
        rest, chosen = held_out_split(array_table(spark, rows, partitions), features, 0.25, seed)
        found = {tuple(row["features"]) for row in chosen.collect()}
        assert len(found) + rest.count() == len(rows)
        return found

    first = held_out(ROWS, 1)
    assert first == held_out(ROWS[::-1], 2) == held_out(ROWS, 5)
    # Five binomial deviations.
    assert abs(len(first) - 0.25 * len(ROWS)) < 5 * math.sqrt(len(ROWS) * 0.25 * 0.75)
    assert first != held_out(ROWS, 1, seed=2)


@pytest.mark.parametrize("form", ["vector", "scalars"])
def test_rows_of_every_form_are_split(spark: SparkSession, form: str) -> None:
    names = ["x", "y"]
    arrays = array_table(spark, ROWS)
    frame = arrays.select(
        array_to_vector(F.col("features")).alias("features"),
        *(F.col("features")[i].alias(n) for i, n in enumerate(names)),
    )
    features = found_features(frame, input_cols=names if form == "scalars" else None)
    rest, chosen = held_out_split(frame, features, 0.5, 0)
    assert rest.count() + chosen.count() == len(ROWS)
    assert 0.4 < chosen.count() / len(ROWS) < 0.6


@pytest.mark.parametrize("form", ["scalars", "array"])
def test_null_and_nan_are_one_missing_value_and_rows_that_have_them_are_on_one_side(
    spark: SparkSession, form: str
) -> None:
    rows = spark.range(200).select("id", (F.col("id") * 1.0).alias("a"), F.lit(None).cast("double").alias("b"))
    holes = (rows, rows.withColumn("b", F.lit(float("nan"))))
    sides = []
    for table in holes:
        table = table if form == "scalars" else table.select("id", F.array("a", "b").alias("features"))
        names = ["a", "b"] if form == "scalars" else None
        features = replace(found_features(table, input_cols=names), missing=True)
        _, chosen = held_out_split(table, features, 0.5, 0)
        sides.append({row[0] for row in chosen.select("id").collect()})
    assert sides[0] == sides[1]
    assert 50 < len(sides[0]) < 150


def test_bad_rows_are_counted_on_both_sides(spark: SparkSession) -> None:
    rows = ROWS.tolist()
    rows[0:20] = [[float("nan"), float(i)] for i in range(20)]
    frame = spark.createDataFrame(pa.table({"features": pa.array(rows, pa.list_(pa.float64()))}))
    selector = GaussianMixtureSelector(ks=[2], handleInvalid="skip", validationFraction=0.5, maxIter=2)
    summary = selector.fit(frame).summary
    assert summary.skipped == {"NaN feature in features[0]": 20}
    assert summary.numRows + summary.selection.heldOutRows == len(ROWS) - 20
    with pytest.raises(Exception, match="NaN feature"):
        selector.setHandleInvalid("error").fit(frame)


def test_weights_count_as_repetitions(spark: SparkSession) -> None:
    weight = 1.0 + (np.arange(len(ROWS)) % 3 == 0)
    arguments: dict[str, Any] = {"ks": [1, 2], "maxIter": 5, "tol": 0.0, "validationFraction": 0.3}
    weighted = GaussianMixtureSelector(weightCol="w", **arguments).fit(array_table(spark, ROWS, weight=weight))
    twice = GaussianMixtureSelector(**arguments).fit(array_table(spark, np.repeat(ROWS, weight.astype(int), axis=0)))
    ours, theirs = (model.summary.selection.rows[0] for model in (weighted, twice))  # k = 1, which has one optimum
    assert ours.bic == pytest.approx(theirs.bic, rel=1e-9)
    assert ours.heldout == pytest.approx(theirs.heldout, rel=1e-9)


def test_a_mixture_that_cannot_be_fitted_is_listed_with_the_reason(spark: SparkSession) -> None:
    few = array_table(spark, np.tile([[0.0, 0.0], [1.0, 2.0], [5.0, 1.0]], (20, 1)))
    model = GaussianMixtureSelector(ks=[1, 2, 4, 100]).fit(few)
    rows = model.summary.selection.rows
    assert [row.failure is None for row in rows[:2]] == [True, True]
    assert "k=4" in rows[2].failure
    assert "distinct" in rows[2].failure
    assert "k=100 but the input has 60 valid row(s)" in rows[3].failure
    assert math.isnan(rows[3].bic)
    assert rows[3].nParameters == 99 + 200 + 300
    with pytest.raises(DataError, match=r"none of the 2 mixture\(s\) could be fitted: k=70 full: .*lower k"):
        GaussianMixtureSelector(ks=[70, 80]).fit(few)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, r"ks=\[\]; need at least one"),
        ({"ks": [0, 2]}, r"ks=\[0, 2\]"),
        ({"ks": [2, 2]}, r"ks=\[2, 2\]"),
        ({"ks": [2], "covarianceTypes": ["ful"]}, r"covarianceTypes=\['ful'\]; need at least one of full, tied"),
        ({"ks": [2], "covarianceTypes": []}, r"covarianceTypes=\[\]"),
        ({"ks": [2], "criterion": "dic"}, "criterion='dic'; use one of bic, aic, icl, heldout"),
        ({"ks": [2], "criterion": "heldout"}, "validationFraction=0.0 holds no row out"),
        ({"ks": [2], "validationFraction": 1.0}, "validationFraction=1.0; need a number >= 0 and < 1"),
        ({"ks": [2], "maxIter": 0}, "maxIter=0; need at least 1"),
    ],
)
def test_faulty_parameters_are_named(table: DataFrame, arguments: dict, fault: str) -> None:
    with pytest.raises(ParameterError, match=fault):
        GaussianMixtureSelector(**arguments).fit(table)


def test_a_fraction_too_small_to_hold_a_row_out_is_refused_by_name(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=r"validationFraction=1e-06, rows held out: no usable row"):
        GaussianMixtureSelector(ks=[1], validationFraction=1e-6).fit(array_table(spark, three_blobs(20)))


def test_every_parameter_of_a_selector_has_its_setter_and_is_saved(spark: SparkSession, tmp_path: Path) -> None:
    values = {
        "ks": [2, 5],
        "covarianceTypes": ["diag", "full"],
        "criterion": "heldout",
        "validationFraction": 0.25,
        "featuresCol": "f",
        "inputCols": ["a", "b"],
        "weightCol": "w",
        "weightKind": "importance",
        "predictionCol": "p",
        "probabilityCol": "q",
        "logDensityCol": "l",
        "anomalyCol": "a",
        "anomalyFraction": 0.25,
        "maxIter": 7,
        "tol": 0.5,
        "seed": -3,
        "nInit": 2,
        "initMode": "random",
        "regCovar": 0.25,
        "varianceFloor": [1.0, 0.5],
        "sampleRows": 0,
        "accelerate": False,
        "handleInvalid": "keep",
        "precision": "float32",
        "packing": "parquet",
        "noises": [False, True],
        "componentIdCol": "id",
        "portrait": True,
        "verbose": True,
        "reasonsCol": "r",
    }
    selector = GaussianMixtureSelector()
    assert {p.name for p in selector.params} == set(values)
    for name, value in values.items():
        assert getattr(selector, f"set{name[0].upper()}{name[1:]}")(value) is selector
    selector.save(str(tmp_path / "selector"))
    loaded = GaussianMixtureSelector.load(str(tmp_path / "selector"))
    for name, value in values.items():
        assert getattr(loaded, f"get{name[0].upper()}{name[1:]}")() == value


# fitMultiple


def test_param_maps_are_fitted_in_shared_passes_over_one_packing(
    table: DataFrame, counted: type[CountingTable]
) -> None:
    estimator = GaussianMixture(maxIter=8, tol=0.0, accelerate=False)
    maps: list[dict[Param[Any], Any]] = [
        {estimator.k: 1},
        {estimator.k: 3, estimator.predictionCol: "p"},
        {estimator.k: 3, estimator.covarianceType: "diag", estimator.maxIter: 3},
        {estimator.k: 2, estimator.seed: 8, estimator.regCovar: 0.1, estimator.initMode: "random"},
    ]
    together = estimator.fit(table, maps)
    assert counted.packed == 1
    # The table fits the sample, so each member goes on with three starts.
    assert counted.expected == [12] * 3 + [9] * 5
    assert counted.judged == [4]
    for one, model in zip(maps, together, strict=True):
        alone = estimator.fit(table, one)
        # Several starts may end in one optimum. Another of them may win here, with its components in another order.
        found, expected = (np.argsort(m.means[:, 0]) for m in (model, alone))
        np.testing.assert_allclose(model.weights[found], alone.weights[expected], rtol=1e-7)
        np.testing.assert_allclose(model.means[found], alone.means[expected], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(model.covariances[found], alone.covariances[expected], rtol=1e-6, atol=1e-6)
        assert model.summary.logLikelihood == pytest.approx(alone.summary.logLikelihood, rel=1e-10)
        assert model.summary.numIter == alone.summary.numIter
        assert model.getPredictionCol() == alone.getPredictionCol()
        assert model.uid == estimator.uid


def test_param_maps_that_need_another_packing_are_fitted_separately(
    table: DataFrame, counted: type[CountingTable]
) -> None:
    estimator = GaussianMixture(maxIter=2)
    estimator.fit(table, [{estimator.precision: "float32"}, {estimator.precision: "float64"}])
    assert counted.packed == 2


def test_a_param_map_that_fails_fails_alone(table: DataFrame, counted: type[CountingTable]) -> None:
    estimator = GaussianMixture(maxIter=2)
    models = estimator.fitMultiple(table, [{estimator.k: 2}, {estimator.k: 0}, {estimator.k: 9999}, {estimator.k: 1}])
    assert counted.packed == 0, "nothing is done before a model is asked for"
    index, first = next(models)
    assert (index, first.getK()) == (0, 2)
    with pytest.raises(ParameterError, match="k=0"):
        next(models)
    with pytest.raises(DataError, match="k=9999"):
        next(models)
    assert next(models)[1].getK() == 1
    assert next(models, None) is None
    assert counted.packed == 1


def test_a_table_that_cannot_be_read_fails_every_map(table: DataFrame) -> None:
    estimator = GaussianMixture(featuresCol="nowhere")
    models = estimator.fitMultiple(table, [{estimator.k: 2}, {estimator.k: 3}])
    for _ in range(2):
        with pytest.raises(DataError, match="nowhere"):
            next(models)


def test_models_may_be_asked_for_by_several_threads(table: DataFrame, counted: type[CountingTable]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    estimator = GaussianMixture(maxIter=2)
    models = estimator.fitMultiple(table, [{estimator.k: k} for k in (4, 3, 2, 1)])
    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(lambda _: next(models), range(4)))
    assert {i: model.getK() for i, model in found.items()} == {0: 4, 1: 3, 2: 2, 3: 1}
    assert counted.packed == 1


def test_cross_validation_packs_once_per_fold_and_finds_the_same(
    table: DataFrame, counted: type[CountingTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.ml.base import Estimator
    from pyspark.ml.evaluation import ClusteringEvaluator
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

    vectors = table.select(array_to_vector(F.col("features")).alias("features")).persist()
    estimator = GaussianMixture(seed=2, maxIter=5)
    grid = ParamGridBuilder().addGrid(estimator.k, [2, 3]).addGrid(estimator.covarianceType, ["full", "diag"]).build()
    validator = CrossValidator(
        estimator=estimator,
        estimatorParamMaps=grid,
        evaluator=ClusteringEvaluator(),
        numFolds=2,
        seed=1,
        parallelism=2,
    )
    together = validator.fit(vectors)
    assert counted.packed == 2 + 1  # and once for the best on the whole table
    monkeypatch.setattr(GaussianMixture, "fitMultiple", Estimator.fitMultiple)
    apart = validator.fit(vectors)
    assert counted.packed == 3 + 2 * len(grid) + 1
    np.testing.assert_allclose(together.avgMetrics, apart.avgMetrics, rtol=1e-9)
    assert isinstance(together.bestModel, GaussianMixtureModel)
    assert isinstance(apart.bestModel, GaussianMixtureModel)
    assert together.bestModel.getK() == apart.bestModel.getK()
    vectors.unpersist()


def test_candidates_whose_sums_are_too_large_together_take_several_passes(
    table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gmm_spark.spark.packing import table as packed_module

    candidates = [random_mixture(kind, k, 2, np.random.default_rng(k)) for k, kind in enumerate(KINDS, 1)]
    with PackedTable(table, found_features(table)) as packed:
        expected = packed.expect(candidates)
        monkeypatch.setattr(packed_module, "SHARED_SUM_BYTES", 1)
        found = packed.expect(candidates)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, rel=1e-12)
        np.testing.assert_allclose(ours.second, theirs.second, rtol=1e-9)
