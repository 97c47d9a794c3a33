"""GaussianMixtureSummary: what a fit did, and how well its mixture explains the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

from gmm_spark.core.arrays import Array
from gmm_spark.core.checks.check import SEVERITIES, Check
from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.description.starts import HEAD, list_starts
from gmm_spark.core.em.ascent import EMResult, PassRecord, StartRecord
from gmm_spark.core.em.reseeding import degenerate_components
from gmm_spark.core.formatting import draw_table, show_number
from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.missing.counts import Missing
from gmm_spark.core.mixture import criteria
from gmm_spark.core.mixture.changes import Change
from gmm_spark.core.mixture.listing import NOISE_NAME
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.table import Sample
from gmm_spark.core.update.verdict import Verdict
from gmm_spark.ml.comparison import Selection
from gmm_spark.ml.params import GaussianMixtureParams
from gmm_spark.spark.packing.record import PackingRecord

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Fitted:
    """What EM found for one setting, and how well it explains the table.

    Attributes
    ----------
    result : EMResult
    evaluation : Evaluation
    profile : ColumnProfile
        Of the table's columns.
    floor : array (d,)
        Least variance along each feature; 0 for none.
    sample : rows (d, m) and weights (m,) or None
        Of the table, in its own coordinates.
    """

    result: EMResult
    evaluation: Evaluation
    profile: ColumnProfile
    floor: Array
    sample: Sample


class GaussianMixtureSummary:
    """pyspark.ml's summary of a fit, with the history of the fit added.

    Parameters
    ----------
    fitted : Fitted
    skipped : dict
        Rows left out, by reason and feature.
    checks : list of Check
    params : GaussianMixtureParams
        Names of the columns.
    score : callable
        Returns the training table with the model's outputs appended.
    packing : PackingRecord
    missing : Missing, optional
        By default nothing.

    Attributes
    ----------
    logLikelihood : float
        Of the training rows under the returned parameters, weighted sum, nats: ``lowerBound`` times ``effectiveRows``.
    lowerBound : float
        The weighted mean of the rows' log-likelihoods, nats.
    effectiveRows : float
        Rows that criteria count. Without weights their number; with frequency weights the weights' sum; with importance
        weights (sum w)^2 / sum w^2 (Kish 1965), which is the number of rows if all weights are equal.
    numIter : int
        Passes that EM made.
    converged : bool
        True if the last pass changed the lower bound by less than ``tol``.
    clusterSizes : list of int
        Training rows by most probable component; with noise its rows are the last number.
    starts, startsAlike : int
        Starts that were compared on the sample, and how many of them ended where the best did; 0 if the fit began at
        given parameters, or was one of a selector's.
    startRecords : tuple of StartRecord
        How each of these was drawn, how it compared, and how far it came; empty as above.
    degenerateComponents : list of int
        Components without weight: they starved or collapsed, and reseeding did not help.
    checks : list of Check
        What speaks against the fit, worst first; see docs/checks.md.
    history : tuple of PassRecord
        One record for each pass.
    numRows : int
        Rows used: those that are valid and have weight.
    skipped : dict
        Rows left out, by reason and feature. Each counts once, under the first that applies; of more than 256 features,
        by reason alone.
    missing : Missing
        With ``handleInvalid="marginal"``: how many of the rows used have missing values (``rows``), in how many of them
        each column is missing (``columns``), and how many patterns of missing columns there are (``patterns``).
    k : int
        Number of Gaussians.
    noiseWeight : float
        Mixing weight of the noise component; 0 if there is none.
    varianceFloor : list of float
        Least variance of a component along each feature; 0 if there was none.
    roundingSteps : list of float
        The step that the values of each feature are rounded to, as a sample shows; 0 if it is negligible.
    featuresCol, predictionCol, probabilityCol : str
        Columns of the fit.
    aic, bic, icl : float
        On the training rows; smaller is better.
    packing : PackingRecord
        How often the table was packed, how many bytes were written, how many passes were made, and how many of them in
        vain, since blocks were lost.
    portrait : Portrait or None
        What the training rows look like beside the mixture, if ``portrait`` was set.
    mergeTree : MergeTree or None
        Which components belong together, by a sample of the training rows, if ``portrait`` was set.
    changes : list of Change
        What became of each component of the previous model, by id, and which are new; empty without a previous model.
    update : Verdict or None
        Whether the mixture still describes its table, if this was an update; the other figures are then of today's rows
        alone, and those of ``history`` are free energies, which count yesterday's too.
    selection : Selection or None
        All mixtures that a :class:`gmm_spark.GaussianMixtureSelector` chose this one from.
    """

    def __init__(
        self,
        fitted: Fitted,
        skipped: dict[str, int],
        checks: list[Check],
        params: GaussianMixtureParams,
        score: Callable[[], DataFrame],
        packing: PackingRecord,
        missing: Missing | None = None,
    ) -> None:
        result, evaluation = fitted.result, fitted.evaluation
        parameters, log_likelihood, weight_sum = result.parameters, evaluation.log_likelihood, evaluation.weight_sum
        self._score = score
        self.logLikelihood = log_likelihood
        self.lowerBound = log_likelihood / weight_sum
        self.effectiveRows = weight_sum
        self.numIter = len(result.history)
        self.converged = result.converged
        self.starts, self.startsAlike = result.starts, result.starts_alike
        self.startRecords: tuple[StartRecord, ...] = result.start_records
        self.degenerateComponents: list[int] = list(degenerate_components(parameters))
        self.history: tuple[PassRecord, ...] = result.history
        self.clusterSizes: list[int] = evaluation.cluster_sizes.astype(int).tolist()
        self.numRows = int(evaluation.rows)
        self.skipped = skipped
        self.missing = missing or Missing()
        self.checks = checks
        self.packing = packing
        self.selection: Selection | None = None
        self.portrait: Portrait | None = None
        self.mergeTree: MergeTree | None = None
        self.changes: list[Change] = []
        self.update: Verdict | None = None
        self.k = parameters.n_components
        self.noiseWeight = 0.0 if parameters.noise is None else parameters.noise.weight
        self.varianceFloor: list[float] = fitted.floor.tolist()
        self.roundingSteps: list[float] = fitted.profile.step.tolist()
        self.featuresCol = params.getFeaturesCol()
        self.predictionCol = params.getPredictionCol()
        self.probabilityCol = params.getProbabilityCol()
        self.aic = criteria.aic(log_likelihood, parameters.n_parameters)
        self.bic = criteria.bic(log_likelihood, parameters.n_parameters, weight_sum)
        self.icl = criteria.icl(log_likelihood, parameters.n_parameters, weight_sum, evaluation.entropy)

    def __repr__(self) -> str:
        """Describe the fit in a line."""
        found = ", ".join(f"{n} {severity}" for severity, n in Counter(one.severity for one in self.checks).items())
        return (
            f"{type(self).__name__}: k={self.k}, {self.numRows:,} rows used, {sum(self.skipped.values()):,} skipped, "
            f"{'converged' if self.converged else 'not converged'} after {self.numIter} iterations, "
            f"lowerBound={self.lowerBound:.6g}, checks: {found or 'none'}"
        )

    def _repr_html_(self) -> str:
        """Describe the fit for a notebook: its figures, and what speaks against it."""
        figures = [[str(name), show_number(value, 9)] for name, value in self.describe()["value"].items()]
        checks = [[one.severity, one.code, one.meaning, one.remedy] for one in self.checks]
        told = draw_table("checks", ["severity", "code", "meaning", "remedy"], checks, wraps=True) if checks else ""
        shown = draw_table("starts", HEAD, list_starts(self.startRecords)) if self.starts > 1 else ""
        return f"<p>{escape(repr(self))}</p>{draw_table('the fit', ['', 'value'], figures)}{shown}{told}"

    def describe(self) -> pd.DataFrame:
        """Return the figures of the fit as a table.

        Returns
        -------
        pandas.DataFrame
            One column, ``value``; an index of names: rows used and skipped, iterations, likelihood, criteria, rows of
            each component, and the number of checks of each severity.
        """
        import pandas as pd  # a moment's work, which a job can do without

        checks = Counter(one.severity for one in self.checks)
        figures = {
            "rows used": self.numRows,
            "effective rows": self.effectiveRows,
            **({"rows with missing values": self.missing.rows} if self.missing.rows else {}),
            **{f"rows missing {name}": count for name, count in self.missing.columns.items()},
            **{f"rows skipped: {reason}": count for reason, count in self.skipped.items()},
            **(
                {"starts": self.starts, "starts that ended where the best did": self.startsAlike} if self.starts else {}
            ),
            "iterations": self.numIter,
            "converged": self.converged,
            "log-likelihood": self.logLikelihood,
            "lower bound": self.lowerBound,
            "aic": self.aic,
            "bic": self.bic,
            "icl": self.icl,
            **{f"rows of {self._name(j)}": size for j, size in enumerate(self.clusterSizes)},
            **{f"checks: {severity}": checks[severity] for severity in SEVERITIES},
        }
        return pd.DataFrame({"value": [float(one) for one in figures.values()]}, index=list(figures))

    def _name(self, j: int) -> str:
        return f"component {j}" if j < self.k else NOISE_NAME

    @property
    def predictions(self) -> DataFrame:
        """The training table with the model's outputs."""
        return self._score()

    @property
    def cluster(self) -> DataFrame:
        """Most probable component of each training row."""
        return self.predictions.select(self.predictionCol)

    @property
    def probability(self) -> DataFrame:
        """Responsibilities of the k components, and of noise if there is any, for each training row."""
        return self.predictions.select(self.probabilityCol)
