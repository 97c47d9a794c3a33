"""Mixtures to write pages about, without a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from gmm_spark import MixtureParameters
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Subject

HOSTILE = (
    "<script>alert(1)</script>",
    "\"quotes\" & 'more'",
    "ü" * 200,
    "年齢 \u202eabc\x00\ud800",
    "-x {{ 7*7 }} </style>",
)


def build_parameters(k: int = 3, d: int = 2, kind: str = "full") -> MixtureParameters:
    rng = np.random.default_rng(k * 100 + d)
    means = rng.normal(0.0, 100.0, (k, d))
    spreads = np.exp(rng.normal(0.0, 2.0, (k, d)))
    covariances = np.array([np.diag(one**2) for one in spreads]) if kind == "full" else spreads**2
    return MixtureParameters(rng.dirichlet(np.ones(k)), means, covariances, kind)


def build_subject(parameters: MixtureParameters | None = None, names: tuple[str, ...] = (), **more: Any) -> Subject:
    parameters = build_parameters() if parameters is None else parameters
    names = names or tuple(f"x{i}" for i in range(parameters.n_features))
    histogram = LogDensityHistogram(0.0, bin_weights(np.linspace(1.0, 50.0, 1000), np.ones(1000)))
    values = {"path": "models/a", "model_path": "models/a", "log_densities": histogram, **more}
    return Subject(parameters=parameters, names=names, **values)


def build_portrait(parameters: MixtureParameters, names: tuple[str, ...] = (), n: int = 2000) -> Portrait:
    """Return the portrait of rows drawn from a mixture."""
    counts = component_counts(parameters, n, seed=1)
    return Portrait.of(parameters, draw_chunk(parameters, counts, 1, 0)[0], feature_names=names or None)


def build_facts(**more: Any) -> Facts:
    """Return a run report as the job fit writes it, in short."""
    history = [
        {"iteration": 1, "lower_bound": -3.0, "change": None, "seconds": 0.5, "step": "plain", "remaining": None},
        {"iteration": 2, "lower_bound": -2.5, "change": 0.5, "seconds": 0.4, "step": "extrapolated", "remaining": 1e-3},
        {"iteration": 3, "lower_bound": -2.6, "change": None, "seconds": 0.4, "step": "lost", "reseeded": [1]},
    ]
    return Facts(
        {
            "job": "fit",
            "run_id": "r1",
            "configuration": {"input": {"path": "table"}, "model": {"seed": 7, "tol": 1e-4, "n_init": 10}},
            "rows": {
                "read": 1000,
                "used": 900,
                "effective": 900.0,
                "skipped": {"null feature in x0": 60, "NaN in x1": 40},
            },
            "fit": {
                "converged": True,
                "iterations": 3,
                "starts": {"compared": 10, "alike": 3},
                "lower_bound": -2.5,
                "bic": 5000.0,
                "history": history,
            },
            "checks": [],
            "seconds": {"read": 1.0, "fit": 3.0, "pack": 1.0, "passes": 1.5, "total": 5.0},
            "spark": {"packing": {"passes": 6, "bytes_written": 10_000_000, "packings": 1}, "tasks": 20},
            "versions": {"gmm-spark": "0.1.0"},
            **more,
        }
    )
