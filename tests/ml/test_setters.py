"""Setting parameters: None means the default, and a value that a parameter cannot take is refused at once, by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.errors import ParameterError
from tests.tables import mixture

Holder = GaussianMixture | GaussianMixtureSelector | GaussianMixtureModel


def setter(holder: Holder, name: str) -> Callable[[Any], object]:
    found: Callable[[Any], object] = getattr(holder, f"set{name[0].upper()}{name[1:]}")
    return found


SETTABLE = [(kind, p.name) for kind in (GaussianMixture, GaussianMixtureSelector) for p in kind().params]
OTHER = {
    "inputCols": ["a"],
    "weightCol": "w",
    "ks": [7],
    "covarianceTypes": ["diag"],
    "accelerate": False,
    "portrait": True,
    "noise": True,
    "packing": "spark",
    "noises": [True],
    "anomalyFraction": 0.5,
    "regCovar": 0.5,
    "varianceFloor": [0.5],
    "tol": 0.5,
    "validationFraction": 0.5,
}
TEXTS = ("Col", "Type", "Kind", "Mode", "precision", "handleInvalid", "criterion")


def other_value(name: str) -> object:
    """Return a value that is not the default."""
    return OTHER.get(name, "other" if name.endswith(TEXTS) else 7)


@pytest.mark.parametrize(("kind", "name"), SETTABLE)
def test_none_sets_a_parameter_back_to_its_default(kind: type[Any], name: str) -> None:
    fresh = kind()
    ways: list[Callable[[Any], object]] = [
        lambda one: setter(one, name)(None),
        lambda one: one.setParams(**{name: None}),
        lambda one: one.set(one.getParam(name), None),
    ]
    for way in ways:
        changed = kind(**{name: other_value(name)})
        assert changed.isSet(name)
        way(changed)
        assert not changed.isSet(name)
        assert changed.isDefined(name) == fresh.isDefined(name)
        assert not changed.isDefined(name) or changed.getOrDefault(name) == fresh.getOrDefault(name)
    changed = kind(**{name: other_value(name)})
    by_map = changed.copy({changed.getParam(name): None})  # as fit(table, params) and the tuning of pyspark.ml do
    assert (by_map.isSet(name), changed.isSet(name)) == (False, True)
    assert not kind(**{name: None}).isSet(name)


def test_none_sets_a_parameter_of_a_model_back_to_its_default() -> None:
    model = GaussianMixtureModel(mixture()).setPredictionCol("p").setInputCols(["a", "b"])
    assert model.setPredictionCol(None).getPredictionCol() == "prediction"
    assert model.setInputCols(None).input_columns is None


@pytest.mark.parametrize("holder", [GaussianMixture(), GaussianMixtureSelector(), GaussianMixtureModel(mixture())])
def test_a_text_is_not_a_list_of_columns(holder: Holder) -> None:
    with pytest.raises(TypeError, match=r'"inputCols".*xy.*list of strings'):
        holder.setInputCols("xy")
    assert holder.input_columns is None


@pytest.mark.parametrize("names", [{"x", "y"}, frozenset("xy"), 5, ["x", 5]])
def test_columns_without_an_order_or_a_name_are_refused(names: Any) -> None:
    with pytest.raises(TypeError, match=r'"inputCols".*list of strings'):
        GaussianMixture().setInputCols(names)


def test_any_ordered_collection_of_names_is_a_list_of_columns() -> None:
    collections: list[Any] = [["a", "b"], ("a", "b"), {"a": 1, "b": 2}.keys(), pd.Index(["a", "b"])]
    for names in collections:
        assert GaussianMixture().setInputCols(names).getInputCols() == ["a", "b"]


def test_a_text_is_not_a_list_of_structures_or_of_feature_names() -> None:
    with pytest.raises(TypeError, match=r'"covarianceTypes".*full'):
        GaussianMixtureSelector().setCovarianceTypes("full")
    for names in ("xy", ["x"], ["x", "y", "z"]):
        with pytest.raises(ParameterError, match=r"featureNames=.*need a list of 2 names"):
            GaussianMixtureModel(mixture(d=2), names)


@pytest.mark.parametrize("name", ["seed", "k", "maxIter", "nInit", "sampleRows", "aggregationDepth"])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1e30, 10**400])
def test_an_integer_beyond_64_bits_is_refused_by_name(name: str, value: float) -> None:
    estimator = GaussianMixture()
    settings: dict[str, Any] = {name: value}
    for way in (setter(estimator, name), lambda v: estimator.setParams(**{name: v})):
        with pytest.raises(ParameterError, match=f"{name}="):
            way(value)
    with pytest.raises(ParameterError, match=f"{name}="):
        GaussianMixture(**settings)
    with pytest.raises(ParameterError, match=f"{name}="):
        estimator.copy({estimator.getParam(name): value})
    assert not estimator.isSet(name)


@pytest.mark.parametrize("kind", [GaussianMixture, GaussianMixtureSelector])
def test_a_seed_may_be_any_64_bit_integer(kind: type[Any]) -> None:
    for seed in (2**63 - 1, -(2**63), -7):
        assert kind(seed=seed).getSeed() == kind().setSeed(seed).getSeed() == seed
    for seed in (2**63, -(2**63) - 1):
        with pytest.raises(ParameterError, match=r"seed=-?9223372036854775\d+; need an integer >= -2\*\*63"):
            kind().setSeed(seed)


@pytest.mark.parametrize("name", ["seed", "k", "nInit"])
@pytest.mark.parametrize("value", [1.5, "7", True, float("nan")])
def test_a_value_of_the_wrong_type_is_pyspark_mls_type_error(name: str, value: object) -> None:
    estimator = GaussianMixture()
    for way in (setter(estimator, name), lambda v: estimator.set(estimator.getParam(name), v)):
        with pytest.raises(TypeError, match=f'"{name}"'):
            way(value)


def test_an_estimator_can_be_pickled() -> None:
    twin = pickle.loads(pickle.dumps(GaussianMixture(k=5, seed=-3, inputCols=["a"])))
    assert (twin.getK(), twin.getSeed(), twin.getInputCols()) == (5, -3, ["a"])
    assert twin.setSeed(8.0).getSeed() == 8
