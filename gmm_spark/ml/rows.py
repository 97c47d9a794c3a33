"""One row at a time: labels, probabilities and log-densities on the driver, without a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from pyspark.ml.linalg import DenseVector, Vector, Vectors

from gmm_spark.core.arrays import Array
from gmm_spark.core.missing import density
from gmm_spark.errors import DataError
from gmm_spark.local.rows import describe_bad_value, read_row
from gmm_spark.ml.fitted import FittedMixture


class RowScoringModel(FittedMixture):
    """A model that scores one row on the driver."""

    def predict(self, value: Vector | ArrayLike) -> int | None:
        """Return the most probable component of one row of d features; k, one more than the last, is noise.

        A null, NaN or infinite value is treated as ``handleInvalid`` says. If it is "skip" or "keep", the result is
        None; if "marginal", null and NaN are missing values, and the result is that of the other features. For a table
        use ``transform``.

        Raises
        ------
        DataError
            If it is not one row of d numbers, or one is not finite and ``handleInvalid`` is "error".
        """
        row = self._read_row(value)
        return None if row is None else int(density.responsibilities(self.parameters, row).argmax())

    def predictProbability(self, value: Vector | ArrayLike) -> DenseVector:
        """Return the responsibilities of the k components, and last that of noise if there is any, for one row.

        Values that are not finite are treated as by :meth:`predict`; the result is NaN in place of None.
        """
        row = self._read_row(value)
        if row is None:
            return Vectors.dense(np.full(self.parameters.n_classes, np.nan))
        return Vectors.dense(density.responsibilities(self.parameters, row)[:, 0])

    def logDensity(self, value: Vector | ArrayLike) -> float:
        """Return log p(row), nats, of one row of d features.

        Values that are not finite are treated as by :meth:`predict`; the result is NaN in place of None.
        """
        row = self._read_row(value)
        return float("nan") if row is None else float(density.log_density(self.parameters, row)[0])

    def _read_row(self, value: Vector | ArrayLike) -> Array | None:
        """Return one row as a block, (d, 1), with NaN for missing values; None if it is bad, not refused."""
        row = read_row(value, self.numFeatures)
        bad = describe_bad_value(row, self.featureNames)
        if bad is None:
            return row
        self.check_params()
        if self._scores_missing:
            return None if np.isinf(row).any() or np.isnan(row).all() else row
        if self.getHandleInvalid() == "error":
            raise DataError(f"{bad}; need finite values, or set handleInvalid to 'skip' or 'keep'")
        return None
