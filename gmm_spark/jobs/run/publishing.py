"""A job as a run: claimed, worked on, and published by its manifest; or not done, since it is complete already."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gmm_spark.core.steps import step
from gmm_spark.errors import CompletedRunError, ConfigurationError, ModelFileError, RunHeldError
from gmm_spark.jobs.config.secrets import find_secrets, redact
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.jobs.preflight.run_outputs import Configuration, check_outputs, plan_outputs
from gmm_spark.jobs.preflight.workers import Worker
from gmm_spark.jobs.run.lineage import tell_lineage
from gmm_spark.jobs.run.naming import name_run
from gmm_spark.jobs.run.plans import show_plan
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.storage import claims
from gmm_spark.storage.answers import KeptAnswers
from gmm_spark.storage.documents import describe_error, describe_os_error
from gmm_spark.storage.files import Files
from gmm_spark.storage.hadoop import HadoopFiles, files_of, is_remote
from gmm_spark.storage.manifest import MANIFEST, Manifest, list_files, read_manifest
from gmm_spark.storage.runs import PREFIX, Run, State, describe_time, look_at_run, name_directory

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MODEL, REPORT = "model", "report.json"  # names in the folder of an attempt
_SECTIONS = ("started", "rows", "input", "configuration", "versions")  # of the report, which the manifest repeats


@dataclass(frozen=True)
class Attempt:
    """What a job works with in a run.

    Attributes
    ----------
    folder : str
        Folder that the model is written to, as ``model``, and whatever else belongs to the run.
    report : RunReport
        The job adds what it finds.
    answers : KeptAnswers
        Passes that an earlier attempt has made; the job's estimator keeps its own here.
    """

    folder: str
    report: RunReport
    answers: KeptAnswers


@dataclass(frozen=True)
class Prepared:
    """A job of which all that can be known has been checked.

    Attributes
    ----------
    work : callable
        Does the job.
    plan : callable
        Returns what the work would do. It may measure the input by small jobs.
    workers : sequence of Worker
    """

    work: Callable[[Attempt], Result]
    plan: Callable[[], Plan]
    workers: Sequence[Worker]


@dataclass(frozen=True)
class Result:
    """What a job has written to its folder.

    Attributes
    ----------
    facts : dict
        The fit in a few figures, for the manifest.
    message : str
        The job's last line, without the run.
    copies : dict
        Files to write once the run is complete: path to contents.
    """

    facts: dict[str, Any]
    message: str
    copies: Mapping[str, bytes] = field(default_factory=dict)


def do_run(
    spark: SparkSession,
    configuration: Configuration,
    prepare: Callable[[Faults, RunReport], Prepared | None],
) -> None:
    """Do a job as a run, unless that run is complete already, and print the job's last line.

    With ``run.dry_run`` print the plan in its place, and write nothing.

    Parameters
    ----------
    spark : SparkSession
    configuration : FitConfiguration, SelectConfiguration or UpdateConfiguration
    prepare : callable
        Checks all that can be known before the work, adds what is wrong to the faults, of which the outputs' are known
        already, and raises them. Adds to the report what it finds. Returns None, once it has said so, if there is
        nothing to do.

    Raises
    ------
    ConfigurationError
        If an output cannot be written, or ``prepare`` finds such faults.
    ModelFileError
        If a run of that id is damaged.
    RunHeldError
        If another process holds the run, or has taken it over meanwhile. Nothing is published then.
    CompletedRunError
        If the run is complete, and what was to follow failed.
    """
    with name_run(spark, configuration.job, configuration.run.id) as run_id:
        _do_run(spark, configuration, run_id, prepare)


def _do_run(
    spark: SparkSession,
    configuration: Configuration,
    run_id: str,
    prepare: Callable[[Faults, RunReport], Prepared | None],
) -> None:
    report, output = RunReport(configuration, run_id), configuration.output
    files = files_of(spark)
    if "overwrite" in output.model_fields_set:
        print("output.overwrite has no effect: every run has a directory of its own. Take it out.", file=sys.stderr)
    faults = Faults()
    check_outputs(faults, files, configuration)
    run = name_directory(output.model, run_id)
    if not faults and _is_complete(files, configuration, run_id):
        return
    prepared = prepare(faults, report)
    if prepared is None:
        return
    if configuration.run.dry_run:
        plan = prepared.plan()
        plan_outputs(plan, files, configuration, run_id)
        show_plan(plan, spark, prepared.workers, configuration)
        return
    try:
        claim = claims.take(files, run, configuration.job)
    except OSError as error:
        raise ConfigurationError(
            f"output.model: got {output.model!r}, which cannot be written: {describe_os_error(error)}"
        ) from error
    if is_remote(spark):
        _require_same_disk(spark, run)
    if _is_complete(files, configuration, run_id):  # completed between the first look and the claim
        return
    answers = KeptAnswers(files, run, claim.number, configuration.run.checkpoint_seconds)
    try:
        with claim.kept_alive():
            result = prepared.work(Attempt(f"{run}/{claim.folder}", report, answers))
            report.add("resume", attempt=claim.number, answers_recalled=answers.recalled, answers_new=answers.kept)
            report.add_spark(spark)
            told = report.to_bytes()
            with step("publish"):
                files.write_bytes(f"{run}/{claim.folder}/{REPORT}", told)
                _publish(files, run, run_id, claim, report, result)
            tell_lineage(**result.facts)
    except BaseException as error:
        stands = _is_published(files, run, claim)
        if stands:
            raise CompletedRunError(
                f"run {run_id} is complete, and the job was then stopped: {describe_error(error)}"
            ) from error
        with suppress(Exception):  # raise the first error: if the JVM has died, cleaning up fails too
            if isinstance(files, HadoopFiles):
                files.settle()
            if stands is False:
                answers.write()
                claim.give_up(redact(describe_error(error), find_secrets(configuration)))
        raise
    with published(f"run {run_id} is complete"):
        answers.remove()
        _complete(files, claim, {**result.copies, **({} if output.report is None else {output.report: told})})
    print(f"{result.message}; run {run_id} in {output.model}")


@contextmanager
def published(what: str) -> Iterator[None]:
    """Let an error that follows the publishing of something say that it stands.

    Raises
    ------
    CompletedRunError
        If the block fails or is interrupted.
    """
    try:
        yield
    except BaseException as error:
        raise CompletedRunError(f"{what}, but what follows it failed: {describe_error(error)}") from error


def _is_complete(files: Files, configuration: Configuration, run_id: str) -> bool:
    """Return whether there is nothing to do, and say so."""
    output = configuration.output
    found = look_at_run(files, output.model, PREFIX + run_id)
    if found is not None and found.state in (State.DAMAGED, State.FOREIGN):
        raise ModelFileError(
            f"run {run_id} in {output.model} is {found.state.value}: {found.about}; give another --run-id "
            "(gmm-spark prune removes damaged runs)"
        )
    if found is None or found.manifest is None:
        return False
    if found.manifest.job != configuration.job:
        raise ConfigurationError(
            f"run.id: got {run_id}, which is a run of the job {found.manifest.job} in {output.model}; a run of the job "
            f"{configuration.job} needs another name"
        )
    if not configuration.run.dry_run:
        _restore_report(files, found, output.report)
    changed = _find_changes(found.manifest.facts.get("configuration"), configuration)
    told = f"; it was done with other values of {', '.join(changed)}" if changed else ""
    print(
        f"{configuration.job}: nothing to do, run {run_id} in {output.model} is complete since "
        f"{describe_time(found.at)} UTC{told}"
    )
    return True


def _restore_report(files: Files, run: Run, target: str | None) -> None:
    """Copy a complete run's report, if a copy was asked for and is not there."""
    if target is None or run.manifest is None or run.manifest.report is None or files.exists(target):
        return
    size = next(one.size for one in run.manifest.files if one.path == run.manifest.report)
    files.write_bytes(target, files.read_bytes(f"{run.path}/{run.manifest.report}", size))


def _find_changes(before: Any, configuration: Configuration) -> list[str]:
    """List the keys whose values are others than those of a complete run, if that is known."""
    if not isinstance(before, dict):
        return []
    now = RunReport(configuration).collect()["configuration"]
    parts = ("input", "features", "selection", "model", "update")
    keys = ((part, key) for part in parts for key in now.get(part) or {})
    return [f"{part}.{key}" for part, key in keys if now[part][key] != _get(_get(before, part), key)]


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _require_same_disk(spark: SparkSession, run: str) -> None:
    """Refuse a Spark Connect server that has other disks: it would write the model where the manifest cannot be."""
    from pyspark.errors import AnalysisException

    try:
        spark.read.format("binaryFile").load(run).schema  # noqa: B018 - nothing is looked up before the schema is asked for
    except AnalysisException:
        raise ConfigurationError(
            f"output.model: got {run!r}, which the Spark Connect server does not see: runs need a directory that "
            "client and server share; run the job by spark-submit, or fit and save the model in Python"
        ) from None


def _publish(files: Files, run: str, run_id: str, claim: claims.Claim, report: RunReport, result: Result) -> None:
    """Write the manifest, unless the claim was lost."""
    facts = report.collect()
    listed = list_files(files, run, claim.folder)
    manifest = Manifest(
        run_id=run_id,
        job=facts["job"],
        finished=datetime.now(timezone.utc),
        files=listed,
        model=f"{claim.folder}/{MODEL}",
        report=f"{claim.folder}/{REPORT}",
        facts={
            "host": socket.gethostname(),
            "fit": result.facts,
            **{name: facts[name] for name in _SECTIONS if name in facts},
        },
    )
    claim.require()
    try:
        files.create(f"{run}/{MANIFEST}", manifest.to_bytes())
    except FileExistsError:
        raise RunHeldError(f"run {run_id} was completed by another process meanwhile; its result stands") from None


def _is_published(files: Files, run: str, claim: claims.Claim) -> bool | None:
    """Return whether the manifest is there and is ours, None if that cannot be told: then nothing must be removed."""
    try:
        return any(one.path.startswith(f"{claim.folder}/") for one in read_manifest(files, run).files)
    except FileNotFoundError:
        return False
    except Exception:
        return None


def _complete(files: Files, claim: claims.Claim, copies: Mapping[str, bytes]) -> None:
    """Do what follows the manifest: write copies of files, and tidy up."""
    for path, data in copies.items():
        try:
            files.write_bytes(path, data)
        except OSError as error:
            raise OSError(f"{path} could not be written: {describe_os_error(error)}") from error
    claim.remove_earlier()
