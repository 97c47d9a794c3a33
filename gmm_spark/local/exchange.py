"""Ways from a mixture in memory to files, scikit-learn and ONNX, and from files and scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from gmm_spark.core.arrays import Array
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.settings import ANOMALY_FRACTION
from gmm_spark.errors import ParameterError
from gmm_spark.extras import require_extra
from gmm_spark.interop.fitted import read_sklearn
from gmm_spark.local.files import read_model
from gmm_spark.local.names import require_names
from gmm_spark.local.options import read_options, require_fraction, to_saved
from gmm_spark.local.tables import Columns
from gmm_spark.local.writing import write_model
from gmm_spark.spark.decoding import HANDLE_INVALID, MARGINAL
from gmm_spark.storage.documents import show
from gmm_spark.storage.models import damaged

if TYPE_CHECKING:
    from onnx import ModelProto
    from sklearn.mixture import GaussianMixture as SklearnMixture


M = TypeVar("M", bound="ExchangedMixture")


class ExchangedMixture:
    """A mixture that comes from files and other libraries, and goes to them."""

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
        identities: Identities | None = None,
        log_densities_by_pattern: Mapping[bytes, LogDensityHistogram] | None = None,
    ) -> None:
        names = require_names("feature_names", feature_names, parameters.n_features)
        if handle_invalid not in HANDLE_INVALID:
            raise ParameterError(f"handle_invalid={show(handle_invalid)}; use one of {', '.join(HANDLE_INVALID)}")
        self.parameters = parameters
        self.log_densities = log_densities
        self.log_densities_by_pattern = dict(log_densities_by_pattern or {})
        self.anomaly_fraction = require_fraction("anomaly_fraction", anomaly_fraction)
        self.handle_invalid = handle_invalid
        self.seed = seed
        self.identities = identities or Identities.fresh(parameters.n_classes)
        self._columns = Columns(None if names is None else tuple(names), features_col, parameters.n_features)

    @classmethod
    def from_sklearn(cls: type[M], mixture: SklearnMixture) -> M:
        """Return a mixture that scikit-learn fitted; see :meth:`gmm_spark.GaussianMixtureModel.from_sklearn`.

        Raises
        ------
        ParameterError
            If it is not fitted, Bayesian, of another class, or edited after its fit.
        """
        parameters, names = read_sklearn(mixture), getattr(mixture, "feature_names_in_", None)
        return cls(parameters, None if names is None else [str(name) for name in names])

    @classmethod
    def load(cls: type[M], path: str | os.PathLike[str], *, handle_invalid: str | None = None) -> M:
        """Read a saved model from a local disk, without Spark.

        Parameters
        ----------
        path : str or path-like
            The folder that ``model.save`` wrote, the output of a job, of which the newest complete run is read, or one
            run of it. A run is checked against its manifest first.
        handle_invalid : {"error", "skip", "keep", "marginal"}, optional
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
            options = read_options(saved)
            if handle_invalid is not None:
                options["handle_invalid"] = handle_invalid
            identities = saved.identities or Identities.fresh(saved.parameters.n_classes, recorded=False)
            options |= {"identities": identities, "log_densities_by_pattern": saved.log_densities_by_pattern}
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
        saved = to_saved(
            self.parameters,
            self.feature_names,
            self.log_densities,
            features_col=self.features_col,
            anomaly_fraction=self.anomaly_fraction,
            handle_invalid=self.handle_invalid,
            seed=int(self.seed),
            identities=self.identities,
            log_densities_by_pattern=self.log_densities_by_pattern,
        )
        write_model(path, saved)

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

        if self.handle_invalid == MARGINAL:
            raise ParameterError(
                "handle_invalid='marginal', but an ONNX graph scores complete rows only; set it to 'keep': the graph "
                "gives a row with missing values the label -1, and NaN"
            )
        return to_onnx(
            self.parameters, self.feature_names, self.log_densities, self.anomaly_fraction, path=path, columns=columns
        )

    @property
    def weights(self) -> Array:
        """Mixing weights of the Gaussians, (k,). They sum to 1, or to what ``noise_weight`` leaves."""
        return self.parameters.weights

    @property
    def noise_weight(self) -> float:
        """Mixing weight of the noise component; 0 if the mixture has none."""
        return 0.0 if self.parameters.noise is None else self.parameters.noise.weight

    @property
    def means(self) -> Array:
        """Means, (k, d)."""
        return self.parameters.means

    @property
    def covariances(self) -> Array:
        """Covariances in the structure's shape: full (k, d, d), tied (d, d), diag (k, d), spherical (k,)."""
        return self.parameters.covariances

    @property
    def component_ids(self) -> list[int]:
        """Id of each component. A component's number may be another after a refit; its id stays."""
        return list(self.identities.ids)

    @property
    def component_names(self) -> list[str | None]:
        """What a user calls each component, None if nothing: see ``GaussianMixtureModel.setComponentNames``."""
        return list(self.identities.names)

    @property
    def features_col(self) -> str | None:
        """Column of arrays or Vectors that tables may hold the features in, or None."""
        return self._columns.features_col

    @property
    def feature_names(self) -> list[str] | None:
        """A name for each feature, or None."""
        return None if self._columns.names is None else list(self._columns.names)
