"""Identifying: the components of a fit keep the ids and names of an earlier model's, as far as they are the same."""

from __future__ import annotations

import logging
from typing import TypeVar

from pyspark.ml.param import Params

from gmm_spark.core.mixture.changes import Change, describe_changes, list_changes
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.matching import match_components
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.steps import step
from gmm_spark.errors import ParameterError
from gmm_spark.local.rows import describe_type
from gmm_spark.ml.model import GaussianMixtureModel
from gmm_spark.spark.columns import Features

T = TypeVar("T", bound="HasPreviousModel")

_log = logging.getLogger(__name__)


class HasPreviousModel(Params):
    """The earlier model whose ids and names a fit keeps."""

    _previous: GaussianMixtureModel | None = None
    _started_from: GaussianMixtureModel | None = None  # what a fit goes on from, unless another is named

    def setPreviousModel(self: T, model: GaussianMixtureModel | None) -> T:
        """Keep the ids and names of an earlier model's components.

        A component keeps its id if it shares its rows with one of the earlier model's; others get ids that were never
        given. ``summary.changes`` lists what became of each. The number of components and their structure may be
        others. The model is an object, not a Param: it is not saved with the estimator.

        Parameters
        ----------
        model : GaussianMixtureModel or None
            Of the same features; if these have names, their order does not matter. None: that of ``setInitialModel``
            if there is one, else ids are 0 to k - 1.

        Raises
        ------
        ParameterError
            If it is something else.
        """
        if model is not None and not isinstance(model, GaussianMixtureModel):
            raise ParameterError(f"the previous model is {describe_type(model)}; need a GaussianMixtureModel, or None")
        self._previous = model
        return self

    def _require_previous(self, features: Features) -> None:
        """Refuse a previous model of other features than the table's; raises ParameterError."""
        if self._previous is not None:
            align_features(self._previous, features.names)

    def _identify(self, parameters: MixtureParameters, features: Features) -> tuple[Identities, list[Change]]:
        """Give the components of a fit their ids; list what became of the earlier model's."""
        previous = self._previous or self._started_from
        if previous is None:
            return Identities.fresh(parameters.n_classes), []
        before = previous.parameters if self._previous is None else align_features(previous, features.names)
        with step("match"):
            matching = match_components(before, parameters)
        found = previous.identities.carry(matching)
        weights = before.class_weights.tolist(), parameters.class_weights.tolist()
        changes = list_changes(matching, previous.identities, found, *weights)
        unknown = "" if previous.identities.recorded else "; the earlier model was saved without ids: taken as 0 to k-1"
        _log.info("components: %s%s", describe_changes(changes), unknown)
        return found, changes


def align_features(model: GaussianMixtureModel, names: tuple[str, ...]) -> MixtureParameters:
    """Return the parameters of a model with its features in the order of a table's.

    Raises
    ------
    ParameterError
        If the features are others.
    """
    found, own = model.parameters, model.input_columns or model.featureNames
    if found.n_features != len(names):
        raise ParameterError(
            f"the previous model has {found.n_features} features and the table {len(names)}; components of other "
            "features cannot be the same: set another previous model, or none"
        )
    if own is None or tuple(own) == names:
        return found
    if sorted(own) != sorted(names):
        strange = sorted({*own} - {*names})
        raise ParameterError(
            f"the previous model has features that the table lacks: {', '.join(map(repr, strange[:5]))}; set another "
            "previous model, or none; if they were renamed, set the model's featureNames and inputCols"
        )
    return found.reordered([own.index(name) for name in names])
