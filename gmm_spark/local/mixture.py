"""Mixture: a saved mixture that scores rows in memory, without Spark."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.kernels.scorer import Scorer, Scores, plan_scoring
from gmm_spark.core.kernels.single_row import SingleRowKernel
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.reasons import find_reasons
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk, to_int
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.extras import require_extra
from gmm_spark.interop.fitted import read_sklearn
from gmm_spark.local.files import read_model
from gmm_spark.local.names import require_names
from gmm_spark.local.rows import describe_bad_value, describe_type, to_array
from gmm_spark.local.tables import Columns, is_table, read_mapping, read_table
from gmm_spark.local.writing import write_model
from gmm_spark.spark.decoding import HANDLE_INVALID, Mask, describe_bad, find_bad_rows
from gmm_spark.storage.documents import show
from gmm_spark.storage.models import SavedModel, damaged

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto
    from sklearn.mixture import GaussianMixture as SklearnMixture

ANOMALY_FRACTION = 0.001
# Spark's version in files that no Spark wrote: their layout is that of the oldest that is supported.
_LAYOUT_OF = "4.1.0"
# What stands for the component of a row that cannot be scored.
NO_COMPONENT = -1


class Reason(NamedTuple):
    """A feature that is far from what the row's other features let expect.

    Attributes
    ----------
    feature : str
    z : float
        Standard deviations above what the other features let expect, within the row's component; negative if below.
    """

    feature: str
    z: float


class _Read(NamedTuple):
    """Rows as they were passed."""

    rows: Block
    """The usable ones, (d, m)."""
    good: Mask | None
    """Which those are; None for all."""
    single: bool
    """True if one row was passed, not a table of one."""


class Mixture:
    """A Gaussian mixture that scores rows in memory and draws rows, with numpy, scipy and pyarrow alone.

    Rows are passed as

    - an array (n, d), or anything that numpy makes one of, with the features in the model's order;
    - a table of pandas or Arrow, or of any library that speaks Arrow's C interface. Columns are picked by name, and
      others passed over;
    - one row: d numbers, or a dict of numbers by name. The result is then that of the row, not an array of one.

    Scores are those of :meth:`gmm_spark.GaussianMixtureModel.transform` with ``precision="float64"``. Threads may share
    a mixture.

    Parameters
    ----------
    parameters : MixtureParameters
    feature_names : sequence of str, optional
        A name for each feature.
    log_densities : LogDensityHistogram, optional
        Distribution of log p(row) over the training rows. ``is_anomaly`` and ``reasons`` need it.
    features_col : str, optional
        Column of arrays or Vectors that tables may hold the features in, in place of a column for each.
    anomaly_fraction : float
        Share of the training rows, by weight, whose densities are an anomaly's.
    handle_invalid : {"error", "skip", "keep"}
        What to do with a row that has a null, NaN or infinite value, or the wrong number of features: stop, or give it
        a result that says so. That is component -1, NaN, False for an anomaly (as a filter takes null) and None for
        reasons and for the component of a single row. "skip" does as "keep" does: each row has its result.
    seed : int
        Of :meth:`sample`.

    Examples
    --------
    >>> mixture = Mixture(MixtureParameters([0.5, 0.5], [[-9.0], [9.0]], [1.0, 1.0], "spherical"), ["x"])
    >>> mixture.predict([[8.0], [-8.5]]).tolist(), mixture.predict({"x": 8.0})
    ([1, 0], 1)
    """

    def __init__(
        self,
        parameters: MixtureParameters,
        feature_names: Sequence[str] | None = None,
        log_densities: LogDensityHistogram | None = None,
        *,
        features_col: str | None = None,
        anomaly_fraction: float = ANOMALY_FRACTION,
        handle_invalid: str = HANDLE_INVALID[0],
        seed: int = 0,
    ) -> None:
        names = require_names("feature_names", feature_names, parameters.n_features)
        if handle_invalid not in HANDLE_INVALID:
            raise ParameterError(f"handle_invalid={show(handle_invalid)}; use one of {', '.join(HANDLE_INVALID)}")
        self.parameters = parameters
        self.log_densities = log_densities
        self.anomaly_fraction = _require_fraction("anomaly_fraction", anomaly_fraction)
        self.handle_invalid = handle_invalid
        self.seed = seed
        self._columns = Columns(None if names is None else tuple(names), features_col, parameters.n_features)
        self._of_thread = threading.local()

    @classmethod
    def from_sklearn(cls, mixture: SklearnMixture) -> Mixture:
        """Return a mixture that scikit-learn fitted; see :meth:`gmm_spark.GaussianMixtureModel.from_sklearn`.

        Raises
        ------
        ParameterError
            If it is not fitted, Bayesian, of another class, or edited after its fit.
        """
        parameters, names = read_sklearn(mixture), getattr(mixture, "feature_names_in_", None)
        return cls(parameters, None if names is None else [str(name) for name in names])

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, handle_invalid: str | None = None) -> Mixture:
        """Read a saved model from a local disk, without Spark.

        Parameters
        ----------
        path : str or path-like
            The folder that ``model.save`` wrote, the output of a job, of which the newest complete run is read, or one
            run of it. A run is checked against its manifest first.
        handle_invalid : {"error", "skip", "keep"}, optional
            By default what the model was saved with.

        Raises
        ------
        ModelFileError
            If there is no model at ``path``, its format version is unknown, or it is damaged; or if there are runs of a
            job, and none is complete.
        ParameterError
            If ``path`` is not on this machine, or ``handle_invalid`` is none of those.
        """
        if handle_invalid is not None and handle_invalid not in HANDLE_INVALID:
            raise ParameterError(f"handle_invalid={show(handle_invalid)}; use one of {', '.join(HANDLE_INVALID)}")
        saved = read_model(path)
        try:
            options = _read_options(saved)
            if handle_invalid is not None:
                options["handle_invalid"] = handle_invalid
            return cls(saved.parameters, log_densities=saved.log_densities, **options)
        except (ParameterError, TypeError, ValueError, KeyError) as error:  # a value that no model was saved with
            raise damaged(str(path), error) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture to a folder of this machine, from which ``GaussianMixtureModel`` and jobs load it too.

        Raises
        ------
        ParameterError
            If there is something at ``path``.
        """
        params: dict[str, Any] = {
            "k": self.parameters.n_components,
            "covarianceType": self.parameters.covariance_type,
            "anomalyFraction": self.anomaly_fraction,
            "handleInvalid": self.handle_invalid,
            "seed": int(self.seed),
        }
        if self.features_col is not None:
            params["featuresCol"] = self.features_col
        elif self.feature_names is not None:
            params["inputCols"] = self.feature_names
        metadata = {
            "uid": f"GaussianMixture_{uuid.uuid4().hex[:12]}",
            "timestamp": int(time.time() * 1000),
            "sparkVersion": _LAYOUT_OF,
            "paramMap": params,
            "defaultParamMap": {},
        }
        write_model(path, SavedModel(self.parameters, self.feature_names, self.log_densities, None, metadata))

    def to_sklearn(self, plain: bool = False) -> SklearnMixture:
        """Return the mixture as one of scikit-learn; needs the extra ``sklearn``.

        See :meth:`gmm_spark.GaussianMixtureModel.to_sklearn`. Of the fit, nothing is known here.
        """
        require_extra("sklearn", "sklearn", "to_sklearn()")
        from gmm_spark.interop.scikit_learn import to_sklearn

        names = None if self.features_col is not None else self.feature_names
        return to_sklearn(self.parameters, names, plain=plain, settings={"random_state": self.seed % 2**32})

    def to_onnx(self, path: str | os.PathLike[str] | None = None, columns: bool = False) -> ModelProto:
        """Return the mixture as an ONNX graph; needs the extra ``onnx``.

        See :meth:`gmm_spark.GaussianMixtureModel.to_onnx`.
        """
        require_extra("onnx", "onnx", "to_onnx()")
        from gmm_spark.interop.onnx import to_onnx

        return to_onnx(
            self.parameters, self.feature_names, self.log_densities, self.anomaly_fraction, path=path, columns=columns
        )

    @property
    def features_col(self) -> str | None:
        """Column of arrays or Vectors that tables may hold the features in, or None."""
        return self._columns.features_col

    @property
    def weights(self) -> Array:
        """Mixing weights, (k,)."""
        return self.parameters.weights

    @property
    def means(self) -> Array:
        """Means, (k, d)."""
        return self.parameters.means

    @property
    def covariances(self) -> Array:
        """Covariances in the structure's shape: full (k, d, d), tied (d, d), diag (k, d), spherical (k,)."""
        return self.parameters.covariances

    @property
    def feature_names(self) -> list[str] | None:
        """A name for each feature, or None."""
        return None if self._columns.names is None else list(self._columns.names)

    def __repr__(self) -> str:
        """Describe the mixture in one line."""
        found = self.parameters
        return f"Mixture(k={found.n_components}, d={found.n_features}, covariance_type={found.covariance_type!r})"

    def predict(self, rows: Any) -> Any:
        """Return the most probable component of each row, from 0.

        Returns
        -------
        array (n,) of int32, or int
            The latter for one row; the same holds for all methods that take rows.

        Raises
        ------
        DataError
            If the rows are of another width, lack a column, or are no numbers; or if one is bad and ``handle_invalid``
            is "error". The same holds for all methods that take rows.
        """
        read = self._read(rows)
        found = self._score(read, log_density=False).prediction
        if read.single:
            return int(found[0]) if found.size else None
        return _spread(found, read.good, NO_COMPONENT)

    def predict_proba(self, rows: Any) -> Array:
        """Return the responsibilities of the components for each row, (n, k), or (k,) for one row."""
        read = self._read(rows)
        found = self._score(read, prediction=False, probability=True).probability
        assert found is not None
        spread = _spread(found, read.good, np.nan)
        return spread[0] if read.single else spread

    def log_density(self, rows: Any) -> Any:
        """Return log p(row) of each row, (n,), nats; minus infinity if float64 cannot hold it."""
        read = self._read(rows)
        spread = _spread(self._score(read, prediction=False).log_density, read.good, np.nan)
        return float(spread[0]) if read.single else spread

    def is_anomaly(self, rows: Any, fraction: float | None = None) -> Any:
        """Return which rows are less likely than all but a share of the training rows.

        Parameters
        ----------
        rows : array-like, table or dict
        fraction : float, optional
            The share, in (0, 1); ``anomaly_fraction`` by default.

        Raises
        ------
        ParameterError
            If the mixture does not know the log-densities of its training rows.
        """
        threshold, read = self.threshold(fraction), self._read(rows)
        spread = _spread(self._score(read, prediction=False).log_density < threshold, read.good, False)
        return bool(spread[0]) if read.single else spread

    def reasons(self, rows: Any, fraction: float | None = None) -> Any:
        """Return why rows are anomalies: the three features that contribute most, for each row; None if it is none.

        A reason's ``z`` is ``(P (x - mu))_j / sqrt(P_jj)`` under the row's most probable component of mean mu and
        precision P: by how many standard deviations the feature is off, given the row's other features. Were that
        feature as expected, the log-density under the component would be larger by z^2 / 2 nats; the largest of these
        come first.

        Parameters
        ----------
        rows : array-like, table or dict
        fraction : float, optional
            As for :meth:`is_anomaly`.

        Returns
        -------
        list of (list of Reason, or None), or the one element of it
        """
        threshold, read = self.threshold(fraction), self._read(rows)
        scores = self._score(read)
        odd = np.flatnonzero(scores.log_density < threshold)
        reasons = find_reasons(self.parameters, read.rows[:, odd], scores.prediction[odd])
        at = odd if read.good is None else np.flatnonzero(read.good)[odd]
        found: list[list[Reason] | None] = [None] * (len(scores.log_density) if read.good is None else len(read.good))
        for row, features, values in zip(at.tolist(), reasons.features.T.tolist(), reasons.z.T.tolist(), strict=True):
            named = map(self._columns.name_feature, features)
            found[row] = [Reason(name, z) for name, z in zip(named, values, strict=True)]
        return found[0] if read.single else found

    def threshold(self, fraction: float | None = None) -> float:
        """Return the log-density, nats, below which a row is an anomaly.

        Raises
        ------
        ParameterError
            If ``fraction`` is not in (0, 1), or the mixture does not know the log-densities of its training rows.
        """
        share = self.anomaly_fraction if fraction is None else _require_fraction("fraction", fraction)
        if self.log_densities is None:
            raise ParameterError(
                "this mixture does not know how likely its training rows are: it was built from parameters, or saved "
                "by an older gmm_spark; fit it again, or compare log_density with a threshold of your own"
            )
        return self.log_densities.quantile(share)

    def sample(self, n: int = 1, seed: int | None = None) -> tuple[Array, NDArray[np.int32]]:
        """Draw rows from the mixture, ordered by component: those that ``GaussianMixtureModel.sample`` draws.

        Parameters
        ----------
        n : int
            Rows to draw.
        seed : int, optional
            That of the mixture by default.

        Returns
        -------
        rows : array (n, d)
        components : array (n,)
            The component that each row was drawn from.
        """
        n, seed = to_int("n", n), self.seed if seed is None else to_int("seed", seed)
        if not 1 <= n < 1 << 63:
            raise ParameterError(f"n={n}; need at least 1 row to sample, and fewer than 2**63")
        counts = component_counts(self.parameters, n, seed)
        chunks = -(-n // rows_per_chunk(self.parameters))
        drawn = [draw_chunk(self.parameters, counts, seed, chunk) for chunk in range(chunks)]
        rows, components = (np.concatenate(parts, axis=-1) for parts in zip(*drawn, strict=True))
        return np.ascontiguousarray(rows.T), components

    def describe(self) -> pd.DataFrame:
        """Return a table of the components: weight, and mean and standard deviation of each feature.

        Returns
        -------
        pandas.DataFrame
            One row for each component, the heaviest first, by its number. Columns are pairs: ``("weight", "")``, then
            ``(feature, "mean")`` and ``(feature, "sd")``.
        """
        import pandas as pd

        names = [self._columns.name_feature(j) for j in range(self.parameters.n_features)]
        values = np.stack([self.means, self.parameters.deviations], axis=2).reshape(len(self.weights), -1)
        columns = [("weight", ""), *((name, figure) for name in names for figure in ("mean", "sd"))]
        table = pd.DataFrame(
            np.column_stack([self.weights, values]),
            index=pd.RangeIndex(len(self.weights), name="component"),
            columns=pd.MultiIndex.from_tuples(columns, names=["feature", "figure"]),
        )
        return table.iloc[np.argsort(-self.weights, kind="stable")]

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and copy take: all but the buffers of this process."""
        made = ("_of_thread", "_plan", "_row_scorer")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a mixture that was pickled or copied."""
        self.__dict__.update(state)
        self._of_thread = threading.local()

    @cached_property
    def _plan(self) -> Plan:
        return plan_scoring(self.parameters)

    @cached_property
    def _row_scorer(self) -> Scorer:
        return Scorer(self._plan, SingleRowKernel(self._plan))  # it has no buffers: threads share it

    @property
    def _block_scorer(self) -> Scorer:
        """The scorer of this thread, whose buffers no other thread writes to."""
        found: Scorer | None = getattr(self._of_thread, "scorer", None)
        if found is None:
            found = self._of_thread.scorer = Scorer(self._plan)
        return found

    def _score(
        self, read: _Read, *, prediction: bool = True, log_density: bool = True, probability: bool = False
    ) -> Scores:
        scorer = self._row_scorer if read.rows.shape[1] == 1 else self._block_scorer
        with np.errstate(over="ignore", invalid="ignore"):  # by rows too far off for a kernel
            return scorer.score(read.rows, prediction=prediction, log_density=log_density, probability=probability)

    def _read(self, rows: Any) -> _Read:
        """Read rows in any form that callers pass; raises DataError if they are none, or bad ones and to be refused."""
        if isinstance(rows, Mapping):
            return self._check_row(read_mapping(rows, self._columns))
        if is_table(rows):
            decoded = read_table(rows, self._columns)
        else:
            found = to_array(rows)
            d = self.parameters.n_features
            if found is None or found.ndim not in (1, 2) or found.shape[-1] != d:
                raise DataError(
                    f"rows are {describe_type(rows)}; need numbers of shape (n, {d}), or ({d},) for one row, with the "
                    "features in the model's order"
                )
            if found.ndim == 1:
                return self._check_row(found[:, None])
            decoded = find_bad_rows(found.T, None, {}, None, self._columns.name_feature)
        if decoded.good is not None and self.handle_invalid == "error":
            raise DataError(
                f"bad rows: {describe_bad(decoded.bad)} (d={self.parameters.n_features}); clean the rows, or set "
                "handle_invalid to 'keep'"
            )
        return _Read(decoded.usable()[0], decoded.good, False)

    def _check_row(self, row: Array) -> _Read:
        """Read one row (d, 1)."""
        if np.isfinite(row).all():
            return _Read(row, None, True)
        if self.handle_invalid == "error":
            bad = describe_bad_value(row, self._columns.names)
            raise DataError(f"{bad}; need finite values, or set handle_invalid to 'keep'")
        return _Read(row[:, :0], np.zeros(1, bool), True)


def _spread(values: NDArray[Any], good: Mask | None, fill: Any) -> NDArray[Any]:
    """Return the results of all rows, given those of the good ones (m, ...)."""
    if good is None:
        return values
    spread = np.full((len(good), *values.shape[1:]), fill, values.dtype)
    spread[good] = values
    return spread


def _require_fraction(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ParameterError(f"{name}={show(value)}; need a number > 0 and < 1")
    return float(value)


def _read_options(saved: SavedModel) -> dict[str, Any]:
    """Return what else a mixture is made of, from the parameters that a model was saved with.

    Raises
    ------
    TypeError, KeyError, ParameterError
        If something cannot be right.
    """
    given, defaults = saved.metadata["paramMap"], saved.metadata["defaultParamMap"]
    if not isinstance(given, dict) or not isinstance(defaults, dict):
        raise TypeError("its parameters are no JSON objects")
    found = {**defaults, **given}
    columns, seed = found.get("inputCols"), found.get("seed", 0)
    d = saved.parameters.n_features
    names = require_names("featureNames", saved.feature_names, d)
    features_col = found.get("featuresCol")
    if not isinstance(features_col, str | None) or not isinstance(seed, int):
        raise TypeError(f"featuresCol is {show(features_col)} and seed {show(seed)}")
    return {
        "feature_names": names if columns is None else require_names("inputCols", columns, d),
        "features_col": None if columns is not None else features_col,
        "anomaly_fraction": found.get("anomalyFraction", ANOMALY_FRACTION),
        "handle_invalid": found.get("handleInvalid", HANDLE_INVALID[0]),
        "seed": seed,
    }
