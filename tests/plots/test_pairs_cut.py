from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gmm_spark import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.plots import draw_pairs
from gmm_spark.plots.ellipses import cut, trace


def test_an_ellipse_that_leaves_its_cell_is_cut_there() -> None:
    mixture = MixtureParameters([0.9, 0.1], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [400.0, 1.0]], "diag")
    frame = Frame.of(mixture, quartiles=np.array([[-0.7, -0.7], [0.0, 0.0], [0.7, 0.7]]))
    rows = np.random.default_rng(0).normal(0.0, 1.0, (2, 500))
    figure = draw_pairs(mixture, Portrait.of(mixture, rows, frame=frame))
    assert figure.reading.endswith("Ellipses that end at an edge go on beyond it.")
    spec = figure.chart.to_dict()
    inline = [layer["data"].get("values", []) for layer in spec["layer"] if "data" in layer]
    tables = [json.loads(one) if isinstance(one, str) else one for one in [*inline, *spec.get("datasets", {}).values()]]
    lines = [one for table in tables for one in table if "step" in one]
    assert len({one["line"] for one in lines}) >= 2
    edge = 150.0 - 8.0
    assert max(one["x"] for one in lines) == pytest.approx(edge)  # to the edge itself
    assert min(one["x"] for one in lines) == pytest.approx(0.0)
    assert all(one["x"] is not None and math.isfinite(one["x"]) for one in lines)


def test_a_closed_line_is_cut_into_the_pieces_inside() -> None:
    round_ = trace(np.array([0.5, 0.5]), np.eye(2), 0.9, 200)
    size = 0.6 / np.linalg.norm(round_ - 0.5, axis=1)[:, None]
    pieces = cut(0.5 + size * (round_ - 0.5))  # a circle of radius 0.6 leaves the square at its four sides
    assert len(pieces) in (4, 5)  # a piece may begin and end where the line does
    for piece in pieces:
        assert piece.min() >= -1e-12
        assert piece.max() <= 1 + 1e-12
    inside = trace(np.array([0.5, 0.5]), 0.001 * np.eye(2), 0.9)
    np.testing.assert_allclose(cut(inside), [inside])
