"""Mixture: a saved mixture that scores rows in memory, without Spark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.missing.scorer import find_observed_reasons
from gmm_spark.core.mixture.listing import draw_components, list_components
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk, to_int
from gmm_spark.errors import ParameterError
from gmm_spark.local.deriving import DerivingMixture
from gmm_spark.local.imputing import impute_rows
from gmm_spark.local.reading import read_rows
from gmm_spark.local.scoring import ScoringMixture, find_odd

if TYPE_CHECKING:
    import pandas as pd

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


class RowScores(NamedTuple):
    """Scores of n rows.

    Attributes
    ----------
    prediction : array (n,) of int32
    log_density : array (n,)
    probability : array (n, k)
    anomaly : array (n,) of bool, or None
        None if the mixture does not know the log-densities of its training rows.
    """

    prediction: NDArray[np.int32]
    log_density: Array
    probability: Array
    anomaly: NDArray[np.bool_] | None


class Mixture(ScoringMixture, DerivingMixture):
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
    handle_invalid : {"error", "skip", "keep", "marginal"}
        What to do with a row that has a null, NaN or infinite value, or the wrong number of features: stop, or give it
        a result that says so. That is component -1, NaN, False for an anomaly (as a filter takes null) and None for
        reasons and for the component of a single row. "skip" does as "keep" does: each row has its result. With
        "marginal", null and NaN are missing values, and a row is scored by its other features; one without any, or with
        an infinite value, has such a result as with "keep".
    seed : int
        Of :meth:`sample`.
    identities : Identities, optional
        Ids and names of the components; by default ids from 0, and no names.
    log_densities_by_pattern : mapping of bytes to LogDensityHistogram, optional
        Of training rows with missing values, by pattern.

    Examples
    --------
    >>> from gmm_spark import MixtureParameters
    >>> mixture = Mixture(MixtureParameters([0.5, 0.5], [[-9.0], [9.0]], [1.0, 1.0], "spherical"), ["x"])
    >>> mixture.predict([[8.0], [-8.5]]).tolist(), mixture.predict({"x": 8.0})
    ([1, 0], 1)
    """

    def __repr__(self) -> str:
        """Describe the mixture in one line."""
        found = self.parameters
        return f"Mixture(k={found.n_components}, d={found.n_features}, covariance_type={found.covariance_type!r})"

    def _repr_html_(self) -> str:
        """Describe the mixture for a notebook: its components as a table."""
        drawn = draw_components(self.parameters, self.feature_names, identities=self.identities)
        return f"<p>{escape(repr(self))}</p>{drawn}"

    def predict(self, rows: Any) -> Any:
        """Return the most probable component of each row, from 0; noise, if there is any, is k.

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
        read = read_rows(rows, self._columns, self.handle_invalid)
        found = self._score(read, log_density=False).prediction
        if read.single:
            return int(found[0]) if found.size else None
        return read.spread(found, NO_COMPONENT)

    def predict_id(self, rows: Any) -> Any:
        """Return the id of the most probable component of each row; -1 and None for bad rows, as :meth:`predict` has.

        A component's number may be another after a refit; its id stays.
        """
        found = self.predict(rows)
        if found is None or isinstance(found, int):
            return None if found is None else self.identities.ids[found]
        return np.append(np.array(self.identities.ids, np.int32), np.int32(NO_COMPONENT))[found]

    def predict_proba(self, rows: Any) -> Array:
        """Return the responsibilities of the components for each row, (n, k), or (k,) for one row.

        If there is noise, its responsibility is the last of k + 1.
        """
        read = read_rows(rows, self._columns, self.handle_invalid)
        found = self._score(read, prediction=False, probability=True).probability
        assert found is not None
        spread = read.spread(found, np.nan)
        return spread[0] if read.single else spread

    def log_density(self, rows: Any) -> Any:
        """Return log p(row) of each row, (n,), nats; minus infinity if float64 cannot hold it."""
        read = read_rows(rows, self._columns, self.handle_invalid)
        spread = read.spread(self._score(read, prediction=False).log_density, np.nan)
        return float(spread[0]) if read.single else spread

    def scores(self, rows: Any) -> RowScores:
        """Return labels, log-densities, responsibilities and anomalies of rows at once, in the time of one of them.

        Returns
        -------
        RowScores
            What :meth:`predict`, :meth:`log_density`, :meth:`predict_proba` and :meth:`is_anomaly` return. Of one row,
            they are arrays of one row.
        """
        read = read_rows(rows, self._columns, self.handle_invalid)
        found = self._score(read, probability=True)
        assert found.probability is not None
        anomaly = None
        if self.knows_anomalies:
            anomaly = read.spread(find_odd(read, found, self._find_threshold(None)), False)
        return RowScores(
            read.spread(found.prediction, NO_COMPONENT),
            read.spread(found.log_density, np.nan),
            read.spread(found.probability, np.nan),
            anomaly,
        )

    def is_anomaly(self, rows: Any, fraction: float | None = None) -> Any:
        """Return which rows are less likely than all but a share of the training rows.

        A row with missing values is compared with what the mixture and that share make of its other features.

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
        threshold, read = self._find_threshold(fraction), read_rows(rows, self._columns, self.handle_invalid)
        spread = read.spread(find_odd(read, self._score(read, prediction=False), threshold), False)
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
        threshold, read = self._find_threshold(fraction), read_rows(rows, self._columns, self.handle_invalid)
        scores = self._score(read)
        odd = np.flatnonzero(find_odd(read, scores, threshold))
        reasons = find_observed_reasons(self._marginals, read.rows[:, odd], scores.prediction[odd])
        at = odd if read.good is None else np.flatnonzero(read.good)[odd]
        found: list[list[Reason] | None] = [None] * (len(scores.log_density) if read.good is None else len(read.good))
        for row, features, values in zip(at.tolist(), reasons.features.T.tolist(), reasons.z.T.tolist(), strict=True):
            named = [self._columns.name_feature(j) for j in features if j >= 0]  # the rest are missing
            found[row] = [Reason(name, z) for name, z in zip(named, values, strict=False)]
        return found[0] if read.single else found

    def impute(self, rows: Any, suffix: str = "_imputed") -> Any:
        """Fill in missing values by what the mixture expects given the row's other features.

        The value is the conditional mean; see :meth:`gmm_spark.GaussianMixtureModel.impute`. Null and NaN are missing
        values, whatever ``handle_invalid`` is; a row without any value, or with an infinite one, is bad.

        Parameters
        ----------
        rows : array-like, table or dict
        suffix : str
            Of the columns that are appended to a table.

        Returns
        -------
        array (n, d) or (d,), dict, or table
            Of an array or one row, the same with missing values filled in; a bad row is NaN. Of a table of pandas, the
            table with the columns that were read once more, under their names and the suffix, and missing values filled
            in; of any other table, the same in Arrow. A bad row has nulls there.

        Raises
        ------
        DataError
            If the table has a column of such a name, or as for :meth:`predict`.
        ParameterError
            If the suffix is empty.
        """
        return impute_rows(rows, self._columns, self.handle_invalid, suffix, self._fill)

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
            The component that each row was drawn from; k is noise.
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
        """Return the components as a table, as :meth:`gmm_spark.GaussianMixtureModel.describe` does.

        Returns
        -------
        pandas.DataFrame
            A row for each component. Columns: ``weight``, and ``mean of x`` and ``sd of x`` for each feature x, which
            noise, the last row if there is any, has not.
        """
        import pandas as pd

        found = list_components(self.parameters, self.feature_names, identities=self.identities)
        return pd.DataFrame(found).rename_axis("component")
