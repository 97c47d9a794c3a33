"""GaussianMixture: the pyspark.ml estimator. Validates, calls the layers below, wraps what they return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pyspark import keyword_only
from pyspark.ml.base import Estimator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

from gmm_spark.core.em import EMResult, PassRecord
from gmm_spark.core.parameters import MixtureParameters
from gmm_spark.core.search import SAMPLE_ROWS, Settings, polish, search
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.model import GaussianMixtureModel, GaussianMixtureSummary
from gmm_spark.params import GaussianMixtureParams
from gmm_spark.spark.features import describe_bad, resolve_features
from gmm_spark.spark.packed import PackedTable


class GaussianMixture(
    Estimator[GaussianMixtureModel],
    GaussianMixtureParams,
    DefaultParamsReadable["GaussianMixture"],
    DefaultParamsWritable,
):
    """Gaussian mixture fitted by EM: a drop-in for ``pyspark.ml.clustering.GaussianMixture`` that scales.

    Parameters
    ----------
    featuresCol : str
        Vector (dense or sparse) or array<double|float> column; not looked at where ``inputCols`` is given.
    inputCols : list of str, optional
        Numeric columns of any type.
    weightCol : str, optional
        Row weights, >= 0.
    predictionCol, probabilityCol, logDensityCol : str
        Columns that the model's ``transform`` appends; an empty name leaves one out.
    k : int
        Components, >= 1.
    covarianceType : {"full", "tied", "diag", "spherical"}
    maxIter : int
        Passes over the full table at most.
    tol : float
        EM has converged when a pass changes the mean log-likelihood per row (nats) by less.
    seed : int
        Same table, partitions and seed: same bits. Other partitions may draw another sample for the starts.
    nInit : int
        Starts, of which the best is kept.
    initMode : {"k-means++", "kmeans", "random_from_data", "random"}
    regCovar : float
        Variance added to each feature, as a share of that feature's variance in the table.
    sampleRows : int
        Rows of the sample that starts are drawn from and first run on; the best few go on over the full table. 0 runs
        every start on the full table, all in the same passes.
    accelerate : bool
        Try an extrapolated step (Anderson) beside each EM step, in the same pass, and go on from the likelier of the
        two: fewer passes to the same fixed points, each with twice the arithmetic.
    handleInvalid : {"error", "skip", "keep"}
        What a row with a null, NaN, infinity or wrong width does. Fitting skips and counts such rows under both
        "skip" and "keep"; ``transform`` drops them or keeps them with null outputs.
    precision : {"float64", "float32"}
        Type of the kernel's products; sums are float64 in any case.
    aggregationDepth : int
        Kept so that pyspark.ml code runs unchanged. It cannot change a result, nor how sums are reduced.

    Examples
    --------
    >>> from gmm_spark import GaussianMixture
    >>> estimator = GaussianMixture(inputCols=["x", "y"], k=3, seed=1)
    >>> estimator.getK(), estimator.getCovarianceType()
    (3, 'full')
    """

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        featuresCol: str = "features",
        inputCols: Sequence[str] | None = None,
        weightCol: str | None = None,
        predictionCol: str = "prediction",
        probabilityCol: str = "probability",
        logDensityCol: str = "",
        k: int = 2,
        covarianceType: str = "full",
        maxIter: int = 100,
        tol: float = 1e-4,
        seed: int | None = None,
        nInit: int = 1,
        initMode: str = "k-means++",
        regCovar: float = 1e-6,
        sampleRows: int = SAMPLE_ROWS,
        accelerate: bool = True,
        handleInvalid: str = "error",
        precision: str = "float64",
        aggregationDepth: int = 2,
    ) -> None:
        super().__init__()
        self._initial: MixtureParameters | None = None
        self._callback: Callable[[PassRecord], None] | None = None
        # keyword_only keeps what the caller gave, so that isSet() tells it from the defaults.
        self.setParams(**self._input_kwargs)

    @keyword_only
    def setParams(self, **kwargs: Any) -> GaussianMixture:
        """Set any of the constructor's parameters; None leaves one as it is."""
        return self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def setK(self, value: int) -> GaussianMixture:
        """Set the number of components."""
        return self._set(k=value)

    def setCovarianceType(self, value: str) -> GaussianMixture:
        """Set the covariance structure."""
        return self._set(covarianceType=value)

    def setMaxIter(self, value: int) -> GaussianMixture:
        """Set the largest number of passes."""
        return self._set(maxIter=value)

    def setTol(self, value: float) -> GaussianMixture:
        """Set the convergence tolerance, nats per row."""
        return self._set(tol=value)

    def setSeed(self, value: int) -> GaussianMixture:
        """Set the seed."""
        return self._set(seed=value)

    def setNInit(self, value: int) -> GaussianMixture:
        """Set the number of starts."""
        return self._set(nInit=value)

    def setInitMode(self, value: str) -> GaussianMixture:
        """Set how starts are drawn."""
        return self._set(initMode=value)

    def setRegCovar(self, value: float) -> GaussianMixture:
        """Set the regularisation, as a share of each feature's variance."""
        return self._set(regCovar=value)

    def setSampleRows(self, value: int) -> GaussianMixture:
        """Set the number of rows that starts are first run on; 0: the full table."""
        return self._set(sampleRows=value)

    def setAccelerate(self, value: bool) -> GaussianMixture:
        """Set whether extrapolated steps are tried."""
        return self._set(accelerate=value)

    def setAggregationDepth(self, value: int) -> GaussianMixture:
        """Accept pyspark.ml's parameter; it changes nothing here."""
        return self._set(aggregationDepth=value)

    def setInitialModel(self, model: GaussianMixtureModel | MixtureParameters) -> GaussianMixture:
        """Start from a model or from parameters instead of drawing starts; ``k`` and ``covarianceType`` follow it.

        A warm start is an object, not a Param: it is not saved with the estimator.
        """
        self._initial = model if isinstance(model, MixtureParameters) else model.parameters
        return self._set(k=self._initial.n_components, covarianceType=self._initial.covariance_type)

    def setCallback(self, callback: Callable[[PassRecord], None] | None) -> GaussianMixture:
        """Have ``callback`` called on the driver after each pass over the table; None stops that."""
        self._callback = callback
        return self

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        self._check()
        features = resolve_features(
            dataset, self.getFeaturesCol(), self.input_columns, self.weight_column, width=self._known_width()
        )
        if features is None:
            raise DataError(f"featuresCol={self.getFeaturesCol()!r} is null in every row; check the filter")
        strict = self.getHandleInvalid() == "error"
        with PackedTable(dataset, features, strict=strict, precision=self.getPrecision()) as table:
            self._check_table(table)
            result = self._run(table)
            evaluation = table.evaluate(result.parameters)
            center = table.moments.mean
            skipped = dict(table.bad)
        model = GaussianMixtureModel(result.parameters.shifted(center), list(features.names))
        self._copyValues(model)
        model._resetUid(self.uid)
        model._summary = GaussianMixtureSummary(model, dataset, result, evaluation, skipped)
        return model

    def _run(self, table: PackedTable) -> EMResult:
        settings = Settings(
            k=self.getK(),
            covariance_type=self.getCovarianceType(),
            max_iter=self.getMaxIter(),
            tol=self.getTol(),
            seed=self.getSeed(),
            n_init=self.getNInit(),
            init_mode=self.getInitMode(),
            reg_covar=self.getRegCovar(),
            accelerate=self.getAccelerate(),
            sample_rows=self.getSampleRows(),
        )
        if self._initial is not None:
            return polish(table, self._initial.shifted(-table.moments.mean), settings, self._callback)
        return search(table, table.sample(settings.rows_to_draw, settings.seed), settings, self._callback)

    def _known_width(self) -> int | None:
        return None if self._initial is None else self._initial.n_features

    def _check(self) -> None:
        self.check_params()
        initial = self._initial
        if initial is not None and (initial.n_components, initial.covariance_type) != (
            self.getK(),
            self.getCovarianceType(),
        ):
            raise ParameterError(
                f"k={self.getK()} and covarianceType={self.getCovarianceType()!r}, but the initial model has "
                f"{initial.n_components} {initial.covariance_type} components; set them alike"
            )

    def _check_table(self, table: PackedTable) -> None:
        """Refuse what no fit could come from, before the first pass."""
        if table.rows < self.getK():
            skipped = f" ({describe_bad(table.bad)})" if table.bad else ""
            raise DataError(
                f"k={self.getK()} but the input has {table.rows} valid row(s){skipped}; lower k or check the filter"
            )
        constant = table.moments.variance <= 0
        if constant.all() or (constant.any() and self.getCovarianceType() != "spherical"):
            named = [
                f"{name!r} ({value:g})"
                for name, value, same in zip(table.features.names, table.moments.low, constant, strict=True)
                if same
            ]
            raise DataError(
                f"{len(named)} feature(s) have one value in all {table.rows} row(s) that have weight: "
                f"{', '.join(named[:5])}{', ...' if len(named) > 5 else ''}; drop them, they carry no information"
            )
        if not np.isfinite(table.moments.variance).all():
            raise DataError("a feature's variance overflows float64; rescale the features")
