"""Pictures of a mixture, each with a table and a sentence; needs the extra ``plot``, and no Spark.

>>> from gmm_spark.plots import draw_weights
>>> from gmm_spark.core.mixture.parameters import MixtureParameters
>>> figure = draw_weights(MixtureParameters([0.25, 0.75], [[0.0], [4.0]], [1.0, 2.0], "spherical"))
>>> figure.reading
'Component 1 is the largest of 2, with 75 % of the rows; the smallest, 0, has 25 %.'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmm_spark.extras import require_extra

if TYPE_CHECKING:
    from gmm_spark.plots.benchmark import draw_benchmark
    from gmm_spark.plots.bound import draw_bound
    from gmm_spark.plots.confusion import draw_confusion
    from gmm_spark.plots.figure import Figure
    from gmm_spark.plots.histogram import draw_histogram
    from gmm_spark.plots.log_densities import draw_log_densities
    from gmm_spark.plots.means import draw_means
    from gmm_spark.plots.merges import draw_merges
    from gmm_spark.plots.pair import draw_pair
    from gmm_spark.plots.pairs import draw_pairs
    from gmm_spark.plots.selection import draw_selection
    from gmm_spark.plots.starts import draw_starts
    from gmm_spark.plots.weights import draw_weights

_HOMES = {
    "Figure": "figure",
    "draw_benchmark": "benchmark",
    "draw_bound": "bound",
    "draw_confusion": "confusion",
    "draw_histogram": "histogram",
    "draw_log_densities": "log_densities",
    "draw_means": "means",
    "draw_merges": "merges",
    "draw_pair": "pair",
    "draw_pairs": "pairs",
    "draw_selection": "selection",
    "draw_starts": "starts",
    "draw_weights": "weights",
}

__all__ = [
    "Figure",
    "draw_benchmark",
    "draw_bound",
    "draw_confusion",
    "draw_histogram",
    "draw_log_densities",
    "draw_means",
    "draw_merges",
    "draw_pair",
    "draw_pairs",
    "draw_selection",
    "draw_starts",
    "draw_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("altair", "vl_convert"):
        require_extra("plot", module, "a picture")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
