"""What a selection compared: one row for every mixture that was tried."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from pyspark.sql import DataFrame, SparkSession

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.mixture import criteria
from gmm_spark.core.mixture.parameters import count_parameters
from gmm_spark.errors import GmmSparkError

# Criteria, and the factor that makes smaller better.
SIGNS = {"bic": 1.0, "aic": 1.0, "icl": 1.0, "heldout": -1.0}

_SCHEMA = (
    "k int, covarianceType string, nParameters long, logLikelihood double, bic double, aic double, icl double, "
    "heldout double, numIter int, converged boolean, failure string"
)


@dataclass(frozen=True)
class SelectionRow:
    """One mixture that was tried.

    Attributes
    ----------
    k : int
    covarianceType : str
    nParameters : int
        Free parameters.
    logLikelihood : float
        On the training rows, nats; NaN, as are all criteria, where the fit failed.
    bic, aic, icl : float
        On the training rows; smaller is better.
    heldout : float
        Mean log-likelihood per unit of row weight on the rows held out, nats; larger is better. NaN where none were.
    numIter : int
        Passes that EM made.
    converged : bool
    failure : str or None
        Why there is no such mixture.
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

    @classmethod
    def of_fit(cls, result: EMResult, evaluation: Evaluation, held_out: Evaluation | None) -> SelectionRow:
        """Judge a fit on its training rows and on those held out."""
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
        )

    @classmethod
    def of_failure(cls, k: int, covariance_type: str, d: int, error: GmmSparkError) -> SelectionRow:
        """List a mixture of d features that could not be fitted."""
        return cls(k, covariance_type, count_parameters(covariance_type, k, d), failure=str(error))


@dataclass(frozen=True)
class Selection:
    """All mixtures that were tried, and how one of them was chosen.

    Attributes
    ----------
    criterion : {"bic", "aic", "icl", "heldout"}
    rows : tuple of SelectionRow
        Structure by structure, in the order they were asked for, and within each by k.
    heldOutRows : int
        Rows that no mixture was fitted to.
    """

    criterion: str
    rows: tuple[SelectionRow, ...]
    heldOutRows: int = 0

    @property
    def best(self) -> int | None:
        """Index of the row that the criterion prefers, the first of equals; None where every fit failed."""
        signed = {i: SIGNS[self.criterion] * getattr(row, self.criterion) for i, row in enumerate(self.rows)}
        found = [i for i, value in signed.items() if not math.isnan(value)]
        return min(found, key=lambda i: signed[i], default=None)

    def toDF(self) -> DataFrame:
        """Return the rows as a DataFrame, one column for each attribute."""
        return SparkSession.active().createDataFrame([astuple(row) for row in self.rows], _SCHEMA)
