"""What a mixture is to the rows of a table: their likelihood, criteria, and a portrait of them."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame

from gmm_spark.core.kernels.evaluation import Evaluation
from gmm_spark.core.mixture import criteria
from gmm_spark.core.portrait.frame import LEAST_LIKELY, Frame
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.ml.fitted import FittedMixture
from gmm_spark.ml.inputs import require_table
from gmm_spark.spark.columns import Features, resolve_features
from gmm_spark.spark.portraying import portray
from gmm_spark.spark.scoring import evaluate


class MeasuringModel(FittedMixture):
    """A model that reads a table to say how well it describes it."""

    def logLikelihood(self, dataset: DataFrame) -> float:
        """Return the weighted sum of log p(row) over a table, nats.

        If ``handleInvalid`` is "marginal", a row with missing values counts by the density of its other features.
        Importance weights count for the effective number of rows: it is their weighted mean times that number.
        """
        return self._evaluate(dataset).log_likelihood

    def aic(self, dataset: DataFrame) -> float:
        """Return Akaike's criterion on a table; smaller is better."""
        return criteria.aic(self._evaluate(dataset).log_likelihood, self.parameters.n_parameters)

    def bic(self, dataset: DataFrame) -> float:
        """Return Schwarz's criterion (BIC) on a table; smaller is better."""
        found = self._evaluate(dataset)
        return criteria.bic(found.log_likelihood, self.parameters.n_parameters, found.weight_sum)

    def icl(self, dataset: DataFrame) -> float:
        """Return BIC plus twice the entropy of the responsibilities on a table; smaller is better."""
        found = self._evaluate(dataset)
        return criteria.icl(found.log_likelihood, self.parameters.n_parameters, found.weight_sum, found.entropy)

    def portray(self, dataset: DataFrame, frame: Frame | None = None) -> Portrait:
        """Take a portrait of a table's rows beside the mixture, by one read of the table.

        Rows are used, and counted, as by :meth:`logLikelihood`. If ``handleInvalid`` is "marginal", a row counts in the
        histograms of the features that it has; the table is then read twice.

        Parameters
        ----------
        dataset : DataFrame
        frame : Frame, optional
            Bins and features; that of another portrait makes the two comparable. By default it follows from the mixture
            and from what it knows of its training rows.

        Returns
        -------
        Portrait
            Histograms by feature, in pairs and by component, responsibilities that rows share, the least likely rows.
            Its size depends on the mixture alone.

        Raises
        ------
        DataError
            If a row is bad and ``handleInvalid`` is "error", no row is left, or the rows have too many patterns of
            missing columns.
        """
        self.check_params()
        features = self._features(dataset, self.weight_column)
        strict = self.getHandleInvalid() == "error"
        frame = self._choose_frame() if frame is None else frame
        parameters, precision, kind = self.parameters, self.getPrecision(), self.getWeightKind()
        return portray(dataset, parameters, features, frame, strict, precision, kind)

    def _choose_frame(self) -> Frame:
        """Choose the bins of a portrait: those of the fit's own, if it has one."""
        if self._summary is not None and self._summary.portrait is not None:
            return self._summary.portrait.frame
        threshold = None if self.logDensities is None else self.logDensities.quantile(LEAST_LIKELY)
        known = self.trainingProfile
        if known is None:
            return Frame.of(self.parameters, threshold=threshold)
        return Frame.of(self.parameters, known.quartiles, known.steps, known.origins, threshold)

    def _evaluate(self, dataset: DataFrame) -> Evaluation:
        self.check_params()
        features = self._features(dataset, self.weight_column)
        strict = self.getHandleInvalid() == "error"
        return evaluate(dataset, self.parameters, features, strict, self.getPrecision(), self.getWeightKind())

    def _features(self, dataset: DataFrame, weight: str | None) -> Features:
        require_table(dataset)
        features = resolve_features(
            dataset, self.getFeaturesCol(), self.input_columns, weight, width=self.parameters.n_features
        )
        assert features is not None  # None only if the width is unknown
        return replace(features, missing=self._scores_missing)
