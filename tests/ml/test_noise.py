"""A noise component, from the fit of a table in Spark to scores, samples, files and other libraries."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, Mixture, MixtureParameters
from gmm_spark.core.checks.check import Check
from gmm_spark.core.mixture.density import log_density, responsibilities
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError, ModelFileError, ParameterError

K = 2


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(11)
    clusters = np.concatenate([rng.normal([0, 0], 1.0, (400, 2)), rng.normal([6, 2], 0.8, (600, 2))])
    return np.concatenate([clusters, rng.uniform([-25, -20], [30, 25], (111, 2))])


@pytest.fixture(scope="module")
def table(spark, rows):
    return spark.createDataFrame(pd.DataFrame(rows, columns=["x", "y"])).repartition(3).cache()


@pytest.fixture(scope="module")
def model(table):
    return GaussianMixture(inputCols=["x", "y"], k=K, noise=True, nInit=3, portrait=True).fit(table)


def parameters(weight: float = 0.2) -> MixtureParameters:
    alone = MixtureParameters([0.5, 0.5], [[0.0, 0.0], [6.0, 2.0]], [1.0, 0.8], "spherical")
    return alone.with_noise(Noise(weight, [-25.0, -20.0], [30.0, 25.0]))


def test_a_fit_in_spark_is_that_in_memory(model, rows):
    block = np.ascontiguousarray(rows.T)
    in_memory = search(ArrayTable(block), (block, None), Settings(k=K, noise=True, n_init=3, tol=1e-9))
    assert model.noiseWeight == pytest.approx(0.1, abs=0.02)
    assert model.summary.noiseWeight == model.noiseWeight
    assert model.weights.sum() + model.noiseWeight == pytest.approx(1.0)
    assert model.summary.lowerBound == pytest.approx(in_memory.lower_bound, abs=1e-4)
    noise = model.parameters.noise
    np.testing.assert_allclose(noise.low, rows.min(axis=0))
    np.testing.assert_allclose(noise.high, rows.max(axis=0))


def test_the_summary_counts_noise_last(model, rows):
    leaders = responsibilities(model.parameters, rows.T).argmax(axis=0)
    assert model.summary.clusterSizes == np.bincount(leaders, minlength=K + 1).tolist()
    assert (model.getK(), model.getNoise(), len(model.gaussians), model.summary.k) == (K, True, K, K)
    assert model.summary.describe()["value"]["rows of noise"] == model.summary.clusterSizes[K]
    described = model.describe()
    assert described["weight"].tolist() == [*model.weights, model.noiseWeight]
    assert described.loc[K].isna()[["mean of x", "sd of y"]].all()
    n_parameters = K * 2 + K * 3 + (K - 1) + 1
    expected = -2 * model.summary.logLikelihood + n_parameters * np.log(len(rows))
    assert model.summary.bic == pytest.approx(expected)
    assert model.summary.portrait.confusion.shape == (K + 1, K + 1)
    assert model.summary.mergeTree.n_components == K


def test_scores_have_noise_as_the_last_component(model, table, spark):
    model = model.copy().setLogDensityCol("log_density").setComponentIdCol("id")
    scored = model.transform(table)
    assert scored.schema["probability"].metadata["ml_attr"]["num_attrs"] == K + 1
    assert scored.schema["prediction"].metadata["ml_attr"]["num_vals"] == K + 1
    found = scored.toPandas()
    block = found[["x", "y"]].to_numpy().T
    expected = responsibilities(model.parameters, block)
    np.testing.assert_allclose(np.stack([one.toArray() for one in found["probability"]]), expected.T, atol=1e-9)
    np.testing.assert_array_equal(found["prediction"], expected.argmax(axis=0))
    np.testing.assert_allclose(found["log_density"], log_density(model.parameters, block), atol=1e-9)
    assert (found["id"][found["prediction"] == K] == model.componentIds[K]).all()
    far = model.transform(spark.createDataFrame([(1e9, -1e9), (1e250, 0.0)], ["x", "y"])).collect()
    assert [row["prediction"] for row in far] == [K, K]
    assert model.predict([1e9, -1e9]) == K
    assert model.predictProbability([1e250, 0.0]).toArray().tolist() == [0.0, 0.0, 1.0]


def test_rows_are_sampled_uniformly_from_the_box(model, spark):
    drawn = model.sample(spark, 20_000, seed=5).toPandas()
    noise = drawn[drawn["component"] == K][["x", "y"]].to_numpy()
    assert len(noise) / 20_000 == pytest.approx(model.noiseWeight, abs=0.01)
    low, high = model.parameters.noise.low, model.parameters.noise.high
    assert ((noise >= low) & (noise <= high)).all()
    shares = (noise - low) / (high - low)
    for share in shares.T:  # Kolmogorov-Smirnov
        gap = np.abs(np.sort(share) - (np.arange(len(share)) + 0.5) / len(share)).max()
        assert gap < 1.95 / np.sqrt(len(share))


def test_a_model_comes_back_from_its_files(model, table, tmp_path):
    path = str(tmp_path / "model")
    model.write().save(path)
    loaded = GaussianMixtureModel.load(path)
    assert loaded.parameters.to_dict() == model.parameters.to_dict()
    assert loaded.getNoise()
    assert loaded.bic(table) == pytest.approx(model.summary.bic)
    local = Mixture.load(path)
    assert local.noise_weight == model.noiseWeight
    assert local.predict([500.0, 500.0]) == K
    assert local.predict_proba([[500.0, 500.0]]).tolist() == [[0.0, 0.0, 1.0]]
    local.save(tmp_path / "again")
    assert GaussianMixtureModel.load(str(tmp_path / "again")).parameters.to_dict() == model.parameters.to_dict()


def test_an_older_package_refuses_the_files(tmp_path):
    """Older readers know format version 1 alone."""
    for name, mixture in (("noisy", parameters()), ("plain", parameters().without_noise())):
        Mixture(mixture, ["x", "y"]).save(tmp_path / name)
    versions = {
        name: json.loads(next((tmp_path / name / "metadata").glob("part-*")).read_text())["formatVersion"]
        for name in ("noisy", "plain")
    }
    assert versions == {"noisy": 2, "plain": 1}


@pytest.mark.parametrize("damage", [{"noise": None}, {"noise": {"weight": 2.0}}, {"formatVersion": 1}])
def test_damaged_noise_is_told(tmp_path, damage):
    Mixture(parameters(), ["x", "y"]).save(tmp_path / "model")
    file = next((tmp_path / "model" / "metadata").glob("part-*"))
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    for crc in file.parent.glob(".*.crc"):
        crc.unlink()
    with pytest.raises(ModelFileError, match="damaged"):
        Mixture.load(tmp_path / "model")


def test_a_selector_chooses_noise_for_outliers(table):
    selector = GaussianMixtureSelector(inputCols=["x", "y"], ks=[1, 2], noises=[False, True], nInit=3, maxIter=30)
    chosen = selector.fit(table)
    selection = chosen.summary.selection
    assert [(row.k, row.noise) for row in selection.rows] == [(1, False), (2, False), (1, True), (2, True)]
    assert (chosen.getK(), chosen.getNoise()) == (2, True)
    assert selection.rows[3].nParameters == selection.rows[1].nParameters + 1
    assert "k=2 full + noise is the best" in repr(selection)
    assert selection.toDF().where("noise").count() == 2


def test_param_maps_may_differ_in_noise(table):
    estimator = GaussianMixture(inputCols=["x", "y"], k=K, nInit=2, maxIter=20)
    found = estimator.fit(table, [{estimator.noise: False}, {estimator.noise: True}])
    assert [one.noiseWeight > 0 for one in found] == [False, True]


def test_a_fit_goes_on_from_a_model_with_noise(model, table):
    again = GaussianMixture(inputCols=["x", "y"], maxIter=2).setInitialModel(model)
    assert again.getNoise()
    assert again.fit(table).noiseWeight == pytest.approx(model.noiseWeight, abs=0.01)
    with pytest.raises(ParameterError, match="noise=False, but the initial model has noise"):
        again.setNoise(False).fit(table)


def test_noise_is_not_fitted_to_constant_features(spark):
    table = spark.createDataFrame([(float(i), 3.0) for i in range(20)], ["x", "y"])
    with pytest.raises(DataError, match="one value in all 20 row"):
        GaussianMixture(inputCols=["x", "y"], k=1, covarianceType="spherical", noise=True).fit(table)


def test_anomalies_below_the_share_of_noise_are_refused(model, table):
    judging = model.copy().setAnomalyCol("odd")
    for fraction in (0.001, 0.02):
        with pytest.raises(ParameterError, match="but noise holds about"):
            judging.setAnomalyFraction(fraction).transform(table)
        with pytest.raises(ParameterError, match="but noise holds about"):
            model.local().is_anomaly([0.0, 0.0], fraction)
    found = judging.setAnomalyFraction(0.3).setReasonsCol("why").transform(table)
    odd = found.where("odd")
    assert odd.count() == pytest.approx(0.3 * table.count(), rel=0.05)
    assert odd.where("why is null or size(why) != 2").count() == 0


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda model: model.to_onnx(), "to_onnx"),
        (lambda model: model.to_sklearn(), "scikit-learn"),
        (lambda model: model.local().to_onnx(), "to_onnx"),
        (lambda model: GaussianMixtureSelector(ks=[1], noises=[]).check_params(), "noises"),
        (lambda model: GaussianMixtureSelector(ks=[1], noises=[True, True]).check_params(), "noises"),
        (lambda model: GaussianMixtureSelector(ks=[1], noises=["yes"]), "noises|False and True"),  # type: ignore[list-item]
    ],
)
def test_what_does_not_go_with_noise_is_refused(spark, use, told):
    with pytest.raises((ParameterError, TypeError), match=told):
        use(GaussianMixtureModel(parameters(), ["x", "y"]))


def test_heavy_noise_is_told(spark):
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(0.0, 0.5, (300, 2)), rng.uniform(-20.0, 20.0, (300, 2))])
    table = spark.createDataFrame(pd.DataFrame(rows, columns=["x", "y"])).coalesce(1)
    found: list[Check] = GaussianMixture(inputCols=["x", "y"], k=1, noise=True, nInit=1).fit(table).summary.checks
    assert [one.figures["weight"] for one in found if one.code == "noise-heavy"] == [pytest.approx(0.5, abs=0.05)]
