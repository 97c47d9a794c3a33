"""MLflow: log a mixture and load it again, without pickle. This module needs the extra ``mlflow``.

What is logged is the directory that ``model.save`` writes, beside MLflow's own files::

    MLmodel               flavors gmm_spark, which :func:`load_model` reads, and python_function, for pandas
    data/model/metadata   one JSON line
    data/model/data       Parquet
    input_example.json, requirements.txt, ...

Loading takes this package and MLflow, and neither Spark nor a JVM.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmm_spark._version import __version__
from gmm_spark.errors import ModelFileError, ParameterError
from gmm_spark.extras import require_extra
from gmm_spark.local.mixture import Mixture
from gmm_spark.local.rows import describe_type
from gmm_spark.local.writing import write_model

require_extra("mlflow", "mlflow", "gmm_spark.mlflow")

import mlflow.artifacts  # noqa: E402  # after the error that names the extra
import mlflow.pyfunc  # noqa: E402
from mlflow.models import Model, ModelSignature  # noqa: E402
from mlflow.models.model import ModelInfo  # noqa: E402
from mlflow.types import ColSpec, DataType, Schema, TensorSpec  # noqa: E402
from mlflow.types.schema import Array  # noqa: E402

if TYPE_CHECKING:
    from gmm_spark.ml.model import GaussianMixtureModel

FLAVOR_NAME = "gmm_spark"
# Columns that python_function returns.
PREDICTION, PROBABILITY, LOG_DENSITY, ANOMALY = "prediction", "probability", "log_density", "anomaly"


def save_model(
    model: GaussianMixtureModel | Mixture,
    path: str | os.PathLike[str],
    *,
    mlflow_model: Model | None = None,
    signature: ModelSignature | None = None,
    input_example: pd.DataFrame | np.ndarray[Any, Any] | None = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Save a mixture as an MLflow model on this machine.

    Parameters
    ----------
    model : GaussianMixtureModel or Mixture
    path : str or path-like
        A directory that does not exist yet.
    mlflow_model : mlflow.models.Model, optional
        What MLflow knows of the model already.
    signature : mlflow.models.ModelSignature, optional
        By default that of :func:`infer_signature`.
    input_example : pandas.DataFrame or array (n, d), optional
        By default the means of the two heaviest components.
    pip_requirements : sequence of str, optional
        By default this version of gmm-spark.
    metadata : dict, optional
        More to keep in the file MLmodel.
    """
    mixture = _to_mixture(model)
    kept = Model() if mlflow_model is None else mlflow_model
    kept.add_flavor(FLAVOR_NAME, gmm_spark_version=__version__, data="data/model")
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "model")
        if isinstance(model, Mixture):
            model.save(data)
        else:
            write_model(data, model.write().describe())  # Spark's writer would put it on the executors' disks
        mlflow.pyfunc.save_model(
            os.fspath(path),
            loader_module=__name__,
            data_path=str(data),
            mlflow_model=kept,
            signature=infer_signature(mixture) if signature is None else signature,
            input_example=_make_example(mixture) if input_example is None else input_example,
            pip_requirements=list(pip_requirements or [f"gmm-spark=={__version__}"]),
            metadata=metadata,
        )


def log_model(model: GaussianMixtureModel | Mixture, name: str = "model", **options: Any) -> ModelInfo:
    """Log a mixture to MLflow, in the active run if there is one.

    Parameters
    ----------
    model : GaussianMixtureModel or Mixture
    name : str
        Of the model in MLflow.
    **options
        Those of :func:`save_model`, and ``registered_model_name``, ``params``, ``tags`` and others of
        ``mlflow.models.Model.log``.

    Returns
    -------
    mlflow.models.model.ModelInfo
        Its ``model_uri`` is what :func:`load_model` and ``mlflow.pyfunc.load_model`` take.
    """
    info: ModelInfo = Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], model=model, **options)
    return info


def load_model(model_uri: str, dst_path: str | None = None) -> Mixture:
    """Load a mixture that was logged or saved; nothing is unpickled, and Spark is not imported.

    Parameters
    ----------
    model_uri : str
        Such as ``models:/flights/3``, ``runs:/<run id>/model``, or a path.
    dst_path : str, optional
        Directory to download it to; by default one that MLflow chooses.

    Raises
    ------
    ModelFileError
        If it is no mixture of this package, or damaged.
    """
    path = mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=dst_path)
    flavors = Model.load(path).flavors
    if FLAVOR_NAME not in flavors:
        raise ModelFileError(
            f"{model_uri} is a model of {', '.join(map(str, flavors)) or 'no flavor'}; need one that "
            "gmm_spark.mlflow.log_model has logged"
        )
    return Mixture.load(Path(path, str(flavors[FLAVOR_NAME]["data"])))


def infer_signature(model: GaussianMixtureModel | Mixture) -> ModelSignature:
    """Return what python_function takes and gives: a column for each feature if they have names, else an array."""
    mixture = _to_mixture(model)
    names = mixture.feature_names
    if names is None:
        inputs = Schema([TensorSpec(np.dtype(np.float64), (-1, mixture.parameters.n_features))])
    else:
        inputs = Schema([ColSpec(DataType.double, name) for name in names])
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.integer, PREDICTION),
        ColSpec(Array(DataType.double), PROBABILITY),
        ColSpec(DataType.double, LOG_DENSITY),
    ]
    if mixture.knows_anomalies:
        outputs.append(ColSpec(DataType.boolean, ANOMALY))
    return ModelSignature(inputs, Schema(outputs))


class MixtureFunction:
    """A mixture as MLflow's python_function.

    Parameters
    ----------
    mixture : Mixture
    """

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture

    def get_raw_model(self) -> Mixture:
        """Return the mixture, as ``unwrap_python_model`` and others ask for it."""
        return self._mixture

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score rows.

        Parameters
        ----------
        rows : pandas.DataFrame or array (n, d)
        params : dict, optional
            MLflow passes it; there are none.

        Returns
        -------
        pandas.DataFrame
            Columns prediction, probability (a list of k numbers), log_density, and anomaly if the model knows the
            log-densities of its training rows.
        """
        scores = self._mixture.scores(rows)
        found = pd.DataFrame(
            {
                PREDICTION: scores.prediction,
                PROBABILITY: scores.probability.tolist(),
                LOG_DENSITY: scores.log_density,
            },
            index=rows.index if isinstance(rows, pd.DataFrame) else None,
        )
        if scores.anomaly is not None:
            found[ANOMALY] = scores.anomaly
        return found


def _load_pyfunc(path: str) -> MixtureFunction:
    """Load the data of a model; MLflow calls it."""
    return MixtureFunction(Mixture.load(path))


def _to_mixture(model: GaussianMixtureModel | Mixture) -> Mixture:
    """Return a model without Spark.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if isinstance(model, Mixture):
        return model
    if not hasattr(model, "local"):
        raise ParameterError(f"model is {describe_type(model)}; need a GaussianMixtureModel or a Mixture of gmm_spark")
    return model.local()


def _make_example(mixture: Mixture) -> pd.DataFrame | np.ndarray[Any, Any]:
    """Return the means of the two heaviest components, as rows."""
    rows = mixture.means[np.argsort(-mixture.weights, kind="stable")[:2]]
    return rows.copy() if mixture.feature_names is None else pd.DataFrame(rows, columns=mixture.feature_names)
