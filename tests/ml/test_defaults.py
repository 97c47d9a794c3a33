"""A default is the same wherever a person can read it: signature, parameter map, settings of EM, docstring."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import Settings

ESTIMATORS = [GaussianMixture, GaussianMixtureSelector]
# The parameters of an estimator that are settings of EM, by the name they have there.
IN_SETTINGS = {
    "k": "k",
    "covariance_type": "covarianceType",
    "max_iter": "maxIter",
    "tol": "tol",
    "seed": "seed",
    "n_init": "nInit",
    "init_mode": "initMode",
    "reg_covar": "regCovar",
    "variance_floor": "varianceFloor",
    "accelerate": "accelerate",
    "sample_rows": "sampleRows",
    "weight_kind": "weightKind",
    "noise": "noise",
}


def signature_defaults(kind: type) -> dict[str, object]:
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def map_defaults(instance: GaussianMixture | GaussianMixtureSelector) -> dict[str, object]:
    """None for a parameter without a default, as in a signature."""
    return {p.name: instance.getOrDefault(p) if instance.hasDefault(p) else None for p in instance.params}


def documented_defaults(kind: type) -> dict[str, str]:
    """Texts of the defaults in a class's docstring; "None" for an optional parameter."""
    entries = re.findall(r"^(\w+) : .*?(?:, default (.+)|, (optional))?$", inspect.getdoc(kind) or "", re.MULTILINE)
    return {name: "None" if optional else default for name, default, optional in entries}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_signature_shows_the_default_of_every_parameter(kind: type) -> None:
    shown = signature_defaults(kind)
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in shown.items()} == map_defaults(kind())


def test_the_estimators_agree_on_the_parameters_they_share() -> None:
    one, many = (map_defaults(kind()) for kind in ESTIMATORS)
    shared = one.keys() & many.keys()
    assert shared == one.keys() - {"k", "covarianceType", "noise", "aggregationDepth"}
    assert {name: one[name] for name in shared} == {name: many[name] for name in shared}
    assert many["covarianceTypes"] == [one["covarianceType"]]


def test_a_setting_of_em_has_the_default_of_its_parameter() -> None:
    assert {field.name for field in fields(Settings)} == set(IN_SETTINGS)
    defaults = map_defaults(GaussianMixture())
    assert {field.name: field.default for field in fields(Settings)} == {
        ours: defaults[theirs] for ours, theirs in IN_SETTINGS.items()
    }


def test_the_docstring_tells_every_default() -> None:
    told = documented_defaults(GaussianMixture)
    assert told == {name: repr(value).replace("'", '"') for name, value in signature_defaults(GaussianMixture).items()}
    own = documented_defaults(GaussianMixtureSelector)
    assert own == {
        "ks": "",
        "covarianceTypes": '["full"]',
        "noises": "[False]",
        "criterion": '"bic"',
        "validationFraction": "0.0",
    }


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_parameter_is_documented_here_and_not_by_pyspark(kind: type) -> None:
    for parameter in kind().params:
        first = next(base for base in kind.__mro__ if parameter.name in vars(base))
        assert first.__module__.startswith("gmm_spark."), f"{parameter.name}: {parameter.doc}"
        assert parameter.doc.endswith(".")


def test_a_model_samples_in_the_default_precision() -> None:
    parameters = inspect.signature(GaussianMixtureModel.sample).parameters
    model = GaussianMixtureModel(MixtureParameters([1.0], [[0.0]], [1.0], "spherical"))
    assert parameters["precision"].default == model.getPrecision()
