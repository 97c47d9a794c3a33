"""GaussianMixture: the pyspark.ml estimator. Validates, calls the layers below, wraps what they return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from numpy.typing import ArrayLike
from pyspark import keyword_only
from pyspark.ml.base import Estimator
from pyspark.ml.param import Param
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

from gmm_spark.core.mixture.parameters import InitialMeans, MixtureParameters
from gmm_spark.core.search.single import polish, search
from gmm_spark.core.search.starts import under_table_variance
from gmm_spark.core.settings import SAMPLE_ROWS
from gmm_spark.errors import ParameterError
from gmm_spark.ml.fitting import Fitted, MixtureFitting, fit_together, require_fittable
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.ml.params import GaussianMixtureParams
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import one_blas_thread


class GaussianMixture(
    Estimator[GaussianMixtureModel],
    MixtureFitting,
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
    predictionCol, probabilityCol, logDensityCol, anomalyCol : str
        Columns that the model's ``transform`` appends; an empty name leaves one out.
    anomalyFraction : float
        A row is an anomaly where its density is below that of all but this share of the training rows, by weight.
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
    initMode : {"k-means++", "k-means||", "kmeans", "random_from_data", "random"}
        All but one draw starts from the sample alone. "k-means||" completes it first by rows that are rare and far
        from the others, at the price of up to seven more passes over the table, for all starts together.
    regCovar : float
        Variance added to each feature, as a share of that feature's variance in the table.
    sampleRows : int
        Rows of the sample that starts are drawn from and first run on; the best few go on over the full table. 0 runs
        every start on the full table, all in the same passes.
    accelerate : bool
        After each pass look ahead by EM steps on the sample, less their drift, and extrapolate those (Anderson): the
        fixed points of plain EM in far fewer passes. A step is kept only where the likelihood does not fall.
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
        anomalyCol: str = "",
        anomalyFraction: float = 0.001,
        k: int = 2,
        covarianceType: str = "full",
        maxIter: int = 100,
        tol: float = 1e-4,
        seed: int | None = None,
        nInit: int = 10,
        initMode: str = "k-means++",
        regCovar: float = 1e-6,
        sampleRows: int = SAMPLE_ROWS,
        accelerate: bool = True,
        handleInvalid: str = "error",
        precision: str = "float64",
        aggregationDepth: int = 2,
    ) -> None:
        super().__init__()
        self._initial: MixtureParameters | InitialMeans | None = None
        # keyword_only keeps what the caller gave, so that isSet() tells it from the defaults.
        self.setParams(**self._input_kwargs)

    def setK(self, value: int) -> GaussianMixture:
        """Set the number of components."""
        return self._set(k=value)

    def setCovarianceType(self, value: str) -> GaussianMixture:
        """Set the covariance structure."""
        return self._set(covarianceType=value)

    def setAggregationDepth(self, value: int) -> GaussianMixture:
        """Accept pyspark.ml's parameter; it changes nothing here."""
        return self._set(aggregationDepth=value)

    def setInitialModel(self, model: GaussianMixtureModel | MixtureParameters | None) -> GaussianMixture:
        """Start from a model or from parameters instead of drawing starts; ``k`` and ``covarianceType`` follow it.

        It takes the place of an earlier one, and of initial means; None takes both back, and leaves ``k`` and
        ``covarianceType`` as they are. A start of your own is an object, not a Param: it is not saved with the
        estimator.
        """
        parameters = model.parameters if isinstance(model, GaussianMixtureModel) else model
        self._initial = parameters
        if parameters is None:
            return self
        return self._set(k=parameters.n_components, covarianceType=parameters.covariance_type)

    def setInitialMeans(
        self, means: ArrayLike | None, weights: ArrayLike | None = None, precisions: ArrayLike | None = None
    ) -> GaussianMixture:
        """Start from these means instead of drawing starts; ``k`` follows them.

        Parameters
        ----------
        means : array (k, d), or None
            None takes an initial model or initial means back, and leaves ``k`` as it is.
        weights : array (k,), optional
            Equal by default.
        precisions : array, optional
            Inverse covariances, in the shape that the estimator's ``covarianceType`` says: full (k, d, d), tied
            (d, d), diag (k, d), spherical (k,). By default each component has the table's own variances.

        Raises
        ------
        ParameterError
            Where these cannot be those of a mixture.
        """
        if means is None:
            if weights is not None or precisions is not None:
                raise ParameterError("setInitialMeans got weights or precisions without means; give means, or neither")
            return self.setInitialModel(None)
        start = InitialMeans(means, weights)
        if precisions is not None:
            kind = self.getCovarianceType()
            return self.setInitialModel(MixtureParameters.from_precisions(start.weights, start.means, precisions, kind))
        self._initial = start
        return self._set(k=start.n_components)

    def fitMultiple(
        self, dataset: DataFrame, paramMaps: Sequence[dict[Param[Any], Any]]
    ) -> Iterator[tuple[int, GaussianMixtureModel]]:
        """Fit a model for each of several param maps, as pyspark.ml's tuning asks for them.

        Maps that agree on the columns read, ``handleInvalid`` and ``precision`` are fitted together, in shared passes
        over one packed table, when the first model is asked for; the callback then hears of each shared pass. With
        ``nInit`` above 1 each takes the start that is best on the sample, where a fit of its own may try several
        on the table. Other maps, and those of an estimator with an initial model, are fitted one after another.
        """
        members = [self.copy(one) for one in paramMaps]
        alone = len(members) < 2 or len({one._source for one in members}) > 1
        if alone or self._initial is not None:
            return super().fitMultiple(dataset, paramMaps)
        return _FittedTogether(lambda: _fit_members(members, dataset), len(members))

    @property
    def _source(self) -> tuple[object, ...]:
        """What a packed table depends on."""
        columns = self.input_columns
        return (
            self.getFeaturesCol() if columns is None else tuple(columns),
            self.weight_column,
            self.getHandleInvalid() == "error",
            self.getPrecision(),
        )

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        self._check()
        settings = self._settings(self.getK(), self.getCovarianceType())
        initial = self._initial
        features = self._resolve(dataset, None if initial is None else initial.n_features)
        with one_blas_thread(), self._pack(dataset, features) as table:
            require_fittable(table, settings)
            sample = table.sample(settings.rows_to_draw, settings.seed)
            if initial is None:
                result = search(table, sample, settings, self._callback)
            else:
                start = _centred(initial, table, settings.covariance_type)
                result = polish(table, sample, start, settings, self._callback)
            return self._model(dataset, table, Fitted(result, table.evaluate(result.parameters)))

    def _check(self) -> None:
        self.check_params()
        initial, k, kind = self._initial, self.getK(), self.getCovarianceType()
        if isinstance(initial, InitialMeans) and initial.n_components != k:
            raise ParameterError(f"k={k}, but there are {initial.n_components} initial means; set them alike")
        if isinstance(initial, MixtureParameters) and (initial.n_components, initial.covariance_type) != (k, kind):
            raise ParameterError(
                f"k={k} and covarianceType={kind!r}, but the initial model has "
                f"{initial.n_components} {initial.covariance_type} components; set them alike"
            )


def _centred(initial: MixtureParameters | InitialMeans, table: PackedTable, covariance_type: str) -> MixtureParameters:
    """Return a user's start in the coordinates of EM, with the table's variances where it has none of its own."""
    if isinstance(initial, InitialMeans):
        initial = under_table_variance(initial.means, table.moments.variance, covariance_type, initial.weights)
    return initial.shifted(-table.moments.mean)


class _FittedTogether(Iterator[tuple[int, GaussianMixtureModel]]):
    """Models by index, all fitted when the first is asked for; threads may ask at the same time."""

    def __init__(self, fit: Callable[[], list[GaussianMixtureModel | Exception]], n: int) -> None:
        self._fit = fit
        self._lock = threading.Lock()
        self._indices = iter(range(n))
        self._n = n
        self._outcomes: list[GaussianMixtureModel | Exception] | None = None

    def __next__(self) -> tuple[int, GaussianMixtureModel]:
        with self._lock:
            index = next(self._indices)
            if self._outcomes is None:
                try:
                    self._outcomes = self._fit()
                except Exception as error:  # of the table: it is every model's
                    self._outcomes = [error] * self._n
        outcome = self._outcomes[index]
        if isinstance(outcome, Exception):
            raise outcome
        return index, outcome


def _fit_members(members: Sequence[GaussianMixture], dataset: DataFrame) -> list[GaussianMixtureModel | Exception]:
    """Fit estimators of one source together; the reason in place of a model that there is not."""
    outcomes: dict[int, GaussianMixtureModel | Exception] = {}
    for i, member in enumerate(members):
        try:
            member._check()
        except ParameterError as error:
            outcomes[i] = error
    able = {i: member for i, member in enumerate(members) if i not in outcomes}
    if able:
        first = next(iter(able.values()))
        settings = [one._settings(one.getK(), one.getCovarianceType()) for one in able.values()]
        with first._pack(dataset, first._resolve(dataset)) as table:
            fitted = fit_together(table, settings, first._callback, log_densities=True)
            for (i, member), found in zip(able.items(), fitted, strict=True):
                outcomes[i] = member._model(dataset, table, found) if isinstance(found, Fitted) else found
    return [outcomes[i] for i in range(len(members))]
