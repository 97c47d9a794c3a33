"""A picture of a selection: the criterion over k, one line for each covariance structure.

This is the only module that needs matplotlib.
"""

from __future__ import annotations

import io
from pathlib import PurePath

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gmm_spark.ml.comparison import Selection

_NAMES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "heldout": "held-out log-likelihood, nats per row"}


def criterion_plot(selection: Selection, path: str) -> bytes:
    """Draw a selection.

    Parameters
    ----------
    selection : Selection
    path : str
        Only its ending is used: it names the format, such as ``.png``, ``.svg`` or ``.pdf``. No file is written.

    Returns
    -------
    bytes
        The picture, as a file of that format.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for kind in dict.fromkeys(row.covarianceType for row in selection.rows):
        mine = sorted((row for row in selection.rows if row.covarianceType == kind), key=lambda row: row.k)
        values = [getattr(row, selection.criterion) for row in mine]  # NaN, if there is no fit, leaves a gap
        panel.plot([row.k for row in mine], values, marker="o", label=kind)
    if selection.best is not None:
        best = selection.rows[selection.best]
        value = getattr(best, selection.criterion)
        panel.plot([best.k], [value], "o", markersize=14, markerfacecolor="none", color="black", label="chosen")
    panel.set_xlabel("components, k")
    panel.set_ylabel(_NAMES[selection.criterion])
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(True, alpha=0.3)
    panel.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format=PurePath(path).suffix[1:].lower())
    return picture.getvalue()
