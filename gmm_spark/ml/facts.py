"""Facts of a fit, as a run report writes them: numbers, text, arrays, and lists and dicts of these."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gmm_spark.core.drift.reference import QUANTILES
from gmm_spark.ml.comparison import Selection
from gmm_spark.ml.model import GaussianMixtureModel


def list_facts(model: GaussianMixtureModel) -> dict[str, Any]:
    """List what the summary of a fit knows, by section.

    Parameters
    ----------
    model : GaussianMixtureModel
        With a summary.

    Returns
    -------
    dict
        ``rows``, ``fit``, ``spark``, ``checks``, ``mixture``; ``merge_tree`` and ``selection`` if there are such.
    """
    summary = model.summary
    skipped, selection = sum(summary.skipped.values()), summary.selection
    held_out = selection.heldOutRows if selection else 0
    found: dict[str, Any] = {
        "rows": {
            "read": summary.numRows + skipped + held_out,
            "used": summary.numRows,
            "effective": summary.effectiveRows,
            "skipped": summary.skipped,
        },
        "fit": {
            "converged": summary.converged,
            "iterations": summary.numIter,
            "starts": {
                "compared": summary.starts,
                "alike": summary.startsAlike,
                "records": [asdict(one) for one in summary.startRecords],
            },
            "log_likelihood": summary.logLikelihood,
            "lower_bound": summary.lowerBound,
            "aic": summary.aic,
            "bic": summary.bic,
            "degenerate_components": summary.degenerateComponents,
            "variance_floor": summary.varianceFloor,
            "rounding_steps": summary.roundingSteps,
            "history": [
                asdict(one) | {"rows_per_second": _rate(summary.numRows, one.seconds)} for one in summary.history
            ],
            "log_density_quantiles": {
                q: model.logDensityQuantile(q) for q in QUANTILES if model.logDensities is not None
            },
        },
        "spark": {"packing": asdict(summary.packing)},
        "checks": [asdict(one) for one in summary.checks],
        "mixture": {"features": model.featureNames, **model.parameters.to_dict()},
    }
    if summary.missing.rows:
        found["rows"]["missing"] = asdict(summary.missing)
    if summary.mergeTree is not None:
        found["merge_tree"] = summary.mergeTree.to_dict()
    if selection is not None:
        found["rows"]["held_out"] = held_out
        found["selection"] = list_mixtures(selection)
    return found


def list_mixtures(selection: Selection) -> dict[str, Any]:
    """List the mixtures that were tried, and which was chosen by what."""
    mixtures = [asdict(row) for row in selection.rows]
    return {"criterion": selection.criterion, "chosen": selection.best, "mixtures": mixtures}


def _rate(rows: int, seconds: float) -> float | None:
    return rows / seconds if seconds else None
