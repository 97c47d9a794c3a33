"""Bring a saved model up to date by a day's rows, and judge whether it should be fitted anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.core.update.updating import find_decay
from gmm_spark.core.update.verdict import REFIT, Verdict
from gmm_spark.errors import ConfigurationError, DriftError, ModelFileError, RunHeldError
from gmm_spark.jobs.config.updates import UpdateConfiguration
from gmm_spark.jobs.fitting import add_input, describe_checks, outline, save_fit
from gmm_spark.jobs.io.tables import read_table
from gmm_spark.jobs.preflight.columns import check_model_features, require_weight
from gmm_spark.jobs.preflight.extent import measure, plan_extent
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.models import plan_model
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.jobs.preflight.workers import check_workers
from gmm_spark.jobs.previous import list_facts
from gmm_spark.jobs.run.logs import shows_passes
from gmm_spark.jobs.run.publishing import Attempt, Prepared, Result, do_run
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run
from gmm_spark.ml.progress import draw_bar
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import Located, find_model_if_any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.spark.columns import Features


# Share of the rows above which the last line does not tell how many the verdict is of.
_WELL_JUDGED = 0.5


@dataclass(frozen=True, eq=False)
class Yesterday:
    """The model to update.

    Attributes
    ----------
    model : GaussianMixtureModel
    saved : Located
        Where it was found, and its run.
    elapsed : float
        Days since its latest rows.
    """

    model: gmm_spark.GaussianMixtureModel
    saved: Located
    elapsed: float


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(update, UpdateConfiguration, arguments)


def update(spark: SparkSession, configuration: UpdateConfiguration) -> None:
    """Read the day's rows, update the model, publish it and the report; nothing if it has seen that day."""

    def prepare(faults: Faults, report: RunReport) -> Prepared | None:
        found = faults.attempt(load_model, spark, configuration)
        if found is not None and found[0].memory is not None and configuration.day in found[0].memory.days:
            faults.require_none()
            print(f"update: nothing to do, the model of {found[1].source} has seen the rows of {configuration.day}")
            return None
        before = None if found is None else faults.attempt(require_yesterday, *found, configuration)
        with report.timed("read"):
            rows = faults.attempt(read_table, spark, configuration.input)
        with report.timed("check", spark):
            workers = check_workers(faults, spark, "gmm_spark.spark.packing.tasks")
            if found is not None and rows is not None:
                check_model_features(faults, rows, found[0], None)
                if found[0].weight_column is not None:
                    faults.passes(require_weight, rows, "the model's weightCol", found[0].weight_column)
        faults.require_none()
        assert before is not None  # or there was a fault
        assert rows is not None
        return Prepared(partial(work, rows, before), partial(plan, rows, before), workers)

    def plan(rows: DataFrame, before: Yesterday) -> Plan:
        made = Plan(configuration.job)
        plan_extent(made, configuration.input, measure(spark, configuration.input, rows))
        plan_model(made, before.model, before.saved)
        decay = find_decay(configuration.update.half_life, before.elapsed)
        made.add("update", f"day {configuration.day}, {before.elapsed:g} days later: rows seen count {decay:.3g} of it")
        made.add("passes", f"{configuration.update.max_iter} at most, over these rows alone")
        return made

    def work(rows: DataFrame, before: Yesterday, attempt: Attempt) -> Result:
        report = attempt.report
        model = update_model(before, rows, attempt, configuration)
        verdict = model.summary.update
        assert verdict is not None  # an update has one
        add_input(spark, configuration, rows, report)
        add_update(before, model, verdict, configuration, report)
        if verdict.word == REFIT and configuration.update.if_refit == "stop":
            report.write(spark, configuration.output.report)
            raise DriftError(
                f"no updated model was published, since {before.saved.source} should be fitted anew: "
                f"{'; '.join(verdict.reasons)}"
            )
        with report.timed("write", spark):
            save_fit(spark, model, attempt.folder)
        require_newest(spark, configuration, before)
        return Result(outline(model), describe_checks(model) + describe(before, model, verdict))

    do_run(spark, configuration, prepare)


def load_model(
    spark: SparkSession, configuration: UpdateConfiguration
) -> tuple[gmm_spark.GaussianMixtureModel, Located]:
    """Load the model to update.

    Raises
    ------
    ModelFileError
        If there is none, or the newest run is damaged.
    """
    path = configuration.update.model or configuration.output.model
    saved = find_model_if_any(files_of(spark), path)
    if saved is None:
        raise ModelFileError(
            f"there is no model to update at {path}; fit one first: gmm-spark fit --output.model {path}"
        )
    return gmm_spark.GaussianMixtureModel.load(saved.path), saved


def require_yesterday(
    model: gmm_spark.GaussianMixtureModel, saved: Located, configuration: UpdateConfiguration
) -> Yesterday:
    """Return the model with the time since its latest rows.

    Raises
    ------
    ParameterError
        If it remembers no rows.
    ConfigurationError
        If the time cannot be told from the names of the days.
    """
    from gmm_spark.ml.updating import require_memory

    days, day = require_memory(model).days, configuration.day
    if configuration.update.elapsed is not None:
        return Yesterday(model, saved, configuration.update.elapsed)
    latest = days[-1] if days else None
    dates = [_read_date(name) for name in (latest, day)]
    if dates[0] is None or dates[1] is None:
        unnamed = "the model does not say of which day its latest rows are"
        raise ConfigurationError(
            f"update.elapsed: got none, and the days do not tell: {unnamed if latest is None else repr(latest)}, and "
            f"this one is {day!r}; give the days between, or names that are dates (output.day of the fit)"
        )
    elapsed = (dates[1] - dates[0]).days
    if elapsed <= 0:
        raise ConfigurationError(
            f"update.day: got {day}, which is not after {latest}, the latest day that the model has seen; give "
            "update.elapsed to add these rows all the same"
        )
    return Yesterday(model, saved, float(elapsed))


def _read_date(name: str | None) -> date | None:
    try:
        return date.fromisoformat((name or "")[:10])
    except ValueError:
        return None


def update_model(
    before: Yesterday, rows: DataFrame, attempt: Attempt, configuration: UpdateConfiguration
) -> gmm_spark.GaussianMixtureModel:
    """Update under a progress bar, and add the result and its duration to the report."""
    from gmm_spark.ml.updating import MixtureUpdate
    from gmm_spark.spark.columns import require_few_bad
    from gmm_spark.spark.decoding import describe_bad

    section = configuration.update

    def check(features: Features, used: int, bad: Mapping[str, int]) -> None:
        count = sum(bad.values())
        require_few_bad(count, count + used, configuration.features.max_bad_fraction, f": {describe_bad(bad)}")

    updating = MixtureUpdate.of(before.model).setAnswerStore(attempt.answers).setRowsCheck(check)
    updating.setPortrait(configuration.output.portrait)
    with attempt.report.timed("fit"), draw_bar(section.max_iter, hidden=shows_passes() or None) as show:
        updating.setCallback(show)
        model = updating.update(
            before.model, rows, section.half_life, before.elapsed, configuration.day, section.max_iter
        )
    attempt.report.add_fit(model)
    return model


def add_update(
    before: Yesterday,
    model: gmm_spark.GaussianMixtureModel,
    verdict: Verdict,
    configuration: UpdateConfiguration,
    report: RunReport,
) -> None:
    """Add the verdict, what the model remembers, and what became of the components to the report."""
    memory = model.memory
    assert memory is not None  # an updated model has one
    report.add(
        "update",
        model={"path": before.saved.path, "run_id": before.saved.run_id},
        day=configuration.day,
        elapsed=before.elapsed,
        decay=find_decay(configuration.update.half_life, before.elapsed),
        weight=memory.weight,
        days=len(memory.days),
        verdict=asdict(verdict),
    )
    report.add(
        "components",
        previous={"path": before.saved.path, "run_id": before.saved.run_id},
        ids=model.componentIds,
        names=model.componentNames,
        next_id=model.identities.next_id,
        changes=list_facts(model.summary.changes),
    )


def require_newest(spark: SparkSession, configuration: UpdateConfiguration, before: Yesterday) -> None:
    """Refuse to publish an update of a model that is no longer the newest: it would leave out what came meanwhile.

    Raises
    ------
    RunHeldError
        If another run was completed meanwhile.
    """
    if configuration.update.model is not None:
        return
    now = find_model_if_any(files_of(spark), configuration.output.model)
    if now is None or now != before.saved:
        newest = "none" if now is None else now.source
        raise RunHeldError(
            f"the newest model in {configuration.output.model} was {before.saved.source} when this update began, and "
            f"is {newest} now"
        )


def describe(before: Yesterday, model: gmm_spark.GaussianMixtureModel, verdict: Verdict) -> str:
    """Return the job's last line: the verdict, and the figures that it is judged by."""
    summary = model.summary
    told = f"refit: {'; '.join(verdict.reasons)}" if verdict.word == REFIT else "updated"
    starving = "".join(f"; component {model.identities.label(j)} has next to no rows today" for j in verdict.starving)
    judged = "" if verdict.judged > _WELL_JUDGED else f"; judged by {verdict.judged:.0%} of the rows"
    return (
        f"update: {summary.numRows:,} rows used, {sum(summary.skipped.values()):,} skipped; {before.saved.source} "
        f"{told} in {summary.numIter} passes; log-density {verdict.log_density_before:.4f} nats a row before, "
        f"{verdict.log_density:.4f} now, {verdict.expected:.4f} expected{starving}{judged}"
    )
