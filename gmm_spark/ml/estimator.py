"""GaussianMixture: the pyspark.ml estimator. ``fit`` validates, packs the table, searches, and builds the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import ArrayLike
from pyspark import keyword_only
from pyspark.ml.base import Estimator
from pyspark.ml.param import Param
from pyspark.ml.util import DefaultParamsReadable
from pyspark.sql import DataFrame

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.mixture.floor import robust_variance
from gmm_spark.core.mixture.parameters import InitialMeans, MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.single import choose_floor, polish, search
from gmm_spark.core.search.starts import under_table_variance
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import Sample
from gmm_spark.errors import ParameterError
from gmm_spark.ml.defaults import Defaults
from gmm_spark.ml.fitting import MixtureFitting, require_fittable, require_holdable
from gmm_spark.ml.initial_models import to_parameters
from gmm_spark.ml.joint_fitting import ModelsOnDemand, fit_members
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.ml.params import GaussianMixtureParams
from gmm_spark.ml.progress import Callback
from gmm_spark.ml.summary import Fitted
from gmm_spark.ml.updating import MixtureUpdate
from gmm_spark.ml.watching import Watch
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import one_blas_thread


class GaussianMixture(
    Estimator[GaussianMixtureModel],
    MixtureFitting,
    GaussianMixtureParams,
    DefaultParamsReadable["GaussianMixture"],
):
    """Gaussian mixture fitted by EM: a drop-in for ``pyspark.ml.clustering.GaussianMixture`` that scales.

    Parameters
    ----------
    featuresCol : str, default "features"
        Vector (dense or sparse) or array column that holds the features. Not used if ``inputCols`` is set.
    inputCols : list of str, optional
        Numeric columns of any type, one for each feature, in place of ``featuresCol``. No name may come twice.
    weightCol : str, optional
        Column of row weights, >= 0. A row of weight 0 is left out. By default every row weighs 1.
    weightKind : {"frequency", "importance"}, default "frequency"
        What a row's weight means. "frequency": it counts, and weight 2 is the row twice. "importance": it says how much
        the row matters beside the others, and only ratios count: a constant factor changes nothing. Criteria then take
        the effective number of rows, (sum w)^2 / sum w^2 (Kish 1965), in place of the sum of the weights.
    predictionCol : str, default "prediction"
        Column that ``transform`` appends: the most probable component, an int from 0. Empty leaves it out.
    componentIdCol : str, default ""
        Output column for the id of the most probable component, an int. Unlike its number, a component's id survives
        refits: see :meth:`setPreviousModel`. Not written if empty.
    probabilityCol : str, default "probability"
        Column that ``transform`` appends: the k responsibilities, a vector that sums to 1. Empty leaves it out.
    logDensityCol : str, default ""
        Column that ``transform`` appends: log p(row), in nats. Empty leaves it out.
    anomalyCol : str, default ""
        Column that ``transform`` appends: true if the row is an anomaly by ``anomalyFraction``. Empty leaves it out.
    anomalyFraction : float, default 0.001
        Share of the training rows, by weight, in (0, 1). A row is an anomaly if its density is below the quantile of
        the training rows' densities at this share.
    reasonsCol : str, default ""
        Column that ``transform`` appends: why a row is an anomaly by ``anomalyFraction``, null if it is none. The three
        features that contribute most, as an array of structs (feature, z): by how many standard deviations the feature
        is off, given the row's others. Empty leaves it out.
    k : int, default 2
        Number of components, >= 1.
    covarianceType : {"full", "tied", "diag", "spherical"}, default "full"
        Structure of the covariances. full: any ellipsoid; tied: one ellipsoid for all components; diag: axes along the
        features; spherical: balls.
    noise : bool, default False
        Whether there is one more component, noise: a constant density over the table's box, from the least to the
        greatest value of each feature, for rows that belong to no Gaussian (Banfield & Raftery 1993). Its weight is
        estimated. It is the last component: k in predictions, the last of k + 1 probabilities. Beyond the box its
        density is the same, so that rows far beyond are noise. It takes one more pass, and counts one parameter.
    maxIter : int, default 100
        Passes that EM makes over the full table at most, >= 1.
    tol : float, default 0.0001
        EM has converged if a pass changes the mean log-likelihood per row (nats) by less than this, >= 0. It means the
        same for any number of rows.
    seed : int, default 0
        Seed of everything random, a signed 64-bit integer. The same table, partitions and seed give the same bits.
        Other partitions may draw another sample for the starts.
    nInit : int, default 10
        Number of starts, >= 1. The best is kept.
    initMode : {"k-means++", "k-means||", "kmeans", "random_from_data", "random"}, default "k-means++"
        How starts are drawn from the sample. Only "k-means||" also reads the table: up to seven passes, shared by all
        starts, add rows that are rare and far from the others.
    regCovar : float, default 1e-06
        Least variance of a component along each feature, as a share of the feature's variance in the table, >= 0. If
        far values have inflated that variance, a robust one takes its place. If values are rounded, whole numbers say,
        the least variance is raised to what keeps components from sitting on single values. It is a bound: a component
        that is wider is not changed by it (scikit-learn adds its ``reg_covar`` to every variance, in squared units).
        0: no least variance at all; a component that collapses is then an error, or is put elsewhere.
    varianceFloor : list of float, optional
        Least variance of a component along each feature, > 0 each, in the features' squared units, in place of what
        ``regCovar`` and the rounding of the values give. ``summary.varianceFloor`` has the one that was used.
    sampleRows : int, default 100000
        Rows of the sample that starts are drawn from and first run on, >= 0. The best few starts go on over the full
        table. If 0, every start runs on the full table, all in the same passes. A table of no more rows comes to the
        driver as it is packed, and the driver makes short passes itself, without a Spark job for each. The model is the
        same to the bit; ``summary.packing.held`` tells.
    accelerate : bool, default True
        After each pass look ahead: take EM steps on the sample, corrected for its drift from the table, and extrapolate
        them (Anderson). The fixed points are those of plain EM, in far fewer passes. A step that lowers the likelihood
        is not kept.
    handleInvalid : {"error", "skip", "keep", "marginal"}, default "error"
        What to do with a row that has a null, NaN or infinite value or weight, or the wrong number of features. A fit
        stops ("error"), or leaves such rows out and counts them ("skip", "keep"). ``transform`` stops ("error"), drops
        the row ("skip"), or keeps it with null outputs ("keep"). With "marginal" null and NaN are missing values, and
        EM maximizes the likelihood of what was observed; rows without any value, or with an infinite one, are left
        out, and kept by ``transform`` with null outputs. A negative weight always stops a fit.
    precision : {"float64", "float32"}, default "float64"
        Type of the matrix products over rows. Sums are float64 with both.
    packing : {"auto", "spark", "parquet"}, default "auto"
        What reads the rows. The executors read a table that is a plain scan of Parquet files on disks that they share
        themselves ("auto"), which is several times as fast, and Spark reads all else: ``summary.packing.reason`` tells
        why. "spark" always has Spark read, and "parquet" raises an error if Spark would have to. The model is the same
        to the bit.
    portrait : bool, default False
        Whether the fit ends with one more pass over the table, which takes a portrait of its rows beside the mixture:
        histograms, counts in pairs of features, how sure the components are of their rows. ``summary.portrait`` has it,
        and pictures and reports are drawn from it.
    verbose : bool, default False
        Whether a fit shows its progress. In a notebook that has tqdm this is a bar. Elsewhere it is a line for each
        pass and for each step around the passes, in Python's log: your handlers write them, or, if there are none, they
        go to stderr. A number above 0 counts as True.
    aggregationDepth : int, default 2
        Accepted so that code for pyspark.ml runs unchanged, >= 1. It has no effect.

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
        featuresCol: str = Defaults.featuresCol,
        inputCols: Sequence[str] | None = None,
        weightCol: str | None = None,
        weightKind: str = Settings.weight_kind,
        predictionCol: str = Defaults.predictionCol,
        componentIdCol: str = Defaults.componentIdCol,
        probabilityCol: str = Defaults.probabilityCol,
        logDensityCol: str = Defaults.logDensityCol,
        anomalyCol: str = Defaults.anomalyCol,
        anomalyFraction: float = Defaults.anomalyFraction,
        reasonsCol: str = Defaults.reasonsCol,
        k: int = Settings.k,
        covarianceType: str = Settings.covariance_type,
        noise: bool = Settings.noise,
        maxIter: int = Settings.max_iter,
        tol: float = Settings.tol,
        seed: int | None = Settings.seed,
        nInit: int = Settings.n_init,
        initMode: str = Settings.init_mode,
        regCovar: float = Settings.reg_covar,
        varianceFloor: Sequence[float] | None = Settings.variance_floor,
        sampleRows: int = Settings.sample_rows,
        accelerate: bool = Settings.accelerate,
        handleInvalid: str = Defaults.handleInvalid,
        precision: str = Defaults.precision,
        packing: str = Defaults.packing,
        portrait: bool = Defaults.portrait,
        verbose: bool = Defaults.verbose,
        aggregationDepth: int = Defaults.aggregationDepth,
    ) -> None:
        super().__init__()
        self._initial: MixtureParameters | InitialMeans | None = None
        # keyword_only passes only what the caller gave, so isSet() can tell it from a default.
        self.setParams(**self._input_kwargs)

    def setK(self, value: int) -> GaussianMixture:
        """Set the number of components."""
        return self._set(k=value)

    def setCovarianceType(self, value: str) -> GaussianMixture:
        """Set the structure of the covariances: "full", "tied", "diag" or "spherical"."""
        return self._set(covarianceType=value)

    def setNoise(self, value: bool) -> GaussianMixture:
        """Set whether there is a noise component."""
        return self._set(noise=value)

    def setAggregationDepth(self, value: int) -> GaussianMixture:
        """Accept pyspark.ml's parameter; it has no effect here."""
        return self._set(aggregationDepth=value)

    def setInitialModel(self, model: Any) -> GaussianMixture:
        """Start from a model or from parameters instead of drawing starts.

        ``k`` and ``covarianceType`` are set to those of the model, and ``noise`` to True if it has noise, which then
        begins with its weight, over the box of the table. An earlier initial model, or initial means, are replaced. The
        start is an object, not a Param: it is not saved with the estimator. Components keep the ids and names of a
        GaussianMixtureModel, unless :meth:`setPreviousModel` names another.

        Parameters
        ----------
        model : GaussianMixtureModel, MixtureParameters, another library's mixture, or None
            A mixture that pyspark.ml or scikit-learn fitted works too. None removes the start, so that starts are drawn
            again; ``k``, ``covarianceType`` and ``noise`` stay as they are.

        Raises
        ------
        ParameterError
            If it is none of these, or was not fitted, or its covariances cannot be those of a mixture.
        """
        self._started_from = model if isinstance(model, GaussianMixtureModel) else None
        if model is None:
            self._initial = None
            return self
        self._initial = parameters = to_parameters(model)
        if parameters.noise is not None:
            self._set(noise=True)
        return self._set(k=parameters.n_components, covarianceType=parameters.covariance_type)

    def setInitialMeans(
        self, means: ArrayLike | None, weights: ArrayLike | None = None, precisions: ArrayLike | None = None
    ) -> GaussianMixture:
        """Start from these means instead of drawing starts; ``k`` is set to their number.

        Parameters
        ----------
        means : array (k, d), or None
            None removes initial means, or an initial model; ``k`` stays as it is.
        weights : array (k,), optional
            Equal by default.
        precisions : array, optional
            Inverse covariances, in the shape of the estimator's ``covarianceType``: full (k, d, d), tied (d, d),
            diag (k, d), spherical (k,). By default every component has the variances of the table.

        Raises
        ------
        ParameterError
            If a shape or a value cannot be that of a mixture, or there are weights or precisions without means.
        """
        if means is None:
            if weights is not None or precisions is not None:
                raise ParameterError("setInitialMeans got weights or precisions without means; give means, or neither")
            return self.setInitialModel(None)
        start = InitialMeans(means, weights)
        if precisions is not None:
            kind = self.getCovarianceType()
            return self.setInitialModel(MixtureParameters.from_precisions(start.weights, start.means, precisions, kind))
        self._initial, self._started_from = start, None
        return self._set(k=start.n_components)

    @staticmethod
    def update(
        model: GaussianMixtureModel,
        today: DataFrame,
        halfLife: float,
        elapsed: float = 1.0,
        day: str | None = None,
        maxIter: int = Defaults.updateMaxIter,
    ) -> GaussianMixtureModel:
        """Return a fitted model brought up to date by a few passes over today's rows alone.

        Yesterday's rows count by what the model remembers of them, weighted down by their age; they are not read. The
        columns, ``handleInvalid``, weights, precision, tolerance and least variances are those of the model; components
        keep their ids. ``summary.update`` says whether the model still describes its table: its ``word`` is "updated",
        or "refit" with ``reasons``. The other figures of the summary are of today's rows; thresholds of anomalies and
        the training profile are of all rows, at the weights that the model remembers them by.

        Parameters
        ----------
        model : GaussianMixtureModel
            That ``fit`` or ``update`` returned, or that was loaded. It stays as it is.
        today : DataFrame
            Rows that the model has not seen.
        halfLife : float
            Time in which the rows seen so far lose half their weight, > 0; infinity forgets nothing.
        elapsed : float
            Time since the model's latest rows, >= 0, in the same units: days, say.
        day : str, optional
            Name of these rows. If the model has seen rows of that name it is returned as it is, with a warning.
        maxIter : int
            Passes at most, >= 1.

        Raises
        ------
        ParameterError
            If the model remembers no rows, since it was built from parameters or saved by an older gmm_spark; if a
            number is out of range.
        DataError
            As of ``fit``.
        DegenerateComponentError
            If a component collapsed; fit the model anew.
        """
        return MixtureUpdate.of(model).update(model, today, halfLife, elapsed, day, maxIter)

    def fitMultiple(
        self, dataset: DataFrame, paramMaps: Sequence[dict[Param[Any], Any]]
    ) -> Iterator[tuple[int, GaussianMixtureModel]]:
        """Fit a model for each of several param maps, as pyspark.ml's tuning does.

        Maps that agree on the columns, ``weightKind``, ``handleInvalid``, ``precision`` and ``packing`` share the
        passes over one packed table. They are fitted when the first model is asked for, and the callback is called
        after each shared pass. If ``nInit`` is above 1, each goes on from the start that is best on the sample, while a
        fit of its own may try several on the table. Other maps are fitted one after another, as are those of an
        estimator with an initial model.
        """
        members = [self.copy(one) for one in paramMaps]
        if len(members) < 2 or len({one._source for one in members}) > 1 or self._initial is not None:
            return super().fitMultiple(dataset, paramMaps)
        settings = [one._settings(one.getK(), one.getCovarianceType(), one.getNoise()) for one in members]
        return ModelsOnDemand(lambda: fit_members(members, settings, dataset), len(members))

    @property
    def _source(self) -> tuple[object, ...]:
        """Everything that the packed table depends on: estimators of equal sources can share one."""
        columns = self.input_columns
        return (
            self.getFeaturesCol() if columns is None else tuple(columns),
            self.weight_column,
            self.getWeightKind(),
            "skip" if self.getHandleInvalid() == "keep" else self.getHandleInvalid(),
            self.getPrecision(),
            self.getPacking(),
        )

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        self._check()
        settings = self._settings(self.getK(), self.getCovarianceType(), self.getNoise())
        features = self._resolve(dataset, None if self._initial is None else self._initial.n_features)
        require_holdable(dataset.sparkSession, [settings], features.width, initial=self._initial is not None)
        with (
            self._named(dataset),
            self._shown() as callback,
            one_blas_thread(),
            self._pack(dataset, features) as table,
        ):
            self._check_rows(features, table)
            require_fittable(table, settings)
            sample = table.sample(settings.rows_to_draw, settings.seed)
            profile = ColumnProfile.of(*sample)
            result = self._search(table, sample, profile, settings, callback)
            floor = choose_floor(table, profile, settings)
            fitted = Fitted(result, table.evaluate(result.parameters), profile, floor, sample)
            return self._build_model(dataset, table, fitted)

    def _check(self) -> None:
        """Check the parameters, alone and against the initial model or means; raises ParameterError."""
        self.check_params()
        initial, k, kind = self._initial, self.getK(), self.getCovarianceType()
        if isinstance(initial, InitialMeans) and initial.n_components != k:
            raise ParameterError(f"k={k}, but there are {initial.n_components} initial means; set them alike")
        if isinstance(initial, MixtureParameters) and (initial.n_components, initial.covariance_type) != (k, kind):
            raise ParameterError(
                f"k={k} and covarianceType={kind!r}, but the initial model has "
                f"{initial.n_components} {initial.covariance_type} components; set them alike"
            )
        if isinstance(initial, MixtureParameters) and initial.noise is not None and not self.getNoise():
            raise ParameterError(
                "noise=False, but the initial model has noise; set noise=True, or start from its "
                "parameters.without_noise()"
            )

    def _search(
        self,
        table: PackedTable,
        sample: Sample,
        profile: ColumnProfile,
        settings: Settings,
        callback: Callback | None,
    ) -> EMResult:
        """Run EM from the initial model or means if there are any, else from starts drawn from a sample."""
        watch = Watch(table, settings.max_iter, callback)
        if self._initial is None:
            return search(table, sample, settings, watch, profile, table.crew)
        variance = robust_variance(profile, table.moments.variance)
        start = _centred(self._initial, table.moments.mean, variance, settings.covariance_type)
        return polish(table, sample, start, settings, watch, profile)


def _centred(
    initial: MixtureParameters | InitialMeans, mean: Array, variance: Array, covariance_type: str
) -> MixtureParameters:
    """Return a user's start in the coordinates of EM, which are centred on the table's mean.

    Initial means take these variances (d,), those of the table.
    """
    if isinstance(initial, InitialMeans):
        initial = under_table_variance(initial.means, variance, covariance_type, initial.weights)
    return initial.shifted(-mean)
