"""What the pages for people tell of, read from a run or from a saved model, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gmm_spark
from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.formatting import quote_word
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ConfigurationError, DataError, ModelFileError, ParameterError
from gmm_spark.jobs.config.replay import list_given, show_value, spell_command, spell_selection
from gmm_spark.jobs.config.secrets import redact, redact_values
from gmm_spark.jobs.saved import locate_model
from gmm_spark.report.choice import list_near
from gmm_spark.report.facts import Facts
from gmm_spark.report.subject import Command, Setting, Subject
from gmm_spark.storage.documents import describe_os_error, read_document
from gmm_spark.storage.files import Files
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.manifest import Manifest, find_damage, read_manifest
from gmm_spark.storage.portraits import read_portrait
from gmm_spark.storage.runs import PREFIX, Located, describe_time

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def read_subject(
    spark: SparkSession, path: str, scores: str | None = None, key: str = "path"
) -> tuple[Subject, gmm_spark.GaussianMixtureModel, Located]:
    """Read all that a page tells of a mixture; return the model too, and where it was found.

    Parameters
    ----------
    spark : SparkSession
    path : str
        A directory of runs, a run's own, or a saved model's.
    scores : str, optional
        The report of a job score.
    key : str
        What the configuration calls the path.

    Raises
    ------
    ModelFileError
        If there is no model, or it is damaged, or its run is.
    DataError
        If the scores are not the report of a job.
    """
    files = files_of(spark)
    found = locate_model(files, key, path)
    model = gmm_spark.GaussianMixtureModel.load(found.path)
    facts, finished, portrait = Facts(), "", None
    if found.run_id is not None:
        manifest = read_manifest(files, find_run(found))
        facts, finished = _read_report(files, find_run(found), manifest), describe_time(manifest.finished.timestamp())
        portrait = _require_fit(read_portrait(files, find_run(found), manifest), model, found.path)
    names = model.featureNames or [f"feature {i}" for i in range(model.numFeatures)]
    shown = redact(path, ())
    subject = Subject(
        path=shown,
        model_path=redact(found.path, ()),
        parameters=model.parameters,
        names=tuple(names),
        run_id=found.run_id,
        log_densities=model.logDensities,
        log_densities_by_pattern=model.logDensitiesByPattern,
        training=model.trainingProfile,
        facts=facts,
        finished=finished,
        settings=_list_settings(facts),
        command=_spell_command(facts),
        selection_command=_spell_selection(facts, model.parameters.n_components),
        scores=Facts() if scores is None else _read_scores(files, scores),
        portrait=portrait,
        merge_tree=_read_merge_tree(facts, model),
        identities=model.identities,
        report_command=f"gmm-spark report {quote_word(shown)}",
    )
    return subject, model, found


def _read_merge_tree(facts: Facts, model: gmm_spark.GaussianMixtureModel) -> MergeTree | None:
    """Return the merge tree of the fit's sample; None if the report has none, or one of another mixture."""
    found = facts["merge_tree"].value
    try:
        tree = MergeTree.from_dict(found) if isinstance(found, dict) else None
    except ParameterError:
        return None
    return tree if tree is not None and tree.n_components == model.parameters.n_components else None


def find_run(found: Located) -> str:
    """Return the directory of the run that a model was found in."""
    name = f"{PREFIX}{found.run_id}"
    return found.path.rpartition(f"{name}/")[0] + name


def require_outside(files: Files, key: str, output: str, found: Located) -> None:
    """Refuse a file within a run, a saved model or a directory of runs: readers would take these for damaged.

    Raises
    ------
    ConfigurationError
        If it lies there.
    """
    target, closed = files.qualify(output), files.qualify(found.path if found.run_id is None else find_run(found))
    if target == closed or target.startswith(f"{closed.rstrip('/')}/"):
        raise ConfigurationError(
            f"{key}: got {output!r}, but nothing is added to a run or a saved model; name a file beside it"
        )
    if found.run_id is not None and target.rpartition("/")[0] == closed.rpartition("/")[0]:
        raise ConfigurationError(
            f"{key}: got {output!r}, but a directory of runs holds runs alone; name a file beside the directory"
        )


def name_page(files: Files, found: Located, suffix: str = "") -> str:
    """Return where a page goes by default: beside the directory of runs, or the saved model, and named after it.

    Raises
    ------
    ConfigurationError
        If there is no place beside it.
    """
    folder = found.path if found.run_id is None else find_run(found).rpartition("/")[0]
    if folder.rpartition("/")[2] in ("", ".", ".."):
        folder = files.qualify(folder or ".")
    if not folder.rpartition("/")[2]:
        raise ConfigurationError("output: got none, and there is no place beside the model; name the file to write")
    return f"{folder.rstrip('/')}{'' if found.run_id is None else '-' + found.run_id}{suffix}.html"


def write_file(files: Files, key: str, path: str, data: bytes) -> None:
    """Write a file that the configuration names by a key.

    Raises
    ------
    ConfigurationError
        If it cannot be written.
    """
    try:
        files.write_bytes(path, data)
    except OSError as error:
        raise ConfigurationError(
            f"{key}: got {path!r}, which cannot be written: {describe_os_error(error)}; name another file"
        ) from error


def _read_report(files: Files, run: str, manifest: Manifest) -> Facts:
    """Read a run's report, after its files have been compared with the manifest."""
    if manifest.report is None:
        return Facts()
    folder = manifest.report.rpartition("/")[0]
    try:
        damage = find_damage(files, run, manifest, folder) if folder else None
        if damage is not None:
            raise ModelFileError(f"run {manifest.run_id} in {run} is damaged: {damage}; name another run")
        return Facts(redact_values(read_document(files, f"{run}/{manifest.report}")))
    except OSError as error:
        raise ModelFileError(f"the report of {run} cannot be read: {describe_os_error(error)}") from error


def _read_scores(files: Files, path: str) -> Facts:
    try:
        found = redact_values(read_document(files, path))
    except OSError as error:
        raise DataError(f"scores: got {path!r}, which cannot be read: {describe_os_error(error)}") from error
    except ModelFileError as error:
        raise DataError(f"scores: {error}; name what a job score has written to output.report") from error
    if found.get("job") != "score":
        raise DataError(f"scores: got {path!r}, which is not the report of a job score; name its output.report")
    return Facts(found)


def _list_settings(facts: Facts) -> list[Setting]:
    configuration: Any = facts["configuration"].value
    if not isinstance(configuration, dict):
        return []
    return [
        Setting(
            key.name,
            show_value(value),
            "required" if key.field.is_required() else show_value(key.field.get_default(call_default_factory=True)),
            (key.field.description or "").partition(". ")[0].rstrip("."),
        )
        for key, value in list_given(facts.text("job") or "", configuration)
    ]


def _spell_command(facts: Facts) -> Command | None:
    configuration: Any = facts["configuration"].value
    line = spell_command(facts.text("job") or "", configuration) if isinstance(configuration, dict) else None
    return None if line is None else Command(line.text, line.notes)


def _spell_selection(facts: Facts, k: int) -> Command | None:
    configuration: Any = facts["configuration"].value
    if facts.text("job") != "fit" or not isinstance(configuration, dict):
        return None
    line = spell_selection(configuration, list_near(k))
    return None if line is None else Command(line.text, line.notes)


def _require_fit(portrait: Portrait | None, model: gmm_spark.GaussianMixtureModel, path: str) -> Portrait | None:
    """Refuse the portrait of a mixture of another size."""
    size = (model.parameters.n_classes, model.parameters.n_features)
    if portrait is not None and (len(portrait.confusion), len(portrait.feature_names)) != size:
        raise ModelFileError(f"the portrait beside {path} is of another mixture; take the report of another run")
    return portrait
