"""Saved models: what their files hold, checked in one place, whether Spark has read the files or Python alone.

A model is one JSON line of metadata and one row of data for each component::

    <path>/metadata   pyspark.ml's own layout; formatVersion, covarianceType, featureNames, logDensities,
                      logDensitiesByPattern, trainingProfile, components, noise and memory are added
    <path>/data       Parquet: component int, weight double, mean array<double>, covariance array<double>

A covariance is flattened in C order from the structure's shape for one component: full and tied d x d (every row of a
tied mixture repeats it), diag d, spherical 1. ``logDensities`` is the histogram of the training rows' log-densities, as
:class:`.LogDensityHistogram` writes itself, or null; ``logDensitiesByPattern`` are those of rows with missing values,
with the features that are missing; ``trainingProfile`` is what :class:`.TrainingProfile` writes, or null;
``components`` is what :class:`.Identities` writes, their ids and names; ``memory`` is what :class:`.Memory` writes, of
rows that were fitted. Files older than these lack the keys. ``noise`` is what :class:`.Noise` writes; without noise
there is no such key. Rows of data are of the Gaussians alone.

``formatVersion`` rises if an older reader would misread the files, as it would if the bins of the histogram changed. So
a mixture with noise has version 2, and any other has version 1. Readers ignore keys that they do not know, and defaults
of parameters that they do not have.

The metadata names a class. Anybody may have written the file, so the name is compared and never imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.missing.known import from_list, to_list
from gmm_spark.core.mixture.covariance import CovarianceStructure, structure
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.update.memory import Memory
from gmm_spark.errors import ModelFileError, ParameterError, ResourceError
from gmm_spark.storage.documents import shorten, show

# Of a mixture without noise, and of one with it.
FORMAT_VERSION, NOISE_VERSION = 1, 2
# The class that the files of a model name: the public path, which stays when modules move. Older files name a module.
MODEL_CLASS = "gmm_spark.GaussianMixtureModel"
MODEL_CLASSES = frozenset({MODEL_CLASS, "gmm_spark.model.GaussianMixtureModel"})
# Characters of metadata that are read at most. Training profiles of thousands of features have some millions.
LONGEST = 1 << 26
# Key of a training profile of rows with missing values, which older versions would take for one of complete rows.
_INCOMPLETE = "incompleteProfile"
_ADVICE = "give the folder that save() wrote"


@dataclass(frozen=True, eq=False)
class SavedModel:
    """What the files of a model hold.

    Attributes
    ----------
    parameters : MixtureParameters
    feature_names : list of str or None
    log_densities : LogDensityHistogram or None
        Of the training rows.
    training_profile : TrainingProfile or None
    metadata : dict
        pyspark.ml's own: uid, paramMap, defaultParamMap, sparkVersion, timestamp.
    identities : Identities or None
        Of the components; None if the files are older than these.
    log_densities_by_pattern : mapping of bytes to LogDensityHistogram
        Of the training rows with missing values, by pattern.
    memory : Memory or None
        Of the rows that it was fitted to.
    """

    parameters: MixtureParameters
    feature_names: list[str] | None
    log_densities: LogDensityHistogram | None
    training_profile: TrainingProfile | None
    metadata: dict[str, Any]
    identities: Identities | None = None
    log_densities_by_pattern: Mapping[bytes, LogDensityHistogram] = field(default_factory=dict)
    memory: Memory | None = None


def parse_metadata(path: str, line: str, classes: Collection[str], kind: str) -> dict[str, Any]:
    """Return the metadata of a saved object whose class has one of these names.

    Parameters
    ----------
    path : str
        Of the object, for messages.
    line : str
        JSON.
    classes : collection of str
        Names that are accepted.
    kind : str
        What was asked for, as messages name it.

    Raises
    ------
    ModelFileError
        If it is not that.
    """
    try:
        metadata = json.loads(line)
    except (ValueError, RecursionError) as error:  # the latter if brackets are nested too deeply
        raise missing(path, kind, error) from error
    named = metadata.get("class") if isinstance(metadata, dict) else None
    if not isinstance(named, str) or named not in classes:
        raise ModelFileError(
            f"{path} holds something else than a gmm_spark {kind} (its class: {show(named)}); {_ADVICE}"
        )
    return cast(dict[str, Any], metadata)


def build_model(
    path: str,
    metadata: dict[str, Any],
    read_rows: Callable[[CovarianceStructure], Sequence[Mapping[str, Any]]],
) -> SavedModel:
    """Build a model from its metadata and its rows, which are read once the metadata have been found sound.

    Parameters
    ----------
    path : str
        Of the model, for messages.
    metadata : dict
        From :func:`parse_metadata`.
    read_rows : callable
        Takes the covariance structure and returns the rows of data, by component. If the structure is pooled, only the
        first row needs its covariance.

    Raises
    ------
    ModelFileError
        If the format version is unknown, or something in the files cannot be right.
    ResourceError
        If ``read_rows`` raises it.
    """
    version = metadata.get("formatVersion")
    if version not in (FORMAT_VERSION, NOISE_VERSION) or isinstance(version, bool):
        raise ModelFileError(
            f"{path} has model format version {show(version)}; this gmm_spark reads versions {FORMAT_VERSION} and "
            f"{NOISE_VERSION}: install the gmm_spark that wrote it, or a later one"
        )
    try:
        rows = read_rows(structure(metadata["covarianceType"]))
        histogram, profile = metadata.get("logDensities"), metadata.get("trainingProfile")
        profile = profile or metadata.get(_INCOMPLETE)
        identities, memory = metadata.get("components"), metadata.get("memory")
        parameters = _from_rows(rows, metadata["covarianceType"], _read_noise(metadata))
        found = SavedModel(
            parameters,
            metadata["featureNames"],
            None if histogram is None else LogDensityHistogram.from_dict(histogram),
            None if profile is None else TrainingProfile.from_dict(profile),
            metadata,
            None if identities is None else Identities.from_dict(identities, parameters.n_classes),
            from_list(metadata.get("logDensitiesByPattern") or [], parameters.n_features),
            None if memory is None else Memory.from_dict(memory),
        )
        if found.memory is not None:
            found.memory.require_fits(*found.parameters.means.shape)
        if found.training_profile is not None:
            found.training_profile.require_fits(found.parameters.n_classes, found.parameters.n_features)
        return found
    except ResourceError:
        raise
    except Exception as error:  # readers of Parquet raise errors of many types
        raise damaged(path, error) from error


def to_metadata(model: SavedModel) -> dict[str, Any]:
    """Return the metadata of a model as its file has them."""
    log_densities, profile, identities = model.log_densities, model.training_profile, model.identities
    by_pattern = model.log_densities_by_pattern
    return model.metadata | {
        "class": MODEL_CLASS,
        "formatVersion": FORMAT_VERSION if model.parameters.noise is None else NOISE_VERSION,
        "covarianceType": model.parameters.covariance_type,
        "featureNames": model.feature_names,
        "logDensities": None if log_densities is None else log_densities.to_dict(),
        "trainingProfile": None if profile is None or profile.missing is not None else profile.to_dict(),
        **({} if profile is None or profile.missing is None else {_INCOMPLETE: profile.to_dict()}),
        **({} if model.parameters.noise is None else {"noise": model.parameters.noise.to_dict()}),
        **({"logDensitiesByPattern": to_list(by_pattern, model.parameters.n_features)} if by_pattern else {}),
        **({} if identities is None or not identities.recorded else {"components": identities.to_dict()}),
        **({} if model.memory is None else {"memory": model.memory.to_dict()}),
    }


def to_rows(parameters: MixtureParameters) -> list[tuple[int, float, list[float], list[float]]]:
    """Return the rows of data: component, weight, mean and covariance of each."""
    covariances = parameters.covariances
    if parameters.structure.pooled:
        covariances = np.broadcast_to(covariances, (parameters.n_components, *covariances.shape))
    columns = zip(parameters.weights.tolist(), parameters.means.tolist(), covariances, strict=True)
    return [(j, weight, mean, covariance.ravel().tolist()) for j, (weight, mean, covariance) in enumerate(columns)]


def damaged(path: str, error: Exception) -> ModelFileError:
    """Return the error that says why a model cannot be read."""
    return ModelFileError(f"the model at {path} is damaged: {first_line(error)}; save it again")


def missing(path: str, kind: str, error: Exception) -> ModelFileError:
    """Return the error that says that there is nothing of a kind at a path."""
    return ModelFileError(f"no {kind} at {path}: {first_line(error)}; {_ADVICE}")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return shorten((str(error).splitlines() or [type(error).__name__])[0], 600)


def _read_noise(metadata: Mapping[str, Any]) -> Noise | None:
    """Read the noise of a mixture, which a file has if its version says so."""
    return Noise.from_dict(metadata["noise"]) if metadata["formatVersion"] == NOISE_VERSION else None


def _from_rows(rows: Sequence[Mapping[str, Any]], covariance_type: str, noise: Noise | None) -> MixtureParameters:
    components = [r["component"] for r in rows]
    if components != list(range(len(rows))) or not rows:
        raise ParameterError(f"data holds components {components[:100]}")
    means = np.array([r["mean"] for r in rows])
    kind = structure(covariance_type)
    stored = np.array([r["covariance"] for r in (rows[:1] if kind.pooled else rows)])
    covariances = stored.reshape(kind.shape(*means.shape))
    return MixtureParameters([r["weight"] for r in rows], means, covariances, covariance_type, noise)
