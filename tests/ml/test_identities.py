"""Ids and names of components survive refits, other k, files and rows in memory; scores write the id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, Mixture, MixtureParameters
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.errors import ParameterError

MEANS = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
OUTPUTS: dict[str, Any] = {"inputCols": ["x", "y"], "predictionCol": "p", "componentIdCol": "id"}


def frame(means: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(np.concatenate([rng.normal(mean, 1.0, (150, 2)) for mean in means]), columns=["x", "y"])


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(frame(MEANS)).coalesce(1).persist()


def previous(order: tuple[int, ...] = (2, 0, 1)) -> GaussianMixtureModel:
    """An earlier model of the blobs in another order, whose ids are 7, 3 and 5."""
    parameters = MixtureParameters([1 / 3] * 3, MEANS[list(order)], np.ones(3), "spherical")
    identities = Identities((7, 3, 5), ("north", None, "east"), 9)
    return GaussianMixtureModel(parameters, ["x", "y"], identities=identities)


def ids_by_mean(model: GaussianMixtureModel) -> dict[tuple[int, int], int]:
    means = ((int(round(x / 9) * 9), int(round(y / 9) * 9)) for x, y in model.means)
    return dict(zip(means, model.componentIds, strict=True))


WANTED = {(0, 9): 7, (0, 0): 3, (9, 0): 5}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_starts_in_any_order_give_the_ids_and_names_of_the_model_before(table: DataFrame, seed: int) -> None:
    estimator = GaussianMixture(k=3, seed=seed, nInit=2, **OUTPUTS).setPreviousModel(previous())
    model = estimator.fit(table)
    assert ids_by_mean(model) == WANTED
    assert model.componentNames[model.componentIds.index(7)] == "north"
    assert {one.kind for one in model.summary.changes} == {"kept"}
    plain = estimator.setPreviousModel(None).fit(table)
    assert (plain.componentIds, plain.summary.changes) == ([0, 1, 2], [])
    np.testing.assert_array_equal(plain.means, model.means)
    row = model.transform(table).select("id", F.col("p")).where("x > 5 and y < 5").distinct().collect()
    assert [tuple(one) for one in row] == [(5, model.componentIds.index(5))]


def test_other_k_keeps_what_is_the_same_in_estimator_and_selector(table: DataFrame) -> None:
    fewer = GaussianMixture(k=2, seed=1, **OUTPUTS).setPreviousModel(previous()).fit(table)
    assert len({3, 5, 7} & {*fewer.componentIds}) == 2 or max(fewer.componentIds) == 9
    selector = GaussianMixtureSelector(ks=[4], covarianceTypes=["diag"], seed=1, maxIter=9, inputCols=["x", "y"])
    more = selector.setPreviousModel(previous()).fit(table)
    assert {3, 5, 7} < {*more.componentIds}
    assert max(more.componentIds) == 9
    assert [one.kind for one in more.summary.changes if one.id == 9] == ["split"]


def test_a_fit_that_goes_on_from_a_model_keeps_its_ids(table: DataFrame) -> None:
    estimator = GaussianMixture(inputCols=["x", "y"]).setInitialModel(previous())
    assert estimator.fit(table).componentIds == [7, 3, 5]
    assert estimator.setInitialModel(previous().parameters).fit(table).componentIds == [0, 1, 2]


def test_features_may_be_in_another_order_but_not_be_others(spark: SparkSession, table: DataFrame) -> None:
    estimator = GaussianMixture(k=3, inputCols=["y", "x"]).setPreviousModel(previous())
    turned = estimator.fit(table)
    assert {(y, x): one for (x, y), one in ids_by_mean(turned).items()} == WANTED
    other = table.withColumn("z", F.col("x"))
    for columns, message in ((["x", "z"], "the table lacks: 'y'"), (["x", "y", "z"], "2 features and the table 3")):
        with pytest.raises(ParameterError, match=message):
            estimator.setInputCols(columns).fit(other)
    with pytest.raises(ParameterError, match="need a GaussianMixtureModel"):
        estimator.setPreviousModel(previous().parameters)  # type: ignore[arg-type]


def test_ids_and_names_are_saved_and_read_with_and_without_spark(spark: SparkSession, tmp_path: Path) -> None:
    model = previous().setComponentNames({3: "centre", 5: None})
    model.save(str(tmp_path / "spark"))
    local = Mixture.load(tmp_path / "spark")
    local.save(tmp_path / "local")
    for found in (
        GaussianMixtureModel.load(str(tmp_path / "spark")),
        GaussianMixtureModel.load(str(tmp_path / "local")),
        GaussianMixtureModel.from_local(local),
        model.copy(),
    ):
        assert (found.identities, found.identities.recorded) == (model.identities, True)
    assert (local.component_ids, local.component_names) == ([7, 3, 5], ["north", "centre", None])
    assert local.predict_id([[9.0, 1.0], [0.0, 8.0]]).tolist() == [5, 7]
    assert (local.predict_id([9.0, 1.0]), local.predict([9.0, 1.0])) == (5, 2)
    keeping = Mixture.load(tmp_path / "spark", handle_invalid="keep")
    assert keeping.predict_id([[np.nan, 1.0], [9.0, 0.0]]).tolist() == [-1, 5]
    assert keeping.predict_id([np.nan, 1.0]) is None
    for described in (model, local):
        assert list(described.describe().columns[:3]) == ["id", "name", "weight"]
        assert "7 (north)" in described._repr_html_()


def test_files_without_ids_are_read_as_0_to_k_1_and_say_so(
    spark: SparkSession, table: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    previous().save(str(tmp_path / "old"))
    (file,) = (tmp_path / "old").glob("metadata/part-*")
    metadata = json.loads(file.read_text())
    assert metadata.pop("components") == {"ids": [7, 3, 5], "names": ["north", None, "east"], "nextId": 9}
    file.write_text(json.dumps(metadata) + "\n")
    file.with_name(f".{file.name}.crc").unlink()
    old = GaussianMixtureModel.load(str(tmp_path / "old"))
    assert (old.componentIds, old.identities.recorded) == ([0, 1, 2], False)
    assert not Mixture.load(tmp_path / "old").identities.recorded
    with caplog.at_level("INFO", logger="gmm_spark.ml.identifying"):
        found = GaussianMixture(k=3, inputCols=["x", "y"]).setPreviousModel(old).fit(table)
    assert ids_by_mean(found) == {(0, 9): 0, (0, 0): 1, (9, 0): 2}
    assert "saved without ids" in caplog.text
    old.save(str(tmp_path / "again"))
    assert not GaussianMixtureModel.load(str(tmp_path / "again")).identities.recorded


def test_names_that_fit_no_component_are_refused() -> None:
    model = previous()
    assert model.setComponentNames(["a", None, "b"]).componentNames == ["a", None, "b"]
    for names, message in (
        ("abc", "one for each of 3 components"),
        (["a"], "one for each of 3 components"),
        ({1: "x"}, "no component has the id 1; the ids are 7, 3, 5"),
        ({3: "a"}, "different texts"),
    ):
        with pytest.raises(ParameterError, match=message):
            model.setComponentNames(names)
