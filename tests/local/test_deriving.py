"""Marginals, conditionals and regression of a mixture in memory: against scipy, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid
from scipy.special import softmax
from scipy.stats import multivariate_normal

from gmm_spark import Mixture, MixtureParameters
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.errors import DataError, ParameterError
from tests.examples import random_mixture

NAMES = ["a", "b", "c", "d"]
STRUCTURES = ("full", "tied", "diag", "spherical")


def build(kind: str = "full", **more: Any) -> Mixture:
    return Mixture(random_mixture(kind, 3, 4, np.random.default_rng(5)), NAMES, **more)


def condition_by_scipy(parameters: MixtureParameters, given: list[int], value: np.ndarray, rest: list[int]):
    """Return mean and deviation of the rest (Bishop 2006, eq. 2.81 and 2.82), weighted by scipy's densities."""
    terms, means, variances = [], [], []
    for weight, mean, covariance in zip(
        parameters.weights, parameters.means, parameters.dense_covariances, strict=True
    ):
        known = covariance[np.ix_(given, given)]
        slope = np.linalg.solve(known, covariance[np.ix_(given, rest)]).T
        terms.append(np.log(weight) + multivariate_normal(mean[given], known).logpdf(value))
        means.append(mean[rest] + slope @ (value - mean[given]))
        variances.append(np.diag(covariance[np.ix_(rest, rest)] - slope @ covariance[np.ix_(given, rest)]))
    shares = softmax(terms)
    mean = shares @ np.array(means)
    return mean, np.sqrt(shares @ (np.array(variances) + (np.array(means) - mean) ** 2)), shares


@pytest.mark.parametrize("kind", STRUCTURES)
def test_regression_is_the_mean_of_the_conditional(kind: str) -> None:
    mixture, rows = build(kind), np.random.default_rng(1).normal(0, 3, (7, 2))
    found = mixture.regress(rows, given=["c", "a"])
    assert found.features == ("b", "d")
    for row, mean, sd in zip(rows, found.mean, found.sd, strict=True):
        expected = condition_by_scipy(mixture.parameters, [2, 0], row, [1, 3])
        np.testing.assert_allclose(mean, expected[0], rtol=1e-9)
        np.testing.assert_allclose(sd, expected[1], rtol=1e-9)
        conditional = mixture.conditional({"c": row[0], "a": row[1]})
        assert conditional.feature_names == ["b", "d"]
        assert conditional.parameters.covariance_type == kind
        moments = conditional.parameters.moments()
        np.testing.assert_allclose(moments[0], mean, rtol=1e-9)
        np.testing.assert_allclose(np.sqrt(moments[1]), sd, rtol=1e-9)
        np.testing.assert_allclose(conditional.parameters.weights, expected[2], rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_marginal_is_the_integral_over_what_is_left_out(kind: str) -> None:
    mixture = build(kind)
    two, one = mixture.marginal(["d", "b"]), mixture.marginal(["b"])
    assert (two.feature_names, one.feature_names) == (["d", "b"], ["b"])
    values = np.linspace(-60, 60, 6001)
    for b in (-2.0, 0.5):
        rows = np.stack([values, np.full(len(values), b)], axis=1)
        assert trapezoid(np.exp(two.log_density(rows)), values) == pytest.approx(np.exp(one.log_density({"b": b})))


def test_many_rows_are_predicted_in_parts_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, rows = build(), np.random.default_rng(1).normal(0, 3, (50, 3))
    whole = mixture.regress(rows, given=["a", "b", "c"])
    monkeypatch.setattr("gmm_spark.core.mixture.conditioning._CENTRES", 20)
    for found, expected in zip(mixture.regress(rows, given=[0, 1, 2])[1:], whole[1:], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_rows_are_tables_arrays_or_dicts_of_the_given_features() -> None:
    mixture, rows = build(), np.random.default_rng(1).normal(0, 3, (3, 2))
    expected = mixture.regress(rows, given=["a", "c"], targets=["d"])
    assert expected.mean.shape == expected.sd.shape == (3, 1)
    table = pd.DataFrame({"c": rows[:, 1], "else": "x", "a": rows[:, 0]})
    np.testing.assert_array_equal(mixture.regress(table, given=["a", "c"], targets=["d"]).mean, expected.mean)
    one = mixture.regress({"a": rows[0, 0], "c": rows[0, 1]}, given=["a", "c"], targets=["d"])
    np.testing.assert_allclose(one.mean, expected.mean[0], rtol=1e-12)
    with pytest.raises(DataError, match="lack 'c'"):
        mixture.regress(table[["a"]], given=["a", "c"])


def test_bad_rows_are_refused_or_have_no_prediction() -> None:
    rows = [[1.0, 2.0], [np.nan, 2.0]]
    with pytest.raises(DataError, match="bad rows"):
        build().regress(rows, given=["a", "b"])
    kept = build(handle_invalid="keep").regress(rows, given=["a", "b"])
    assert np.isfinite(kept.mean[0]).all()
    assert np.isnan(kept.mean[1]).all()
    assert np.isnan(kept.sd[1]).all()
    assert np.isnan(build(handle_invalid="keep").regress({"a": None, "b": 1.0}, given=["a", "b"]).mean).all()
    with pytest.raises(ParameterError, match="handle_invalid='marginal', but regress needs all values"):
        build(handle_invalid="marginal").regress(rows, given=["a", "b"])


def test_noise_stays_beside_the_gaussians_and_has_no_part_in_a_regression() -> None:
    parameters = random_mixture("full", 3, 4, np.random.default_rng(5))
    noisy = Mixture(parameters.with_noise(Noise(0.3, [-20.0, -9.0, -20.0, 0.0], [20.0, 9.0, 20.0, 8.0])), NAMES)
    rows = np.random.default_rng(1).normal(0, 5, (9, 2))
    found = noisy.regress(rows, given=["a", "c"])
    shares = noisy.marginal(["a", "c"]).predict_proba(rows)[:, -1]
    alone = Mixture(parameters, NAMES).regress(rows, given=["a", "c"])
    np.testing.assert_allclose(found.mean, alone.mean, rtol=1e-12)
    np.testing.assert_allclose(found.sd, alone.sd, rtol=1e-12)
    rest = noisy.conditional({"a": rows[0, 0], "c": rows[0, 1]}).parameters.noise
    assert rest is not None
    assert rest.weight == pytest.approx(shares[0])
    assert (rest.low.tolist(), rest.high.tolist()) == ([-9.0, 0.0], [9.0, 8.0])


def test_a_row_far_from_every_component_has_the_prediction_of_the_nearest() -> None:
    mixture = Mixture(MixtureParameters([0.5, 0.5], [[0.0, 1.0], [10.0, 2.0]], [[1.0, 1.0], [1.0, 9.0]], "diag"))
    found = mixture.regress([[1e200], [-1e200]], given=[0])
    assert found.features == (1,)
    np.testing.assert_allclose(found.mean, [[2.0], [1.0]])
    np.testing.assert_allclose(found.sd, [[3.0], [1.0]])


def test_a_derived_mixture_keeps_its_components_and_has_no_threshold(tmp_path: Path) -> None:
    identities = Identities((4, 0, 7), ("late", None, "early"), 8)
    mixture = build(identities=identities, seed=9, handle_invalid="keep")
    for derived in (mixture.marginal(["d", "a"]), mixture.conditional({"b": 0.0, "c": 1.0})):
        assert derived.identities == identities
        assert (derived.seed, derived.handle_invalid) == (9, "keep")
        with pytest.raises(ParameterError, match="is a marginal or conditional of another"):
            derived.is_anomaly([[0.0, 0.0]])
        path = tmp_path / "-".join(derived.feature_names)
        derived.save(path)
        loaded = Mixture.load(path)
        assert loaded.feature_names == derived.feature_names
        assert loaded.identities == identities
        np.testing.assert_array_equal(loaded.log_density([[0.3, 0.2]]), derived.log_density([[0.3, 0.2]]))


def test_values_of_any_number_type_are_given() -> None:
    expected = build().conditional({"a": 2.0, "b": 1.0}).parameters.means
    found = build().conditional({0: Decimal(2), "b": np.float32(1.0)}).parameters.means
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal(["a", "z"]), "columns: got feature 'z'; need one of 'a', 'b', 'c', 'd', or an index"),
        (lambda m: m.marginal([4]), "got feature 4"),
        (lambda m: m.marginal([True]), "got feature True"),
        (lambda m: m.marginal(["a", 0]), "columns has the feature 'a' twice"),
        (lambda m: m.marginal([]), "columns names no feature"),
        (lambda m: m.marginal("ab"), "columns='ab'; need a list"),
        (lambda m: m.conditional(["a"]), r"given is \['a'\]; need a mapping"),
        (lambda m: m.conditional({}), "given names no feature"),
        (lambda m: m.conditional({"a": float("nan")}), "the value of 'a' is nan; need a finite number"),
        (lambda m: m.conditional({"a": None}), "the value of 'a' is None; need a finite number"),
        (lambda m: m.conditional({"a": "1"}), "the value of 'a' is '1'; need a finite number"),
        (lambda m: m.conditional(dict.fromkeys("abcd", 0.0)), r"given names all 4 feature\(s\)"),
        (lambda m: m.regress([[1.0] * 4], given="abcd"), "given='abcd'; need a list"),
        (lambda m: m.regress([[1.0] * 4], given=list("abcd")), r"given names all 4 feature\(s\)"),
        (lambda m: m.regress([[1.0]], given=["a"], targets=["b", "a"]), "targets has 'a', which is given"),
        (lambda m: m.regress([[1.0]], given=["a"], targets=[]), "targets names no feature"),
    ],
)
def test_what_cannot_be_derived_is_named(call: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call(build())


def test_features_of_one_name_are_given_by_index() -> None:
    mixture = Mixture(random_mixture("full", 2, 3, np.random.default_rng(0)), ["x", "x", "y"])
    with pytest.raises(ParameterError, match="several features are called 'x'; give their indices"):
        mixture.marginal(["x"])
    assert mixture.marginal([1]).feature_names == ["x"]
