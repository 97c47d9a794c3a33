"""What a fit is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Rows that starts are drawn from and first run on, unless asked otherwise.
SAMPLE_ROWS = 100_000


@dataclass(frozen=True)
class Settings:
    """What EM is asked for; names and meanings as the estimator's parameters of the same names."""

    k: int = 2
    covariance_type: str = "full"
    max_iter: int = 100
    tol: float = 1e-4
    seed: int = 0
    n_init: int = 10
    init_mode: str = "k-means++"
    reg_covar: float = 1e-6
    accelerate: bool = True
    sample_rows: int = SAMPLE_ROWS

    @property
    def rows_to_draw(self) -> int:
        """Rows of the sample that starts are drawn from, on which they need not be run."""
        return self.sample_rows or SAMPLE_ROWS

    def loop(self, max_iter: int) -> dict[str, Any]:
        """What :func:`gmm_spark.core.em.loop.fit` is asked for, for at most so many passes."""
        asked = {"tol": self.tol, "reg_covar": self.reg_covar, "accelerate": self.accelerate, "seed": self.seed}
        return {"max_iter": max_iter, **asked}
