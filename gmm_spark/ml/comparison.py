"""Selection: the mixtures that a selector compared, one row each."""

from __future__ import annotations

import math
from dataclasses import asdict, astuple, dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np

from gmm_spark.core.checks.evidence import Grid
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.formatting import draw_table, show_number
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.mixture import criteria
from gmm_spark.core.mixture.parameters import count_parameters
from gmm_spark.errors import GmmSparkError

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

# Each criterion, with the sign that makes smaller better.
SIGNS = {"bic": 1.0, "aic": 1.0, "icl": 1.0, "heldout": -1.0}

_SCHEMA = (
    "k int, covarianceType string, nParameters long, logLikelihood double, bic double, aic double, icl double, "
    "heldout double, numIter int, converged boolean, failure string, noise boolean"
)


@dataclass(frozen=True)
class SelectionRow:
    """One mixture that was tried.

    Attributes
    ----------
    k : int
        Number of components.
    covarianceType : str
    nParameters : int
        Number of free parameters.
    logLikelihood : float
        Of the training rows, as :class:`.GaussianMixtureSummary` defines it, nats. NaN if the fit failed, as are all
        criteria.
    bic, aic, icl : float
        On the training rows; smaller is better.
    heldout : float
        Mean log-likelihood per unit of row weight of the rows held out, nats; larger is better. NaN if none were.
    numIter : int
        Passes that EM made.
    converged : bool
    failure : str or None
        Why the mixture could not be fitted; None if it was.
    noise : bool
        Whether it has a noise component.
    """

    k: int
    covarianceType: str
    nParameters: int
    logLikelihood: float = math.nan
    bic: float = math.nan
    aic: float = math.nan
    icl: float = math.nan
    heldout: float = math.nan
    numIter: int = 0
    converged: bool = False
    failure: str | None = None
    noise: bool = False

    @property
    def label(self) -> str:
        """What to call the mixture: k, structure, and noise if it has."""
        return f"k={self.k} {self.structure}"

    @property
    def structure(self) -> str:
        """The covariance structure, and noise if the mixture has it."""
        return f"{self.covarianceType} + noise" if self.noise else self.covarianceType

    @classmethod
    def of_fit(cls, result: EMResult, evaluation: Evaluation, held_out: Evaluation | None) -> SelectionRow:
        """Return the row of a fit, from its evaluations on the training rows and on those held out, if any."""
        parameters, log_likelihood, weight_sum = result.parameters, evaluation.log_likelihood, evaluation.weight_sum
        p = parameters.n_parameters
        return cls(
            k=parameters.n_components,
            covarianceType=parameters.covariance_type,
            nParameters=p,
            logLikelihood=log_likelihood,
            bic=criteria.bic(log_likelihood, p, weight_sum),
            aic=criteria.aic(log_likelihood, p),
            icl=criteria.icl(log_likelihood, p, weight_sum, evaluation.entropy),
            heldout=math.nan if held_out is None else held_out.log_likelihood / held_out.weight_sum,
            numIter=len(result.history),
            converged=result.converged,
            noise=parameters.noise is not None,
        )

    @classmethod
    def of_failure(
        cls, k: int, covariance_type: str, d: int, error: GmmSparkError, noise: bool = False
    ) -> SelectionRow:
        """Return the row of a mixture of d features that could not be fitted."""
        return cls(k, covariance_type, count_parameters(covariance_type, k, d, noise), failure=str(error), noise=noise)


@dataclass(frozen=True, repr=False)
class Selection:
    """All mixtures that were tried, and the criterion that chose one of them.

    Attributes
    ----------
    criterion : {"bic", "aic", "icl", "heldout"}
    rows : tuple of SelectionRow
        Without noise and with it, if both are tried; structure by structure; and k by k within each, in the order given
        to the selector.
    heldOutRows : int
        Rows that no mixture was fitted to.
    """

    criterion: str
    rows: tuple[SelectionRow, ...]
    heldOutRows: int = 0

    def __repr__(self) -> str:
        """Describe the selection in a line."""
        failed = sum(row.failure is not None for row in self.rows)
        best = None if self.best is None else self.rows[self.best]
        chosen = "none could be fitted" if best is None else f"{best.label} is the best"
        return f"{type(self).__name__}: {chosen} of {len(self.rows)} by {self.criterion}, {failed} failed"

    def _repr_html_(self) -> str:
        """Describe the selection for a notebook: all mixtures, the best first."""
        found = self.describe()
        noise = ["noise"] if any(row.noise for row in self.rows) else []
        head = [
            "k",
            "covarianceType",
            *noise,
            "nParameters",
            self.criterion,
            "difference",
            "numIter",
            "converged",
            "failure",
        ]
        rows = [[_show(value) for value in row] for row in found[head].itertuples(index=False)]
        return f"<p>{escape(repr(self))}</p>{draw_table('the best first', head, rows)}"

    def describe(self) -> pd.DataFrame:
        """Return all mixtures as a table, the best first.

        Returns
        -------
        pandas.DataFrame
            A column for each attribute of :class:`SelectionRow`, and ``difference``: the criterion less that of the
            best. The index is that of ``rows``.

        Examples
        --------
        >>> tried = [SelectionRow(k, "full", nParameters=6 * k - 1, bic=bic) for k, bic in ((2, 9.0), (3, 7.0))]
        >>> Selection("bic", tuple(tried)).describe()[["k", "bic", "difference"]]
           k  bic  difference
        1  3  7.0         0.0
        0  2  9.0         2.0
        """
        import pandas as pd  # a moment's work, which a job can do without

        found = pd.DataFrame([asdict(row) for row in self.rows], columns=[one.name for one in fields(SelectionRow)])
        best = math.nan if self.best is None else getattr(self.rows[self.best], self.criterion)
        found["difference"] = found[self.criterion] - best
        order = (SIGNS[self.criterion] * found[self.criterion]).sort_values(kind="stable").index  # NaN last
        return found.loc[order]

    @property
    def best(self) -> int | None:
        """Index of the row that the criterion prefers, the first of equals; None if every fit failed."""
        signed = {i: SIGNS[self.criterion] * getattr(row, self.criterion) for i, row in enumerate(self.rows)}
        found = [i for i, value in signed.items() if not math.isnan(value)]
        return min(found, key=lambda i: signed[i], default=None)

    @property
    def grid(self) -> Grid | None:
        """The k that could be fitted with the structure, and noise, that were chosen; None if every fit failed."""
        if self.best is None:
            return None
        best = self.rows[self.best]
        alike = (row for row in self.rows if (row.covarianceType, row.noise) == (best.covarianceType, best.noise))
        ks = tuple(row.k for row in alike if row.failure is None)
        return Grid(ks, self.criterion)

    @property
    def at_edge(self) -> Literal["highest", "lowest"] | None:
        """Whether the chosen k is the highest or the lowest that was tried with its structure; None if it is neither.

        A better k may then lie beyond those tried. None too if only one k was fitted, and for k = 1: none is lower.

        Examples
        --------
        >>> tried = [SelectionRow(k, "full", nParameters=6 * k - 1, bic=bic) for k, bic in ((2, 9.0), (3, 7.0))]
        >>> Selection("bic", tuple(tried)).at_edge
        'highest'
        """
        if self.best is None or self.grid is None:
            return None
        return self.grid.find_edge(self.rows[self.best].k)

    def toDF(self) -> DataFrame:
        """Return the rows as a DataFrame with a column for each attribute of a row."""
        from pyspark.sql import SparkSession  # only here: pictures and reports of a selection need no Spark

        return SparkSession.active().createDataFrame([astuple(row) for row in self.rows], _SCHEMA)


def _show(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return show_number(float(value), 9) if isinstance(value, (int, float)) else "" if value is None else str(value)
