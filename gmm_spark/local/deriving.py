"""Mixtures that follow from a mixture: of some features, or of the rest given values of some; and regression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsFloat, TypeVar

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.regression import Regressor
from gmm_spark.core.mixture.conditioning import condition, marginal
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from gmm_spark.local.choosing import choose_targets, find_features, read_given
from gmm_spark.local.exchange import ExchangedMixture
from gmm_spark.local.reading import read_rows
from gmm_spark.local.tables import Columns
from gmm_spark.spark.decoding import MARGINAL

D = TypeVar("D", bound="DerivingMixture")


class Regression(NamedTuple):
    """What some features of rows say of others.

    Attributes
    ----------
    features : tuple of str or int
        Those that were predicted: their names, or their indices if they have none.
    mean : array (n, r), or (r,) for one row
        Conditional means.
    sd : array of the same shape
        Conditional standard deviations: how far off the values are to be expected.
    """

    features: tuple[str | int, ...]
    mean: Array
    sd: Array


class DerivingMixture(ExchangedMixture):
    """A mixture from which others follow."""

    def marginal(self: D, columns: Iterable[str | int]) -> D:
        """Return the mixture of some features, whatever the others are. It is exact.

        The structure of the covariances and the components' ids and names stay. The result knows no training rows: it
        has no threshold for anomalies.

        Parameters
        ----------
        columns : iterable of str or int
            Names or indices of the features, in the order that the result is to have them.

        Raises
        ------
        ParameterError
            If there is no such feature, one is named twice, or none is.
        """
        kept = find_features("columns", columns, self.feature_names, self.parameters.n_features)
        return self._derive(marginal(self.parameters, kept), kept)

    def conditional(self: D, given: Mapping[Any, SupportsFloat]) -> D:
        """Return the mixture of the other features, given values of some. It is exact.

        The weights become the responsibilities for what is given; the structure of the covariances and the components'
        ids and names stay. The result knows no training rows: it has no threshold for anomalies.

        Parameters
        ----------
        given : mapping of str or int to float
            From names or indices of features to their values.

        Raises
        ------
        ParameterError
            If there is no such feature, all are given or none is, or a value is no finite number.
        """
        d = self.parameters.n_features
        indices, values = read_given(given, self.feature_names, d)
        rest = [i for i in range(d) if i not in indices]
        return self._derive(condition(self.parameters, indices, values), rest)

    def regress(self, rows: Any, given: Iterable[str | int], targets: Iterable[str | int] | None = None) -> Regression:
        """Predict features of rows from others: mixture regression. A noise component has no part in it.

        Parameters
        ----------
        rows : array-like, table or dict
            As for :meth:`~gmm_spark.Mixture.predict`, but of the given features alone: a table has a column for each,
            an array has them in the order of ``given``.
        given : iterable of str or int
            Names or indices of the features that are known.
        targets : iterable of str or int, optional
            Of those to predict; by default all that are not given.

        Returns
        -------
        Regression
            NaN for bad rows, if ``handle_invalid`` is not "error".

        Raises
        ------
        ParameterError
            If a feature is not there, is given and a target, or none is left; or if ``handle_invalid`` is "marginal".
        DataError
            If the rows are of another width, lack a column, or are no numbers; or if one is bad and ``handle_invalid``
            is "error".

        Examples
        --------
        >>> from gmm_spark import Mixture, MixtureParameters
        >>> mixture = Mixture(MixtureParameters([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]]), ["x", "y"])
        >>> features, mean, sd = mixture.regress({"x": 2.0}, given=["x"])
        >>> features, mean.round(6).tolist(), sd.round(6).tolist()
        (('y',), [1.6], [0.6])
        """
        if self.handle_invalid == MARGINAL:
            raise ParameterError(
                "handle_invalid='marginal', but regress needs all values of the given features; set it to 'keep', or "
                "use impute, which predicts each row's missing values from the others"
            )
        names, d = self.feature_names, self.parameters.n_features
        known = find_features("given", given, names, d)
        wanted = choose_targets(known, targets, names, d)
        columns = Columns(None if names is None else tuple(names[i] for i in known), None, len(known))
        read = read_rows(rows, columns, self.handle_invalid)
        found = Regressor.of(self.parameters, known, wanted).regress(read.rows)
        mean, sd = (read.spread(np.ascontiguousarray(one.T), np.nan) for one in found)
        called = tuple(wanted) if names is None else tuple(names[i] for i in wanted)
        return Regression(called, mean[0], sd[0]) if read.single else Regression(called, mean, sd)

    def _derive(self: D, parameters: MixtureParameters, kept: Sequence[int]) -> D:
        """Return a mixture of some of the features, with what is known of these and of the components."""
        names = self.feature_names
        return type(self)(
            parameters,
            None if names is None else [names[i] for i in kept],
            features_col=self._columns.features_col,
            anomaly_fraction=self.anomaly_fraction,
            handle_invalid=self.handle_invalid,
            seed=self.seed,
            identities=self.identities,
        )
