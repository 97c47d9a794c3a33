"""A mixture as an ONNX graph, run by onnxruntime: it scores as ours does, wherever the features lie."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from gmm_spark.interop.onnx import INPUT, OUTPUTS, to_onnx
from tests.examples import random_mixture
from tests.interop.hostile import D, K, hostile_places, mixture_at, rows_for, scores_of

NAMES = ["age", "income", "days since"]


def run(graph, **inputs):
    """Run a graph; return label, probabilities and log_density."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(OUTPUTS), inputs)


@hostile_places
def test_scores_are_ours_at_any_offset_and_scale(covariance_type, offset, scale):
    parameters = mixture_at(covariance_type, offset, scale)
    rows = rows_for(parameters)
    labels, probabilities, log_density = scores_of(parameters, rows)
    found = run(to_onnx(parameters), features=rows)
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_allclose(found[1], probabilities, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[2], log_density, rtol=1e-12)


def test_the_graph_is_valid_and_says_what_goes_in_and_out(covariance_type):
    graph = to_onnx(mixture_at(covariance_type, 0.0, 1.0), NAMES)
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [(one.name, one.type, one.shape) for one in session.get_inputs()] == [(INPUT, "tensor(double)", ["rows", D])]
    assert [(one.name, one.type, one.shape) for one in session.get_outputs()] == [
        ("label", "tensor(int64)", ["rows"]),
        ("probabilities", "tensor(double)", ["rows", K]),
        ("log_density", "tensor(double)", ["rows"]),
    ]
    assert json.loads(session.get_modelmeta().custom_metadata_map["feature_names"]) == NAMES


@pytest.mark.parametrize("n", [0, 1, 7, 5000])
def test_a_batch_may_have_any_number_of_rows(covariance_type, n):
    parameters = mixture_at(covariance_type, 1e8, 1.0)
    rows = np.resize(rows_for(parameters), (n, D))
    labels, probabilities, log_density = scores_of(parameters, rows)
    found = run(to_onnx(parameters), features=rows)
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_allclose(found[1], probabilities, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[2], log_density, rtol=1e-12)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 4), (5, 1)])
def test_one_component_or_one_feature_is_enough(covariance_type, k, d):
    parameters = random_mixture(covariance_type, k, d, np.random.default_rng(3))
    rows = np.random.default_rng(4).normal(scale=5.0, size=(20, d))
    labels, probabilities, log_density = scores_of(parameters, rows)
    found = run(to_onnx(parameters), features=rows)
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_allclose(found[1], probabilities, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[2], log_density, rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_row_has_no_component_and_spoils_no_other(covariance_type, bad):
    parameters = mixture_at(covariance_type, 0.0, 1.0)
    rows = rows_for(parameters)
    expected = run(to_onnx(parameters), features=rows)
    rows[3, 1] = bad
    label, probabilities, log_density = run(to_onnx(parameters), features=rows)
    assert label[3] == -1
    assert np.isnan(probabilities[3]).all()
    assert np.isnan(log_density[3])
    others = np.arange(len(rows)) != 3
    np.testing.assert_array_equal(label[others], expected[0][others])
    np.testing.assert_array_equal(probabilities[others], expected[1][others])
    np.testing.assert_array_equal(log_density[others], expected[2][others])


def test_each_feature_may_be_an_input_of_its_own(covariance_type):
    parameters = mixture_at(covariance_type, 0.0, 1.0)
    rows = rows_for(parameters)
    graph = to_onnx(parameters, NAMES, columns=True)
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {name: rows[:, [i]] for i, name in enumerate(NAMES)}
    whole = run(to_onnx(parameters), features=rows)
    for found, expected in zip(session.run(list(OUTPUTS), inputs), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="income"):
        session.run(None, {name: inputs[name] for name in NAMES if name != "income"})


@pytest.mark.parametrize(
    "names", [None, ["a", "label", "c"], ["a", "a", "b"], ["", "a", "b"], ["a", "gmm_spark/b", "c"]]
)
def test_names_that_inputs_cannot_have_are_refused(names):
    with pytest.raises(ParameterError, match="columns=True: "):
        to_onnx(mixture_at("full", 0.0, 1.0), names, columns=True)
    to_onnx(mixture_at("full", 0.0, 1.0), names)  # in one input there is no clash


def test_a_graph_too_large_for_a_file_is_refused():
    d = 16_000
    parameters = MixtureParameters([1.0], [[0.0]], [1.0], "spherical")
    object.__setattr__(parameters, "means", np.broadcast_to(0.0, (2, d)))
    object.__setattr__(parameters, "covariances", np.broadcast_to(0.0, (2, d, d)))
    with pytest.raises(ParameterError, match=r"needs 4\.1 GB; ONNX holds 2 GB"):
        to_onnx(parameters)
