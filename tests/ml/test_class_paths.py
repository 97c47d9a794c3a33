"""Files name the public classes; files that name a module of an earlier version load all the same.

``files/before_rooms`` holds what the version before ``gmm_spark.ml`` existed saved, when the classes were in
gmm_spark.estimator, gmm_spark.model and gmm_spark.selector (Spark's checksums and markers are left out).
"""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.errors import ModelFileError
from tests.tables import mixture, scalar_table

FILES = Path(__file__).parent / "files" / "before_rooms"
FORMER = {
    "model": "gmm_spark.model.GaussianMixtureModel",
    "estimator": "gmm_spark.estimator.GaussianMixture",
    "selector": "gmm_spark.selector.GaussianMixtureSelector",
}
# What the saved models were built from.
WEIGHTS = np.array([0.25, 0.75])
MEANS = np.array([[-2.0, 0.5], [3.0, 1.0]])
COVARIANCES = np.array([[[1.0, 0.5], [0.5, 2.0]], [[4.0, -1.0], [-1.0, 1.5]]])
ROWS = np.random.default_rng(8).normal(scale=4.0, size=(60, 2))


def class_in(path: Path) -> str:
    (file,) = path.glob("metadata/part-*")
    return json.loads(file.read_text())["class"]


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return scalar_table(spark, ROWS, ["x", "y"], 2)


def joint_log_prob(rows: np.ndarray) -> np.ndarray:
    """Log of weight times density of each component, (n, 2), by scipy."""
    components = zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(rows) for w, m, c in components], axis=1)


def assert_scored(scored: DataFrame) -> None:
    """Check the outputs of the saved mixture against scipy, row by row."""
    found = scored.toPandas()
    expected = joint_log_prob(found[["x", "y"]].to_numpy())
    np.testing.assert_array_equal(np.sort(found["x"]), np.sort(ROWS[:, 0]))
    np.testing.assert_allclose(found["density"], logsumexp(expected, axis=1), rtol=1e-10)
    np.testing.assert_array_equal(found["prediction"], expected.argmax(axis=1))


# Files of the version before


def test_the_files_name_the_modules_of_their_version() -> None:
    assert {name: class_in(FILES / name) for name in FORMER} == FORMER
    (stage,) = FILES.glob("pipeline/stages/1_*")
    assert class_in(stage) == FORMER["estimator"]
    (stage,) = FILES.glob("pipeline_model/stages/1_*")
    assert class_in(stage) == FORMER["model"]


def test_a_model_of_the_version_before_scores(table: DataFrame) -> None:
    model = GaussianMixtureModel.load(str(FILES / "model"))
    np.testing.assert_array_equal(model.covariances, COVARIANCES)
    scored = model.transform(table)
    assert_scored(scored)
    # Its training rows had log-densities of -1, ..., -10: a quarter of them lies below -7 or -8.
    sure = scored.where("density > -6.9 or density < -8.1").select("density", "odd").collect()
    assert {row["odd"] for row in sure} == {True, False}
    assert all(row["odd"] == (row["density"] < -7.5) for row in sure)


def test_a_pipeline_model_of_the_version_before_scores(table: DataFrame) -> None:
    loaded = PipelineModel.load(str(FILES / "pipeline_model"))
    assert isinstance(loaded.stages[-1], GaussianMixtureModel)
    assert_scored(loaded.transform(table))


def test_estimators_of_the_version_before_load(spark: SparkSession) -> None:
    estimator = GaussianMixture.load(str(FILES / "estimator"))
    assert isinstance(estimator, GaussianMixture)
    assert (estimator.getK(), estimator.getCovarianceType(), estimator.getTol(), estimator.getSeed()) == (
        (3, "tied", 0.25, 7)
    )
    assert estimator.getInputCols() == ["x", "y"]
    selector = GaussianMixtureSelector.load(str(FILES / "selector"))
    assert isinstance(selector, GaussianMixtureSelector)
    assert (selector.getKs(), selector.getCovarianceTypes(), selector.getMaxIter()) == ([1, 2], ["diag"], 9)


def test_a_pipeline_of_the_version_before_fits(table: DataFrame) -> None:
    loaded = Pipeline.load(str(FILES / "pipeline"))
    assert isinstance(loaded.getStages()[-1], GaussianMixture)
    model = loaded.fit(table).stages[-1]
    assert isinstance(model, GaussianMixtureModel)
    assert sum(model.summary.clusterSizes) == len(ROWS)


@pytest.mark.parametrize("name", FORMER)
def test_a_former_module_gives_the_public_class(name: str) -> None:
    module = importlib.import_module(f"gmm_spark.{name}")
    public = FORMER[name].rpartition(".")[2]
    assert getattr(module, public) is globals()[public]
    with pytest.raises(AttributeError):
        _ = module.nothing_of_this_name


def test_former_modules_load_neither_pyspark_nor_each_other() -> None:
    code = "import sys, gmm_spark.model, gmm_spark.estimator; print('pyspark' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# Files of this version


def test_files_name_the_public_classes(spark: SparkSession, tmp_path: Path) -> None:
    for instance in (GaussianMixtureModel(mixture()), GaussianMixture(), GaussianMixtureSelector(ks=[1])):
        name = type(instance).__name__
        instance.save(str(tmp_path / name))
        assert class_in(tmp_path / name) == f"gmm_spark.{name}"
        loaded = type(instance).load(str(tmp_path / name))
        assert type(loaded) is type(instance)
        assert loaded.uid == instance.uid
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features")
    Pipeline(stages=[assembler, GaussianMixture(k=5)]).save(str(tmp_path / "pipeline"))
    (stage,) = (tmp_path / "pipeline").glob("stages/1_*")
    assert class_in(stage) == "gmm_spark.GaussianMixture"
    last = Pipeline.load(str(tmp_path / "pipeline")).getStages()[-1]
    assert isinstance(last, GaussianMixture)
    assert last.getK() == 5


class OwnMixture(GaussianMixture):
    """An estimator that a user has derived."""


def test_a_subclass_in_another_module_comes_back_as_itself(spark: SparkSession, tmp_path: Path) -> None:
    OwnMixture(k=4).save(str(tmp_path / "own"))
    assert class_in(tmp_path / "own") == f"{__name__}.OwnMixture"
    loaded = OwnMixture.load(str(tmp_path / "own"))
    assert type(loaded) is OwnMixture
    assert loaded.getK() == 4


def test_an_estimator_and_a_model_saved_in_each_others_place_are_read_as_what_they_are(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = str(tmp_path / "place")
    GaussianMixtureModel(mixture()).save(path)
    GaussianMixture(k=6).write().overwrite().save(path)
    assert GaussianMixture.load(path).getK() == 6
    with pytest.raises(ModelFileError, match="GaussianMixture"):
        GaussianMixtureModel.load(path)
    GaussianMixture(k=7).write().overwrite().save(path)
    assert GaussianMixture.load(path).getK() == 7
    GaussianMixtureModel(mixture()).write().overwrite().save(path)
    assert GaussianMixtureModel.load(path).parameters.n_components == mixture().n_components
    with pytest.raises(ModelFileError, match="GaussianMixtureModel"):
        GaussianMixture.load(path)


@pytest.mark.classic("its clients cannot remove files, so that only the metadata is replaced")
def test_overwriting_an_estimator_leaves_nothing_of_what_was_there(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "place"
    GaussianMixtureModel(mixture()).save(str(path))
    GaussianMixture(k=6).write().overwrite().save(str(path))
    assert GaussianMixture.load(str(path)).getK() == 6
    assert [child.name for child in path.iterdir()] == ["metadata"]


def test_classes_are_pickled_by_a_path_that_imports() -> None:
    for kind in (GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector):
        assert pickle.loads(pickle.dumps(kind)) is kind
