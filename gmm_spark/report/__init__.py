"""The report of a fitted mixture, and the comparison of two: one HTML page each, that needs no network.

>>> from gmm_spark import GaussianMixtureModel, MixtureParameters
>>> from gmm_spark.report import write_report
>>> model = GaussianMixtureModel(MixtureParameters([0.25, 0.75], [[0.0], [4.0]], [1.0, 2.0], "spherical"))
>>> write_report(model, "page.html")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmm_spark.report.fitted import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.fitted"), name)
