"""Models that follow from a model: of some features, or of the rest given values of some; and regression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsFloat, TypeVar

from pyspark.sql import DataFrame

from gmm_spark.core.kernels.regression import Regressor
from gmm_spark.core.mixture.conditioning import condition, marginal
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from gmm_spark.local.choosing import choose_targets, find_features, read_given
from gmm_spark.ml.fitted import FittedMixture
from gmm_spark.ml.inputs import require_table
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.decoding import MARGINAL
from gmm_spark.spark.ranges import require_float32_range
from gmm_spark.spark.regressing import append_regression

M = TypeVar("M", bound="DerivingModel")


class DerivingModel(FittedMixture):
    """A model from which others follow."""

    def marginal(self: M, columns: Iterable[str | int]) -> M:
        """Return the model of some features, whatever the others are. It is exact.

        Covariance structure, ids and names of the components, and parameters such as columns stay; ``inputCols``, if
        set, becomes the columns that are kept. A model that reads one array or Vector needs one of the kept features.
        The result has no summary, and knows no training rows: it has no threshold for anomalies of its own, so
        ``anomalyCol``, ``reasonsCol`` and drift are refused.

        Parameters
        ----------
        columns : iterable of str or int
            Names or indices of the features, in the order that the result is to have them.

        Raises
        ------
        ParameterError
            If there is no such feature, one is named twice, or none is.

        Examples
        --------
        >>> from gmm_spark import GaussianMixtureModel, MixtureParameters
        >>> parameters = MixtureParameters([1.0], [[1.0, 2.0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> GaussianMixtureModel(parameters, ["x", "y"]).marginal(["y"]).means.tolist()
        [[2.0]]
        """
        kept = find_features("columns", columns, self._names, self.numFeatures)
        return self._derive(marginal(self.parameters, kept), kept)

    def conditional(self: M, given: Mapping[Any, SupportsFloat]) -> M:
        """Return the model of the other features, given values of some. It is exact.

        The weights become the responsibilities for what is given. All else is as for :meth:`marginal`. The structure
        stays too: given values, the other features of a tied mixture share one covariance, and those of a diagonal or
        spherical one are uncorrelated as before, so that only the weights change.

        Parameters
        ----------
        given : mapping of str or int to float
            From names or indices of features to their values.

        Raises
        ------
        ParameterError
            If there is no such feature, all are given or none is, or a value is no finite number.

        Examples
        --------
        >>> from gmm_spark import GaussianMixtureModel, MixtureParameters
        >>> parameters = MixtureParameters([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> rest = GaussianMixtureModel(parameters, ["x", "y"]).conditional(given={"x": 2.0})
        >>> rest.featureNames, rest.means.round(6).tolist(), rest.covariances.round(6).tolist()
        (['y'], [[1.6]], [[[0.36]]])
        """
        indices, values = read_given(given, self._names, self.numFeatures)
        rest = [i for i in range(self.numFeatures) if i not in indices]
        return self._derive(condition(self.parameters, indices, values), rest)

    def regress(
        self,
        dataset: DataFrame,
        given: Iterable[str | int] | Mapping[Any, str],
        targets: Iterable[str | int] | None = None,
        outputPrefix: str = "predicted_",
        withDeviations: bool = False,
    ) -> DataFrame:
        """Append predictions of some features from others to a table: mixture regression.

        The prediction is the mean of the conditional mixture: each component's linear regression, weighted by its
        responsibility for what is given. A noise component has no part in it. The table need not have the other
        features. Rows are read as they pass; a stream will do.

        Parameters
        ----------
        dataset : DataFrame
        given : iterable of str or int, or mapping
            Features that are known, by name or index. Each is read from the numeric column of its name; a mapping says
            from which column instead, which a model of one array or Vector needs.
        targets : iterable of str or int, optional
            Features to predict; by default all that are not given.
        outputPrefix : str
            The prediction of a feature ``x`` is the column ``predicted_x``.
        withDeviations : bool
            Whether to append the conditional standard deviation as well, as ``predicted_x_sd``: how far off the value
            is to be expected.

        Returns
        -------
        DataFrame
            A row that has a null, NaN or infinite value in a given column is treated as ``handleInvalid`` says: it
            fails the job, is dropped, or has null predictions.

        Raises
        ------
        ParameterError
            If a feature is not there, is given and a target, or none is left; or if ``handleInvalid`` is "marginal".
        DataError
            If the table lacks a column or already has one of the names, or a column is not numeric.
        """
        require_table(dataset)
        self.check_params()
        handle_invalid, names = self.getHandleInvalid(), self._names
        if handle_invalid == MARGINAL:
            raise ParameterError(
                "handleInvalid='marginal', but regress needs all values of the given columns; set it to 'skip' or "
                "'keep', or use impute, which predicts each row's missing values from the others"
            )
        known = find_features("given", list(given), names, self.numFeatures)
        wanted = choose_targets(known, targets, names, self.numFeatures)
        columns = self._name_columns(given, known)
        features = resolve_features(dataset, "", columns, None, width=len(known))
        assert features is not None  # since the width is given
        regressor = Regressor.of(self.parameters, known, wanted, self.getPrecision())
        if self.getPrecision() == "float32":
            require_float32_range(features.names, regressor.plan.scale)
        means = [f"{outputPrefix}{i if names is None else names[i]}" for i in wanted]
        deviations = [f"{name}_sd" for name in means] if withDeviations else []
        return append_regression(dataset, regressor, features, means, deviations, handle_invalid)

    def _name_columns(self, given: Iterable[Any], known: Sequence[int]) -> list[str]:
        """Name the column of each given feature."""
        if isinstance(given, Mapping):
            columns = list(given.values())
            if not all(isinstance(one, str) for one in columns):
                raise ParameterError(f"given={dict(given)!r}; need the name of a column for each feature")
            return columns
        if self.input_columns is None:
            raise ParameterError(
                f"the model reads the one column {self.getFeaturesCol()!r}; regress reads a column for each given "
                "feature: pass a mapping, such as given={0: 'x'}"
            )
        return [self.input_columns[i] for i in known]

    @property
    def _names(self) -> list[str] | None:
        return self.input_columns or self.featureNames

    def _derive(self: M, parameters: MixtureParameters, kept: Sequence[int]) -> M:
        """Return a model of some of the features, with the parameters of this one."""
        names, columns = self.featureNames, self.input_columns
        derived = type(self)(
            parameters, None if names is None else [names[i] for i in kept], identities=self.identities
        )  # type: ignore[call-arg]
        self._copyValues(derived)
        return derived if columns is None else derived._set(inputCols=[columns[i] for i in kept])
