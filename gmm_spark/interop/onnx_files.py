"""Files of ONNX that have been written: run on rows of their mixture, and described. This module needs onnx."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
from onnx import TensorProto, ValueInfoProto, load_model_from_string

from gmm_spark.core.formatting import show_name, show_number
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.errors import ModelFileError
from gmm_spark.interop.onnx import OUTPUTS

# What the outputs are.
_MEANINGS = dict(zip(OUTPUTS, ("most probable component, -1 for a bad row", "of each component", "nats"), strict=True))
# Rows that a file is checked on, and how far its scores may be from the model's.
_CHECKED, _SAME = 1000, 1e-6


def compare_scores(graph: bytes, parameters: MixtureParameters, columns: bool = False) -> float | None:
    """Run a graph on rows drawn from its mixture, and compare its scores with this package's.

    Parameters
    ----------
    graph : bytes
        A file that :func:`.to_onnx` has written.
    parameters : MixtureParameters
    columns : bool
        As it was written.

    Returns
    -------
    float or None
        The largest difference of the log-densities, nats; None if onnxruntime is not installed.

    Raises
    ------
    ModelFileError
        If the graph cannot be run, or its scores are others.
    """
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    counts = component_counts(parameters, _CHECKED, seed=0)
    rows = draw_chunk(parameters, counts, 0, 0)[0]  # (d, n)
    expected = density.responsibilities(parameters, rows).T
    log_density = density.log_density(parameters, rows)
    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        fed = (
            {name: row[:, None] for name, row in zip(names, rows, strict=True)}
            if columns
            else {names[0]: rows.T.copy()}
        )
        label, probabilities, found = session.run(list(OUTPUTS), fed)
    except Exception as error:  # its errors have no class of their own
        raise ModelFileError(f"onnxruntime cannot run the graph: {error}; do not use the file") from error
    best = np.take_along_axis(expected, np.asarray(label)[:, None], axis=1)[:, 0]  # a tie may be broken otherwise
    difference = np.abs(found - log_density)
    if (
        np.abs(probabilities - expected).max() > _SAME
        or (expected.max(axis=1) - best).max() > _SAME
        or (difference > _SAME * np.maximum(1.0, np.abs(log_density))).any()
    ):
        raise ModelFileError("onnxruntime's scores are not those of the model; do not use the file, and report this")
    return float(difference.max())


def describe_graph(graph: bytes) -> str:
    """Describe what a graph that :func:`.to_onnx` has written takes and gives, in a line each."""
    model = load_model_from_string(graph)
    kept = {one.key: one.value for one in model.metadata_props}
    lines = [f"  input   {_show(one)}" for one in model.graph.input]
    if len(model.graph.input) == 1 and "feature_names" in kept:
        lines[0] += f": {', '.join(map(show_name, json.loads(kept['feature_names'])))}"
    lines += [f"  output  {_show(one)}: {_MEANINGS[one.name]}" for one in model.graph.output]
    if "anomaly_threshold" in kept:
        threshold = show_number(float(kept["anomaly_threshold"]), 6)
        lines.append(
            f"  a row is an anomaly if its log_density is below {threshold}: so are "
            f"{float(kept['anomaly_fraction']):g} of the training rows"
        )
    return "\n".join(lines)


def _show(value: ValueInfoProto) -> str:
    kind = value.type.tensor_type
    shape = ", ".join(one.dim_param or str(one.dim_value) for one in kind.shape.dim)
    name = "float64" if kind.elem_type == TensorProto.DOUBLE else "int64"
    return f"{show_name(value.name)} ({shape}) {name}"
