from __future__ import annotations

import json
import math

import numpy as np

from gmm_spark import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.plots import draw_pairs


def test_an_ellipse_that_leaves_its_cell_is_cut_there() -> None:
    mixture = MixtureParameters([0.9, 0.1], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [400.0, 1.0]], "diag")
    frame = Frame.of(mixture, quartiles=np.array([[-0.7, -0.7], [0.0, 0.0], [0.7, 0.7]]))
    rows = np.random.default_rng(0).normal(0.0, 1.0, (2, 500))
    spec = draw_pairs(mixture, Portrait.of(mixture, rows, frame=frame)).chart.to_dict()
    inline = [layer["data"].get("values", []) for layer in spec["layer"] if "data" in layer]
    tables = [json.loads(one) if isinstance(one, str) else one for one in [*inline, *spec.get("datasets", {}).values()]]
    lines = [one for table in tables for one in table if "step" in one]
    assert len({one["line"] for one in lines}) >= 2
    assert all(one["x"] is not None and math.isfinite(one["x"]) for one in lines)
