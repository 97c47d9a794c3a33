"""Inside pyspark.ml's own machinery: pipelines, cross-validation, train-validation split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel
from tests.oracles import sklearn_mixture
from tests.tables import scalar_table

# Three round clusters, 20 deviations apart: the silhouette knows that k is 3.
CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
LABELS = np.arange(300) % 3
ROWS = CENTRES[LABELS] + np.random.default_rng(3).normal(size=(300, 2))


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    found = VectorAssembler(inputCols=["x", "y"], outputCol="features").transform(
        scalar_table(spark, ROWS, ["x", "y"], 2)
    )
    return found.persist()


def pipeline() -> Pipeline:
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="raw")
    scaler = StandardScaler(inputCol="raw", outputCol="features", withMean=True)
    mixture = GaussianMixture(k=3, seed=2, maxIter=5, logDensityCol="l", anomalyCol="odd", anomalyFraction=0.1)
    return Pipeline(stages=[assembler, scaler, mixture])


def test_a_fitted_pipeline_predicts_alike_after_saving_and_loading(spark: SparkSession, tmp_path: Path) -> None:
    raw = scalar_table(spark, ROWS, ["x", "y"], 2)
    fitted = pipeline().fit(raw)
    model = fitted.stages[-1]
    assert isinstance(model, GaussianMixtureModel)
    scored = fitted.transform(raw)
    assert scored.columns == ["x", "y", "raw", "features", "probability", "prediction", "l", "odd"]
    fitted.save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    expected, found = (
        t.orderBy("x").select("x", "prediction", "probability", "l", "odd").collect()
        for t in (scored, loaded.transform(raw))
    )
    assert found == expected
    assert sum(r["odd"] for r in found) == pytest.approx(30, abs=1)
    scaled = np.array([r["features"].toArray() for r in scored.orderBy("x").collect()])
    np.testing.assert_array_equal([r["prediction"] for r in found], sklearn_mixture(model.parameters).predict(scaled))
    assert isinstance(loaded.stages[-1], GaussianMixtureModel)
    assert np.array_equal(loaded.stages[-1].means, model.means)


def test_an_unfitted_pipeline_fits_after_saving_and_loading(spark: SparkSession, tmp_path: Path) -> None:
    pipeline().save(str(tmp_path / "pipeline"))
    loaded = Pipeline.load(str(tmp_path / "pipeline"))
    estimator = loaded.getStages()[-1]
    assert isinstance(estimator, GaussianMixture)
    assert (estimator.getK(), estimator.getMaxIter(), estimator.getLogDensityCol()) == (3, 5, "l")
    model = loaded.fit(scalar_table(spark, ROWS, ["x", "y"], 2))
    assert isinstance(model.stages[-1], GaussianMixtureModel)
    assert sorted(model.stages[-1].summary.clusterSizes) == [100, 100, 100]


def test_cross_validation_chooses_k(table: DataFrame) -> None:
    estimator = GaussianMixture(seed=2, nInit=3, maxIter=10)
    grid = ParamGridBuilder().addGrid(estimator.k, [2, 3]).build()
    chosen = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=ClusteringEvaluator(), numFolds=2, seed=1
    ).fit(table)
    assert isinstance(chosen.bestModel, GaussianMixtureModel)
    assert chosen.bestModel.getK() == 3
    assert len(chosen.avgMetrics) == 2
    assert chosen.avgMetrics[1] > max(0.9, chosen.avgMetrics[0])
    assert chosen.transform(table).select("prediction").distinct().count() == 3


def test_a_train_validation_split_chooses_k(table: DataFrame) -> None:
    estimator = GaussianMixture(seed=2, nInit=3, maxIter=10, covarianceType="diag")
    grid = ParamGridBuilder().addGrid(estimator.k, [2, 3]).build()
    chosen = TrainValidationSplit(
        estimator=estimator, estimatorParamMaps=grid, evaluator=ClusteringEvaluator(), trainRatio=0.7, seed=1
    ).fit(table)
    assert isinstance(chosen.bestModel, GaussianMixtureModel)
    assert chosen.bestModel.getK() == 3
    assert chosen.validationMetrics[1] > max(0.9, chosen.validationMetrics[0])
