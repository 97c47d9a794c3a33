"""A mixture as an ONNX graph, for services that have no Python package of ours. This module needs onnx.

The graph computes in float64 and as :mod:`gmm_spark.core.mixture.density` does: it subtracts the mean of each
component, multiplies by its precision factor, and sums exponentials relative to the largest term. So it keeps its
digits far from zero, and neither overflows nor underflows::

    features (n, d) ─▶ centred (k, n, d) ─▶ log_prob (k, n) ─▶ label (n,), probabilities (n, k), log_density (n,)

Operators are of opset 18, which onnxruntime has had since 1.14.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from gmm_spark._version import __version__
from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.density import SAME_WIDTH
from gmm_spark.core.mixture.noise import refuse_noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

INPUT = "features"
OUTPUTS = ("label", "probabilities", "log_density")

_OPSET, _IR_VERSION = 18, 8
# Of values inside the graph: a feature may have any other name.
_PREFIX = "gmm_spark/"
# A file of protocol buffers holds less than this.
_MOST_BYTES = 2_000_000_000


class _Graph:
    """Nodes and constants of a graph under construction."""

    def __init__(self, parent: _Graph | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._root: _Graph = self if parent is None else parent._root
        self._count = 0

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """Add a constant and return its name."""
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of what it computes."""
        name = output or self._name(operator)
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def branch(self, output: str) -> GraphProto:
        """Return the graph as a branch of ``If``."""
        value = helper.make_tensor_value_info(output, TensorProto.DOUBLE, None)
        return helper.make_graph(self.nodes, output, [], [value], self.constants)

    def _name(self, kind: str) -> str:
        root = self._root  # names inside a branch must differ from those around it
        root._count += 1
        return f"{_PREFIX}{kind}_{root._count}"


def to_onnx(
    parameters: MixtureParameters,
    feature_names: Sequence[str] | None = None,
    log_densities: LogDensityHistogram | None = None,
    anomaly_fraction: float | None = None,
    *,
    path: str | PathLike[str] | None = None,
    columns: bool = False,
) -> ModelProto:
    """Write a mixture as an ONNX graph.

    Parameters
    ----------
    parameters : MixtureParameters
    feature_names : sequence of str, optional
        Kept in the metadata, in the order of the features.
    log_densities : LogDensityHistogram, optional
        Of the training rows.
    anomaly_fraction : float, optional
        Kept in the metadata, with the log-density below which a row is an anomaly, if that is known.
    path : str or path-like, optional
        File of this machine to write the graph to.
    columns : bool
        Whether each feature is an input of its own, (n, 1), under its name. By default there is one input,
        ``features`` (n, d).

    Returns
    -------
    ModelProto
        Inputs are float64. Outputs: ``label`` (n,) int64, the most probable component; ``probabilities`` (n, k);
        ``log_density`` (n,), nats. A row with a value that is NaN or infinite has label -1, and NaN in the others.

    Raises
    ------
    ParameterError
        If columns are asked for and features have no names or names of outputs, or if the graph is too large for a
        file of ONNX, or the mixture has noise.
    """
    refuse_noise(parameters.noise, "to_onnx()")
    k, d = parameters.means.shape
    if (size := 8 * (2 * k * d + parameters.covariances.size)) > _MOST_BYTES:
        raise ParameterError(
            f"a graph of k={k} components and d={d} features needs {size / 1e9:.1f} GB; ONNX holds 2 GB"
        )
    graph = _Graph()
    if columns:
        names = _require_names(feature_names)
        inputs = [_describe(name, TensorProto.DOUBLE, 1) for name in names]
        rows = graph.add("Concat", *names, axis=1)
    else:
        inputs = [_describe(INPUT, TensorProto.DOUBLE, d)]
        rows = INPUT
    _add_scores(graph, parameters, rows)
    outputs = [
        _describe(OUTPUTS[0], TensorProto.INT64),
        _describe(OUTPUTS[1], TensorProto.DOUBLE, k),
        _describe(OUTPUTS[2], TensorProto.DOUBLE),
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "gaussian_mixture", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="gmm-spark",
        producer_version=__version__,
    )
    kept: dict[str, Any] = {"covariance_type": parameters.covariance_type}
    if feature_names is not None:
        kept["feature_names"] = json.dumps(list(feature_names))
    if anomaly_fraction is not None:
        kept["anomaly_fraction"] = anomaly_fraction
        if log_densities is not None:
            kept["anomaly_threshold"] = log_densities.quantile(anomaly_fraction)
    helper.set_model_props(model, {name: str(value) for name, value in kept.items()})
    if path is not None:
        Path(path).write_bytes(model.SerializeToString())
    return model


def _add_scores(graph: _Graph, parameters: MixtureParameters, rows: str) -> None:
    """Add the nodes from rows (n, d) to the three outputs."""
    means = graph.constant(parameters.means[:, None, :])  # (k, 1, d)
    # (d, d) and (k, d, d) are multiplied by; (k, 1, d) and (k, 1, 1) scale.
    aligned = parameters.structure.axis_aligned
    factors = parameters.precisions_cholesky
    factor = graph.constant(factors.reshape(len(factors), 1, -1) if aligned else factors)
    # Axes are counted from the first: with -1, old versions of onnxruntime fail if there are no rows.
    first, second, third = (graph.constant([axis], np.int64) for axis in range(3))
    nothing, unknown = graph.constant(-np.inf), graph.constant(np.nan)

    centred = graph.add("Sub", graph.add("Unsqueeze", rows, first), means)  # (k, n, d)
    whitened = graph.add("Mul" if aligned else "MatMul", centred, factor)
    half = graph.add("Mul", graph.add("ReduceSumSquare", whitened, third, keepdims=0), graph.constant(0.5))
    log_prob = graph.add("Sub", graph.constant(parameters.log_normalisers[:, None]), half)  # (k, n)
    # NaN comes of values that overflow. What ReduceMax makes of one depends on where it stands.
    log_prob = graph.add("Where", graph.add("IsNaN", log_prob), nothing, log_prob)

    largest = graph.add("ReduceMax", log_prob, first, keepdims=1)  # (1, n)
    far = graph.add("IsInf", largest)
    reference = graph.add("Where", far, graph.constant(0.0), largest)
    shares = graph.add("Exp", graph.add("Sub", log_prob, reference))
    total = graph.add("ReduceSum", shares, first, keepdims=1)
    log_density = graph.add("Where", far, nothing, graph.add("Add", graph.add("Log", total), reference))
    probabilities = _replace_far(graph, parameters, rows, factor, far, graph.add("Div", shares, total))

    not_finite = graph.add("Or", graph.add("IsNaN", rows), graph.add("IsInf", rows))
    count = graph.add("ReduceSum", graph.add("Cast", not_finite, to=TensorProto.DOUBLE), second, keepdims=0)
    bad = graph.add("Greater", count, graph.constant(0.0))  # (n,)
    label = graph.add("ArgMax", probabilities, axis=0, keepdims=0)
    graph.add("Where", bad, graph.constant(-1, np.int64), label, output=OUTPUTS[0])
    by_row = graph.add("Transpose", graph.add("Where", bad, unknown, probabilities), perm=[1, 0])
    graph.add("Identity", by_row, output=OUTPUTS[1])
    graph.add("Where", bad, unknown, graph.add("Squeeze", log_density, first), output=OUTPUTS[2])


def _replace_far(
    graph: _Graph, parameters: MixtureParameters, rows: str, factor: str, far: str, probabilities: str
) -> str:
    """Give rows too far off for a density to their nearest component, as ``density.find_nearest`` does.

    If there is no such row, as nearly always, nothing of it is computed.
    """
    some = graph.add("ReduceSum", graph.add("Cast", far, to=TensorProto.DOUBLE), keepdims=0)
    found = _Graph(graph)
    first, second, third = (found.constant([axis], np.int64) for axis in range(3))
    length = found.add("ReduceMax", found.add("Abs", rows), second, keepdims=1)
    direction = found.add("Div", rows, found.add("Max", length, found.constant(1.0)))
    aligned = parameters.structure.axis_aligned
    largest = np.abs(parameters.component_cholesky).max()
    scaled = found.add("Mul", factor, found.constant(1 / largest))
    turned = found.add("Mul" if aligned else "MatMul", found.add("Unsqueeze", direction, first), scaled)  # (k, n, d)
    squares = found.add("ReduceSumSquare", turned, third, keepdims=0)
    absent = found.constant(np.where(parameters.weights > 0, 0.0, np.inf)[:, None])
    squares = found.add("Add", squares, absent)  # (k, n), or (1, n) + (k, 1)
    whitened_means = _whiten_means(parameters) / largest
    projections = found.add("ReduceSum", found.add("Mul", turned, found.constant(whitened_means)), third, keepdims=0)
    bound = found.add("Mul", found.add("ReduceMin", squares, first, keepdims=1), found.constant(1 + SAME_WIDTH))
    widest = found.add("LessOrEqual", squares, bound)
    choice = found.add("Where", widest, projections, found.constant(-np.inf))
    nearest = found.add("ArgMax", choice, axis=0, keepdims=1)  # (1, n)
    mine = found.add("Equal", nearest, found.constant(np.arange(parameters.n_components)[:, None], np.int64))
    mended = found.add("Where", far, found.add("Cast", mine, to=TensorProto.DOUBLE), probabilities)
    kept = _Graph(graph)
    same = kept.add("Identity", probabilities)
    return graph.add(
        "If",
        graph.add("Greater", some, graph.constant(0.0)),
        then_branch=found.branch(mended),
        else_branch=kept.branch(same),
    )


def _whiten_means(parameters: MixtureParameters) -> Array:
    """Multiply each mean by its component's factor, (k, 1, d)."""
    means, factors = parameters.means, parameters.component_cholesky
    if parameters.structure.axis_aligned:
        return (factors * means)[:, None, :]
    return np.asarray(means[:, None, :] @ factors)


def _describe(name: str, kind: int, width: int | None = None) -> ValueInfoProto:
    """Describe an input or an output: any number of rows, of a width if it has two dimensions."""
    return helper.make_tensor_value_info(name, kind, ["rows"] if width is None else ["rows", width])


def _require_names(names: Sequence[str] | None) -> Sequence[str]:
    """Refuse names that inputs cannot have."""
    if names is None:
        raise ParameterError(
            "columns=True: the features of this mixture have no names; need one for each, or leave it out"
        )
    unusable = sorted(name for name in names if not name or name in OUTPUTS or name.startswith(_PREFIX))
    if unusable or len(set(names)) < len(names):
        raise ParameterError(
            f"columns=True: features are named {', '.join(map(repr, names))}; need different names that are not empty "
            f"and none of {', '.join(OUTPUTS)}"
        )
    return names
