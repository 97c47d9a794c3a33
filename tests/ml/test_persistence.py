"""Models on disk: every bit comes back, and files that hold no model are refused by name."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram, bin_weights
from gmm_spark.errors import ModelFileError, ParameterError, ResourceError
from gmm_spark.ml import metadata, persistence
from tests.core.drift.profiles import draw, profile_of
from tests.tables import array_table, mixture, rough_start, three_blobs

KINDS = ("full", "tied", "diag", "spherical")


def log_densities() -> LogDensityHistogram:
    """Of a hundred rows of unequal weights."""
    rng = np.random.default_rng(9)
    return LogDensityHistogram(np.pi, bin_weights(10.0 ** rng.uniform(-3, 6, 100), rng.uniform(0, 1, 100)))


def saved_model(path: Path, kind: str = "full") -> Path:
    GaussianMixtureModel(mixture(kind), ["a", "b"], log_densities()).save(str(path))
    return path


@pytest.fixture(scope="module")
def pristine(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One saved model, which tests copy and damage."""
    return saved_model(tmp_path_factory.mktemp("models") / "pristine")


@pytest.fixture
def copied(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "model")
    return tmp_path / "model"


def edit_metadata(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    (file,) = path.glob("metadata/part-*")
    metadata = json.loads(file.read_text())
    edit(metadata)
    file.write_text(json.dumps(metadata) + "\n")
    for checksum in path.glob("metadata/.*.crc"):
        checksum.unlink()


def replace_data(path: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    (file,) = path.glob("data/*.parquet")
    table = edit(pq.read_table(file))
    for old in path.glob("data/*"):
        old.unlink()
    for hidden in path.glob("data/.*.crc"):
        hidden.unlink()
    pq.write_table(table, path / "data" / "part-0.parquet")


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


# Saving and loading


@pytest.mark.parametrize("kind", KINDS)
def test_every_structure_comes_back_bit_for_bit(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    parameters = mixture(kind, k=11, d=3)  # 11: components must not be sorted as text
    model = GaussianMixtureModel(parameters, ["x", "y.z", "ü"], log_densities())
    model._set(predictionCol="p", logDensityCol="l", handleInvalid="keep", tol=0.125, inputCols=["x", "y.z", "ü"])
    model._set(anomalyCol="odd", anomalyFraction=0.25)
    model.save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name), err_msg=name)
    assert loaded.parameters.covariance_type == kind
    assert loaded.featureNames == ["x", "y.z", "ü"]
    assert loaded.uid == model.uid
    assert loaded.logDensities.ceiling == model.logDensities.ceiling
    np.testing.assert_array_equal(loaded.logDensities.weights, model.logDensities.weights)
    assert {p.name: v for p, v in loaded.extractParamMap().items()} == {
        p.name: v for p, v in model.extractParamMap().items()
    }
    assert not loaded.hasSummary


def test_extreme_values_come_back_bit_for_bit(spark: SparkSession, tmp_path: Path) -> None:
    parameters = mixture("diag", k=2, d=2)
    means = np.array([[5e-324, -1.7e308], [1 / 3, np.nextafter(1.0, 2.0)]])
    odd = type(parameters)(parameters.weights, means, np.array([[1e-290, 1e290], [np.pi, 0.1]]), "diag")
    GaussianMixtureModel(odd).save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    assert loaded.logDensities is None
    assert loaded.means.tobytes() == odd.means.tobytes()
    assert loaded.covariances.tobytes() == odd.covariances.tobytes()
    assert loaded.featureNames is None


def test_a_fitted_model_scores_alike_after_loading(spark: SparkSession, tmp_path: Path) -> None:
    rows = three_blobs(120)
    table = array_table(spark, rows)
    estimator = GaussianMixture(maxIter=2, logDensityCol="l", anomalyCol="odd", anomalyFraction=0.3)
    model = estimator.setInitialModel(rough_start(rows)).fit(table)
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.read().load(str(tmp_path / "model"))
    assert loaded.transform(table).orderBy("id").collect() == model.transform(table).orderBy("id").collect()
    assert loaded.trainingProfile.to_dict() == model.trainingProfile.to_dict()
    assert loaded.trainingProfile.rows == 120
    np.testing.assert_allclose(loaded.trainingProfile.means, rows.mean(axis=0))


def test_the_files_are_json_and_parquet_and_hold_no_pickle(pristine: Path) -> None:
    files = [f for f in pristine.rglob("*") if f.is_file() and not f.name.startswith((".", "_"))]
    assert sorted(f.parent.name for f in files) == ["data", "metadata"]
    (line,) = next(pristine.glob("metadata/part-*")).read_text().splitlines()
    metadata = json.loads(line)
    assert (metadata["formatVersion"], metadata["covarianceType"], metadata["featureNames"]) == (1, "full", ["a", "b"])
    data = pq.read_table(next(pristine.glob("data/*.parquet")))
    assert data.column_names == ["component", "weight", "mean", "covariance"]
    np.testing.assert_array_equal(data["weight"].to_numpy(), mixture().weights)
    assert not any(zipfile.is_zipfile(f) for f in files)


def test_a_saved_estimator_comes_back_with_its_parameters(spark: SparkSession, tmp_path: Path) -> None:
    estimator = GaussianMixture(k=5, inputCols=["a", "b"], tol=0.25, covarianceType="tied", seed=-7)
    estimator.save(str(tmp_path / "estimator"))
    loaded = GaussianMixture.load(str(tmp_path / "estimator"))
    assert loaded.uid == estimator.uid
    assert {p.name: v for p, v in loaded.extractParamMap().items()} == {
        p.name: v for p, v in estimator.extractParamMap().items()
    }
    rows = three_blobs(60, d=2)
    table = array_table(spark, rows).selectExpr("features[0] a", "features[1] b")
    assert loaded.setK(1).fit(table).means.shape == (1, 2)


# Overwriting


def test_saving_onto_a_model_is_refused_and_leaves_it(copied: Path) -> None:
    before = snapshot(copied)
    with pytest.raises(Exception, match=r"(?i)exist"):
        GaussianMixtureModel(mixture("diag", k=5)).save(str(copied))
    assert snapshot(copied) == before


def test_saving_onto_a_saved_estimator_is_refused_and_leaves_it(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "estimator"
    GaussianMixture(k=5).save(str(path))
    before = snapshot(path)
    with pytest.raises(Exception, match=r"(?i)exist"):
        GaussianMixtureModel(mixture()).save(str(path))
    assert snapshot(path) == before


def test_overwriting_replaces_a_model_altogether(copied: Path) -> None:
    other = mixture("diag", k=5)
    GaussianMixtureModel(other).write().overwrite().save(str(copied))
    loaded = GaussianMixtureModel.load(str(copied))
    np.testing.assert_array_equal(loaded.covariances, other.covariances)
    assert loaded.featureNames is None


# Paths that Spark's readers would take as patterns: each with the name of a neighbour that the pattern matches

ODD_NAMES = {
    "run[1]": "run1",
    "a{b,c}": "ab",
    "st*r": "star",
    "q?m": "qum",
    "back\\slash": "backslash",
    "[^a]": "b",
    "co:lon": "colon",
    "with space": "withspace",
    "%41": "A",
    "hash#tag": "hash",
}


def saved_beside(folder: Path, neighbour: str) -> Path:
    """Save a model of two components, and return its path."""
    GaussianMixtureModel(mixture("diag", k=2)).save(str(folder / neighbour))
    return folder / neighbour


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_is_literal_when_a_model_is_saved_and_loaded(spark: SparkSession, tmp_path: Path, name: str) -> None:
    neighbour = saved_beside(tmp_path, ODD_NAMES[name])
    before = snapshot(neighbour)
    path = str(tmp_path / name)
    with pytest.raises(ModelFileError, match="no model at"):
        GaussianMixtureModel.load(path)
    GaussianMixtureModel(mixture("diag", k=3)).save(path)  # the neighbour does not stand in the way
    assert GaussianMixtureModel.load(path).getK() == 3
    with pytest.raises(ParameterError, match="exists already"):
        GaussianMixtureModel(mixture("diag", k=4)).save(path)
    GaussianMixtureModel(mixture("full", k=5)).write().overwrite().save(path)
    loaded = GaussianMixtureModel.load(path)
    np.testing.assert_array_equal(loaded.covariances, mixture("full", k=5).covariances)
    assert snapshot(neighbour) == before


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_is_literal_when_an_estimator_is_saved_and_loaded(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    path = str(tmp_path / name)
    GaussianMixture(k=9).save(str(tmp_path / ODD_NAMES[name]))
    GaussianMixture(k=3).save(path)
    assert GaussianMixture.load(path).getK() == 3
    GaussianMixtureSelector(ks=[1, 4]).write().overwrite().save(path)
    assert GaussianMixtureSelector.load(path).getKs() == [1, 4]
    assert GaussianMixture.load(str(tmp_path / ODD_NAMES[name])).getK() == 9


# What is refused


@pytest.mark.parametrize("version", [3, 999, "1", None])
def test_an_unknown_format_version_is_refused_by_name(copied: Path, version: object) -> None:
    edit_metadata(copied, lambda m: m.update(formatVersion=version))
    with pytest.raises(ModelFileError, match=rf"format version {version!r}.*reads versions 1 and 2.*install"):
        GaussianMixtureModel.load(str(copied))


def test_a_model_without_a_format_version_is_refused(copied: Path) -> None:
    edit_metadata(copied, lambda m: m.pop("formatVersion"))
    with pytest.raises(ModelFileError, match="format version None"):
        GaussianMixtureModel.load(str(copied))


def test_keys_of_a_later_version_are_ignored(copied: Path) -> None:
    edit_metadata(copied, lambda m: m.update(comment="from the future"))
    np.testing.assert_array_equal(GaussianMixtureModel.load(str(copied)).means, mixture().means)


def test_defaults_of_parameters_of_a_later_version_are_ignored(copied: Path) -> None:
    edit_metadata(copied, lambda m: m["defaultParamMap"].update(fromTheFuture=3))
    np.testing.assert_array_equal(GaussianMixtureModel.load(str(copied)).means, mixture().means)


def test_a_model_saved_before_log_densities_were_kept_loads_and_scores_without(
    spark: SparkSession, copied: Path
) -> None:
    def as_it_was(metadata: dict[str, Any]) -> None:
        del metadata["logDensities"], metadata["trainingProfile"], metadata["defaultParamMap"]["anomalyCol"]
        del metadata["defaultParamMap"]["anomalyFraction"]

    edit_metadata(copied, as_it_was)
    loaded = GaussianMixtureModel.load(str(copied))
    table = array_table(spark, three_blobs(20, d=2))
    assert (loaded.logDensities, loaded.getAnomalyCol(), loaded.getAnomalyFraction()) == (None, "", 0.001)
    assert loaded.trainingProfile is None
    assert loaded.transform(table).columns == ["id", "features", "probability", "prediction"]
    with pytest.raises(ParameterError, match="saved by an older gmm_spark; fit it again"):
        loaded.setAnomalyCol("odd").transform(table)


def nothing(path: Path) -> None:
    shutil.rmtree(path)


def an_empty_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def no_metadata(path: Path) -> None:
    shutil.rmtree(path / "metadata")


def metadata_of_something_else(path: Path) -> None:
    edit_metadata(path, lambda m: m.update({"class": "org.apache.spark.ml.clustering.GaussianMixtureModel2"}))


def metadata_that_is_no_json(path: Path) -> None:
    edit_metadata(path, lambda m: None)
    next(path.glob("metadata/part-*")).write_text("{truncated\n")


def metadata_nested_too_deeply(path: Path) -> None:
    edit_metadata(path, lambda m: None)
    next(path.glob("metadata/part-*")).write_text("[" * 100_000 + "\n")


def metadata_that_is_a_list(path: Path) -> None:
    edit_metadata(path, lambda m: None)
    next(path.glob("metadata/part-*")).write_text("[1, 2]\n")


@pytest.mark.parametrize(
    "spoil",
    [
        nothing,
        an_empty_folder,
        no_metadata,
        metadata_of_something_else,
        metadata_that_is_no_json,
        metadata_that_is_a_list,
        metadata_nested_too_deeply,
    ],
)
def test_a_path_without_a_model_is_refused_by_name(copied: Path, spoil: Callable[[Path], None]) -> None:
    spoil(copied)
    with pytest.raises(ModelFileError) as raised:
        GaussianMixtureModel.load(str(copied))
    assert str(copied) in str(raised.value)
    assert "save()" in str(raised.value)


def test_a_model_of_pyspark_ml_is_refused_as_something_else(copied: Path) -> None:
    edit_metadata(copied, lambda m: m.update({"class": "org.apache.spark.ml.clustering.GaussianMixtureModel"}))
    edit_metadata(copied, lambda m: m.pop("formatVersion"))
    with pytest.raises(ModelFileError, match="something else than a gmm_spark model"):
        GaussianMixtureModel.load(str(copied))


def test_a_saved_estimator_is_not_loaded_as_a_model(spark: SparkSession, tmp_path: Path) -> None:
    GaussianMixture().save(str(tmp_path / "estimator"))
    with pytest.raises(ModelFileError, match="something else than a gmm_spark model"):
        GaussianMixtureModel.load(str(tmp_path / "estimator"))


def _name_class(name: object, metadata: dict[str, Any]) -> None:
    metadata["class"] = name


@pytest.mark.parametrize("kind", [GaussianMixture, GaussianMixtureSelector, GaussianMixtureModel])
def test_a_class_that_a_file_names_is_neither_imported_nor_called(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nclass Planted: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = copied
    if kind is not GaussianMixtureModel:
        path = tmp_path / "estimator"
        kind().save(str(path))
    for name in ("planted.Planted", "os.abort", 7, None, ["gmm_spark.GaussianMixture"]):
        edit_metadata(path, partial(_name_class, name))
        with pytest.raises(ModelFileError, match="something else than a gmm_spark"):
            kind.load(str(path))
    assert not (tmp_path / "imported").exists()


def test_a_selector_is_not_loaded_as_an_estimator(spark: SparkSession, tmp_path: Path) -> None:
    GaussianMixtureSelector().save(str(tmp_path / "selector"))
    with pytest.raises(ModelFileError, match="something else than a gmm_spark GaussianMixture "):
        GaussianMixture.load(str(tmp_path / "selector"))


@pytest.mark.parametrize(
    "edit",
    [lambda m: m.pop("uid"), lambda m: m.update(paramMap={"k": "many"}), lambda m: m.update(sparkVersion=4)],
)
def test_a_damaged_estimator_is_refused_with_its_path(
    spark: SparkSession, tmp_path: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    GaussianMixture().save(str(tmp_path / "estimator"))
    edit_metadata(tmp_path / "estimator", edit)
    with pytest.raises(ModelFileError, match=r"estimator is damaged: .+; save it again"):
        GaussianMixture.load(str(tmp_path / "estimator"))


def test_metadata_that_are_too_long_are_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "LONGEST", 100)
    with pytest.raises(ModelFileError, match="more than 100 characters"):
        GaussianMixtureModel.load(str(copied))


def no_data(path: Path) -> None:
    shutil.rmtree(path / "data")


def truncated_data(path: Path) -> None:
    (file,) = path.glob("data/*.parquet")
    file.write_bytes(file.read_bytes()[:-40])
    for checksum in path.glob("data/.*.crc"):
        checksum.unlink()


def a_component_missing(path: Path) -> None:
    replace_data(path, lambda t: t.slice(1))


def no_components(path: Path) -> None:
    replace_data(path, lambda t: t.slice(0, 0))


def a_column_missing(path: Path) -> None:
    replace_data(path, lambda t: t.drop_columns(["mean"]))


def weights_that_do_not_sum_to_one(path: Path) -> None:
    replace_data(path, lambda t: t.set_column(1, "weight", pa.array([0.1, 0.1, 0.1])))


def a_mean_that_is_nan(path: Path) -> None:
    replace_data(path, lambda t: t.set_column(2, "mean", pa.array([[0.0, 1.0], [0.0, float("nan")], [0.0, 1.0]])))


def a_null_covariance(path: Path) -> None:
    replace_data(path, lambda t: t.set_column(3, "covariance", pa.array([None, [1.0] * 4, [1.0] * 4])))


def means_of_unequal_width(path: Path) -> None:
    replace_data(path, lambda t: t.set_column(2, "mean", pa.array([[0.0, 1.0], [0.0], [0.0, 1.0]])))


def a_covariance_type_that_is_not_the_datas(path: Path) -> None:
    edit_metadata(path, lambda m: m.update(covarianceType="diag"))


def an_unknown_covariance_type(path: Path) -> None:
    edit_metadata(path, lambda m: m.update(covarianceType="banded"))


def no_covariance_type(path: Path) -> None:
    edit_metadata(path, lambda m: m.pop("covarianceType"))


def a_log_density_in_no_bin(path: Path) -> None:
    edit_metadata(path, lambda m: m["logDensities"]["bins"].__setitem__(0, N_BINS))


def a_profile_of_another_mixture(path: Path) -> None:
    edit_metadata(
        path, lambda m: m.update(trainingProfile=profile_of(draw(50, seed=1)).to_dict() | {"shares": [0.5, 0.5]})
    )


def a_profile_that_is_a_list(path: Path) -> None:
    edit_metadata(path, lambda m: m.update(trainingProfile=[1, 2]))


def log_densities_without_a_ceiling(path: Path) -> None:
    edit_metadata(path, lambda m: m["logDensities"].pop("ceiling"))


def test_a_model_that_the_driver_may_not_receive_is_not_called_damaged(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(rows: object) -> None:
        raise ResourceError("raise spark.driver.maxResultSize")

    monkeypatch.setattr(persistence, "collect", refuse)
    with pytest.raises(ResourceError, match=r"^raise spark"):
        GaussianMixtureModel.load(str(copied))


@pytest.mark.parametrize(
    "spoil",
    [
        no_data,
        truncated_data,
        a_component_missing,
        no_components,
        a_column_missing,
        weights_that_do_not_sum_to_one,
        a_mean_that_is_nan,
        a_null_covariance,
        means_of_unequal_width,
        a_covariance_type_that_is_not_the_datas,
        an_unknown_covariance_type,
        no_covariance_type,
        a_log_density_in_no_bin,
        log_densities_without_a_ceiling,
        a_profile_of_another_mixture,
        a_profile_that_is_a_list,
    ],
)
def test_a_damaged_model_is_refused_with_its_path(copied: Path, spoil: Callable[[Path], None]) -> None:
    spoil(copied)
    with pytest.raises(ModelFileError, match="damaged") as raised:
        GaussianMixtureModel.load(str(copied))
    assert str(copied) in str(raised.value)
