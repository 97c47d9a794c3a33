"""What a fit starts from, a saved model or written parameters, and how far the components have moved from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import gmm_spark
from gmm_spark.core.mixture.matching import Match, Matching, match_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.config.jobs import FitConfiguration
from gmm_spark.jobs.io.parameter_files import read_parameters
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.saved import locate_model
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import Located, find_model_if_any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark import GaussianMixtureModel

# A component has moved if its mean has by so many of its standard deviations, or its weight by so much.
_SHIFT, _SHARE = 0.01, 0.001


@dataclass(frozen=True, eq=False)
class Start:
    """A mixture to start from.

    Attributes
    ----------
    parameters : MixtureParameters
    saved : Located or None
        The saved model, and its run; None if the parameters were written by hand.
    """

    parameters: MixtureParameters
    saved: Located | None


def read_start(spark: SparkSession, configuration: FitConfiguration) -> Start | None:
    """Return the mixture to start from; None if none is named, or if it may be missing and is.

    Raises
    ------
    ConfigurationError
        If it is of another k or structure than the configuration asks for, or has its features in another order.
    ModelFileError
        If the model cannot be read; if there is none, and it may not be missing.
    """
    mixture, columns = configuration.model, configuration.features.columns
    if mixture.initial_parameters is not None:
        parameters = read_parameters(spark, "model.initial_parameters", mixture.initial_parameters)
        _require_same_shape(configuration, "model.initial_parameters", parameters)
        return Start(parameters, None)
    if mixture.initial_model is None:
        return None
    files = files_of(spark)
    saved = find_model_if_any(files, mixture.initial_model)
    if saved is None:
        if mixture.initial_model_optional:
            return None
        saved = locate_model(files, "model.initial_model", mixture.initial_model)  # raises, and says what is wrong
    model = gmm_spark.GaussianMixtureModel.load(saved.path)
    _require_same_shape(configuration, "model.initial_model", model.parameters)
    names = model.featureNames or columns
    if names != columns and sorted(names) == sorted(columns):
        raise ConfigurationError(
            f"features.columns: got {', '.join(columns)}, but model.initial_model has them in another order, "
            f"{', '.join(names)}; name them in that order"
        )
    return Start(model.parameters, saved)


def add_moves(start: Start | None, model: GaussianMixtureModel, report: RunReport) -> str:
    """Add how far each component has moved to the report, and return it in a few words; empty without a start."""
    if start is None:
        return ""
    matching = match_components(start.parameters, model.parameters)
    names = model.featureNames or [f"feature {i}" for i in range(model.numFeatures)]
    run_id = None if start.saved is None else start.saved.run_id
    report.add(
        "moved",
        since=None if start.saved is None else {"path": start.saved.path, "run_id": run_id},
        components=[_describe_match(match, names) for match in matching.matches],
        gone=list(matching.gone),
        new=[{"component": j, "nearest_before": matching.nearest[j]} for j in matching.new],
    )
    origin = "the start" if start.saved is None else start.saved.source
    noise = describe_noise(start.parameters, model.parameters)
    return f"; since {origin} {describe_moves(matching, names)}{noise}"


def describe_moves(matching: Matching, names: Sequence[str]) -> str:
    """Describe the farthest move and the largest change of a weight, and what is gone or new."""
    told = []
    if matching.matches:
        farthest = max(matching.matches, key=lambda match: float(np.abs(match.shifts).max()))
        i = int(np.abs(farthest.shifts).argmax())
        if abs(farthest.shifts[i]) >= _SHIFT:
            told.append(
                f"the mean of component {farthest.after} has moved by {farthest.shifts[i]:+.2f} standard deviations "
                f"along {names[i]!r}"
            )
        other = max(matching.matches, key=lambda match: abs(match.weights[1] - match.weights[0]))
        before, after = other.weights
        if abs(after - before) >= _SHARE:
            told.append(f"component {other.after} has {after:.1%} of the weight, before {before:.1%}")
    for word, found in (("gone", matching.gone), ("new", matching.new)):
        if found:
            told.append(f"{'components' if len(found) > 1 else 'component'} {', '.join(map(str, found))} {word}")
    return ", ".join(told) or "no component has moved"


def describe_noise(before: MixtureParameters, after: MixtureParameters) -> str:
    """Describe how much the weight of noise has changed; empty if by less than one in a hundred of all rows."""
    was, is_ = (0.0 if one.noise is None else one.noise.weight for one in (before, after))
    return f", noise has {is_:.1%} of the weight, before {was:.1%}" if abs(is_ - was) >= _SHARE else ""


def _describe_match(match: Match, names: Sequence[str]) -> dict[str, object]:
    return {
        "before": match.before,
        "after": match.after,
        "weight_before": match.weights[0],
        "weight": match.weights[1],
        "hellinger": match.hellinger,
        "distance": match.distance,
        "shifts": dict(zip(names, match.shifts.tolist(), strict=True)),
        "spread_ratios": dict(zip(names, match.spread_ratios.tolist(), strict=True)),
    }


def _require_same_shape(configuration: FitConfiguration, key: str, parameters: MixtureParameters) -> None:
    """Refuse a start whose k or structure is not what was asked for: the fit would keep the start's."""
    mixture = configuration.model
    asked = {"k": mixture.k, "covariance_type": mixture.covariance_type}
    has = {"k": parameters.n_components, "covariance_type": parameters.covariance_type}
    if parameters.noise is not None and "noise" in mixture.model_fields_set and not mixture.noise:
        raise ConfigurationError(
            f"model.noise: got false, but {key} has noise, which a fit keeps; set it to true, or leave {key} out"
        )
    for name in asked:
        if name in mixture.model_fields_set and asked[name] != has[name]:
            raise ConfigurationError(
                f"model.{name}: got {asked[name]}, but {key} has {has[name]}, which a fit keeps; set it to that, or "
                f"leave {key} out"
            )
