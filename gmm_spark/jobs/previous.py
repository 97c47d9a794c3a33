"""The earlier model whose components a fit's keep their ids and names of, and the change log since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import gmm_spark
from gmm_spark.core.mixture.changes import Change, describe_changes
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.errors import ConfigurationError, ParameterError
from gmm_spark.jobs.config.jobs import FitConfiguration, SelectConfiguration
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.fits import resolve
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.saved import locate_model
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import Located, find_model_if_any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector

NONE = "none"  # the value of model.previous that begins anew


@dataclass(frozen=True, eq=False)
class Previous:
    """An earlier model.

    Attributes
    ----------
    model : GaussianMixtureModel
    saved : Located
        Where it was found, and its run.
    matches : bool
        Whether it has the features of the table. If not, no component can be the same, and ids that it gave are not
        given again.
    """

    model: GaussianMixtureModel
    saved: Located
    matches: bool


def read_previous(spark: SparkSession, configuration: FitConfiguration | SelectConfiguration) -> Previous | None:
    """Return the earlier model; None if there is none, or none is wanted.

    That is ``model.previous``; without it the newest run of ``output.model``, or, if there is no run yet, what the fit
    starts from. Whether its features are those of the table is checked later, by :func:`check_previous`.

    Raises
    ------
    ConfigurationError
        If the newest run is damaged, so that ids cannot go on from it.
    ModelFileError
        If the model that ``model.previous`` names cannot be read.
    """
    named, files = configuration.model.previous, files_of(spark)
    if named == NONE:
        return None
    if named is not None:
        saved: Located | None = locate_model(files, "model.previous", named)
    else:
        saved = find_model_if_any(files, configuration.output.model)
        start = getattr(configuration.model, "initial_model", None)
        if saved is None and start is not None:
            saved = find_model_if_any(files, start)
    return None if saved is None else Previous(gmm_spark.GaussianMixtureModel.load(saved.path), saved, True)


def check_previous(
    faults: Faults, previous: Previous | None, rows: DataFrame, configuration: FitConfiguration | SelectConfiguration
) -> Previous | None:
    """Compare the features of the earlier model with the table's; a named one of other features is a fault."""
    from gmm_spark.ml.identifying import align_features

    if previous is None:
        return None
    try:
        align_features(previous.model, resolve(rows, configuration, None).names)
    except ParameterError as error:
        if configuration.model.previous is not None:
            faults.add(ConfigurationError(f"model.previous: got {configuration.model.previous!r}, but {error}"))
        return Previous(previous.model, previous.saved, matches=False)
    return previous


def set_previous(
    estimator: GaussianMixture | GaussianMixtureSelector, previous: Previous | None
) -> GaussianMixture | GaussianMixtureSelector:
    """Give an estimator the earlier model."""
    return estimator if previous is None or not previous.matches else estimator.setPreviousModel(previous.model)


def identify(
    previous: Previous | None,
    model: GaussianMixtureModel,
    configuration: FitConfiguration | SelectConfiguration,
    report: RunReport,
) -> str:
    """Name the components as the configuration says, add their ids and the change log to the report, and say it.

    Returns
    -------
    str
        The end of the job's last line; empty if there is no earlier model, and all names could be given.
    """
    told = ""
    if previous is not None and not previous.matches:
        first = previous.model.identities.next_id
        model.identities = Identities.fresh(model.parameters.n_classes, first)
        told = f"; {previous.saved.source} has other features: ids begin at {first}"
    elif previous is not None:
        told = f"; since {previous.saved.source}, {describe_changes(model.summary.changes)}"
        if not previous.model.identities.recorded:
            told += " (it was saved without ids, which are taken as 0 to k - 1)"
    names = {int(one): name for one, name in configuration.model.component_names.items()}
    present = {one: name for one, name in names.items() if one in model.identities.ids}
    model.setComponentNames(present)
    if absent := [f"{one} ({name!r})" for one, name in names.items() if one not in present]:
        told += f"; model.component_names: no component has the id {', '.join(absent)}"
    report.add(
        "components",
        previous=None
        if previous is None
        else {
            "path": previous.saved.path,
            "run_id": previous.saved.run_id,
            "same_features": previous.matches,
            "had_ids": previous.model.identities.recorded,
        },
        ids=model.componentIds,
        names=model.componentNames,
        next_id=model.identities.next_id,
        changes=list_facts(model.summary.changes),
    )
    return told


def list_facts(changes: Sequence[Change]) -> list[dict[str, object]]:
    """Return a change log for a report."""
    return [asdict(one) for one in changes]
