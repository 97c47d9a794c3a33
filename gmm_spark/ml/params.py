"""The parameters of the estimators and of the model, under pyspark.ml's names and by its conventions.

Each is documented here, once: ``explainParams()`` prints these texts with the defaults, and docs/parameters.md is made
of them.
"""

from __future__ import annotations

from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasAggregationDepth, HasMaxIter, HasSeed, HasTol

from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.search.starts import START_MODES
from gmm_spark.core.settings import Settings
from gmm_spark.ml.defaults import Defaults
from gmm_spark.ml.scoring_params import ScoringParams, declare, to_flag, to_int64
from gmm_spark.spark.packing.parquet_plan import PACKINGS


class MixtureParams(ScoringParams, HasMaxIter, HasTol, HasSeed):
    """Parameters of every estimator and model here.

    A model keeps those that only a fit reads too, as pyspark.ml's models do.
    """

    maxIter: Param[int] = declare("maxIter", "Passes that EM makes over the full table at most, >= 1.", to_int64)
    tol: Param[float] = declare(
        "tol",
        "EM has converged if a pass changes the mean log-likelihood per row (nats) by less than this, >= 0.",
        TypeConverters.toFloat,
    )
    seed: Param[int] = declare(
        "seed",
        "Seed of everything random, a signed 64-bit integer. The same table, partitions and seed give the same bits.",
        to_int64,
    )
    nInit: Param[int] = declare("nInit", "Number of starts, >= 1. The best is kept.", to_int64)
    initMode: Param[str] = declare(
        "initMode",
        f"How starts are drawn from the sample: {', '.join(START_MODES)}. Only k-means|| also reads the table: up to "
        "seven passes, shared by all starts, add rows that are rare and far from the others.",
        TypeConverters.toString,
    )
    regCovar: Param[float] = declare(
        "regCovar",
        "Least variance of a component along each feature, as a share of the feature's variance in the table (a robust "
        "one, if far values have inflated it), >= 0. It is raised to what the rounding of the values asks for. 0: no "
        "least variance at all.",
        TypeConverters.toFloat,
    )
    varianceFloor: Param[list[float]] = declare(
        "varianceFloor",
        "Least variance of a component along each feature, a positive number for each, in place of what regCovar and "
        "the rounding of the values give.",
        TypeConverters.toListFloat,
    )
    sampleRows: Param[int] = declare(
        "sampleRows",
        "Rows of the sample that starts are drawn from and first run on, >= 0. The best few starts go on over the full "
        "table. If 0, every start runs on the full table, all in the same passes. The driver holds a table of no more "
        "rows, and makes short passes over it without Spark.",
        to_int64,
    )
    accelerate: Param[bool] = declare(
        "accelerate",
        "Whether to look ahead on the sample after each pass and extrapolate (Anderson). The fixed points are those of "
        "plain EM, in fewer passes.",
        TypeConverters.toBoolean,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            maxIter=Settings.max_iter,
            tol=Settings.tol,
            seed=Settings.seed,  # the default of HasSeed differs from one process to the next
            nInit=Settings.n_init,
            initMode=Settings.init_mode,
            regCovar=Settings.reg_covar,
            accelerate=Settings.accelerate,
            sampleRows=Settings.sample_rows,
        )

    def getNInit(self) -> int:
        """Return the number of starts."""
        return self.getOrDefault(self.nInit)

    def getInitMode(self) -> str:
        """Return how starts are drawn."""
        return self.getOrDefault(self.initMode)

    def getRegCovar(self) -> float:
        """Return the least variance, as a share of each feature's variance."""
        return self.getOrDefault(self.regCovar)

    def getVarianceFloor(self) -> list[float]:
        """Return the least variance along each feature; raises KeyError if it is not set."""
        return self.getOrDefault(self.varianceFloor)

    def getSampleRows(self) -> int:
        """Return the number of rows of the sample; 0 if every start runs on the full table."""
        return self.getOrDefault(self.sampleRows)

    def getAccelerate(self) -> bool:
        """Return whether extrapolated steps are tried."""
        return self.getOrDefault(self.accelerate)

    def _faults(self) -> list[str]:
        faults = self._below_one(self.maxIter, self.nInit)
        if self.getSampleRows() < 0:
            faults.append(f"sampleRows={self.getSampleRows()}; need at least 0")
        faults += [
            f"{number.name}={self.getOrDefault(number)}; need a finite number >= 0"
            for number in (self.tol, self.regCovar)
            if not 0 <= self.getOrDefault(number) < float("inf")
        ]
        if self.isDefined(self.varianceFloor):
            given = self.getVarianceFloor()
            if not given or not all(0 < one < float("inf") for one in given):
                faults.append(f"varianceFloor={given}; need a finite number > 0 for each feature")
        return faults + self._unknown(self.initMode, START_MODES) + super()._faults()

    def _noise_faults(self, noise: bool) -> list[str]:
        """Describe what does not go together with a noise component."""
        wanted = [one.name for one in (self.anomalyCol, self.reasonsCol) if self.getOrDefault(one)]
        if noise and wanted and self.getHandleInvalid() == "marginal":
            return [
                f"{' and '.join(wanted)} with noise and handleInvalid='marginal': no row is less likely than noise, so "
                "rows with missing values have no threshold; leave it empty, and take rows that are predicted to be "
                "noise"
            ]
        return []

    def _below_one(self, *counts: Param[int]) -> list[str]:
        """Describe the fault of each count that is below 1."""
        found = {param.name: self.getOrDefault(param) for param in counts}
        return [f"{name}={value}; need at least 1" for name, value in found.items() if value < 1]


class GaussianMixtureParams(MixtureParams, HasAggregationDepth):
    """Parameters of :class:`gmm_spark.GaussianMixture` and of the model that it fits."""

    k: Param[int] = declare("k", "Number of components, >= 1.", to_int64)
    covarianceType: Param[str] = declare(
        "covarianceType",
        f"Structure of the covariances: {', '.join(STRUCTURES)}. full: any ellipsoid; tied: one ellipsoid for all "
        "components; diag: axes along the features; spherical: balls.",
        TypeConverters.toString,
    )
    noise: Param[bool] = declare(
        "noise",
        "Whether there is one more component, noise: a constant density over the table's box, for rows that belong to "
        "no Gaussian, such as outliers and codes. Its weight is estimated. It is the last component, number k, in "
        "predictions and probabilities.",
        TypeConverters.toBoolean,
    )
    aggregationDepth: Param[int] = declare(
        "aggregationDepth",
        "Accepted so that code for pyspark.ml runs unchanged, >= 1. It has no effect.",
        to_int64,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            k=Settings.k,
            covarianceType=Settings.covariance_type,
            noise=Settings.noise,
            aggregationDepth=Defaults.aggregationDepth,
        )

    def getK(self) -> int:
        """Return the number of components."""
        return self.getOrDefault(self.k)

    def getCovarianceType(self) -> str:
        """Return the structure of the covariances."""
        return self.getOrDefault(self.covarianceType)

    def getNoise(self) -> bool:
        """Return whether there is a noise component."""
        return self.getOrDefault(self.noise)

    def _faults(self) -> list[str]:
        faults = self._below_one(self.k, self.aggregationDepth) + self._noise_faults(self.getNoise())
        return faults + self._unknown(self.covarianceType, STRUCTURES) + super()._faults()


class HasVerbose(Params):
    """The parameter ``verbose`` of the estimators. A model has none: it is about how a fit is watched."""

    verbose: Param[bool] = declare(
        "verbose",
        "Whether a fit shows its progress: a line for each pass and each step in Python's log, which goes to stderr "
        "unless the program has set up logging; in a notebook that has tqdm a bar.",
        to_flag,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(verbose=Defaults.verbose)

    def getVerbose(self) -> bool:
        """Return whether a fit shows its progress."""
        return self.getOrDefault(self.verbose)


class HasPacking(ScoringParams):
    """The parameter ``packing`` of the estimators. A model has none: it reads rows as Spark gives them."""

    packing: Param[str] = declare(
        "packing",
        f"What reads the rows of a fit: {', '.join(PACKINGS)}. auto: the executors read a table that is a plain scan "
        "of Parquet files themselves, which is several times as fast, and Spark reads all else; spark: always Spark; "
        "parquet: an error if Spark would have to. The model is the same to the bit.",
        TypeConverters.toString,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(packing=Defaults.packing)

    def getPacking(self) -> str:
        """Return what reads the rows of a fit."""
        return self.getOrDefault(self.packing)

    def _faults(self) -> list[str]:
        return self._unknown(self.packing, PACKINGS) + super()._faults()


class HasPortrait(Params):
    """The parameter ``portrait`` of the estimators."""

    portrait: Param[bool] = declare(
        "portrait",
        "Whether a fit ends with one more pass over the table, which takes a portrait of its rows beside the mixture, "
        "for pictures and reports: summary.portrait.",
        TypeConverters.toBoolean,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(portrait=Defaults.portrait)

    def getPortrait(self) -> bool:
        """Return whether a fit takes a portrait of the rows."""
        return self.getOrDefault(self.portrait)
