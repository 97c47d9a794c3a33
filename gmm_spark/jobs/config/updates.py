"""The configuration of the job update."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gmm_spark.jobs.config.fields import (
    Count,
    OneOf,
    OptionalText,
    Positive,
    RunId,
    Seconds,
    Share,
    Text,
    refuse_boolean,
)
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.sections import InputSection, RunSection, Section
from gmm_spark.ml.defaults import Defaults

Elapsed = Annotated[
    Annotated[float, BeforeValidator(refuse_boolean), Field(ge=0, allow_inf_nan=False)] | None,
    BeforeValidator(lambda value: None if value == "" else value),
]


class UpdateSection(Section):
    """How the model is brought up to date."""

    model: OptionalText = Field(
        None,
        description="Model to update: a saved one, a run, or a directory of runs, of which the newest complete one is "
        "taken. By default output.model.",
    )
    half_life: Positive = Field(description="Days in which the rows seen so far lose half their weight.")
    day: OptionalText = Field(
        None,
        description="Name of these rows, a date say. The model remembers it, and rows of that name are not counted "
        "twice. By default run.id.",
    )
    elapsed: Elapsed = Field(
        None,
        description="Days since the model's latest rows. By default from the names of the two days, if both are dates "
        "such as 2026-11-26.",
    )
    max_iter: Count = Field(Defaults.updateMaxIter, description="Maximum number of passes over these rows.")
    if_refit: Annotated[str, OneOf(("publish", "stop"))] = Field(
        "publish",
        description="What to do if the verdict is that the model should be fitted anew: publish the updated model and "
        "say so, or stop with code 6 and publish nothing.",
    )


class UpdateFeaturesSection(Section):
    """The rows; which columns are read, and what becomes of bad rows, is as the model was fitted."""

    max_bad_fraction: Share = Field(
        1.0, description="Share of the rows that may be bad, if the model leaves them out. If more are: code 3."
    )


class UpdateOutputSection(Section):
    """Where the updated model goes."""

    model: Text = Field(description="Directory of runs: that of the fits, so that readers take the newest of both.")
    report: OptionalText = Field(
        None, description="JSON file to copy the run report to, once the run is complete. The run keeps its own."
    )
    portrait: bool = Field(
        True, description="End with one more pass over these rows, which takes a portrait of them, as fit does."
    )


class UpdateRunSection(RunSection):
    """The run itself."""

    id: RunId = Field(
        None,
        description="Name of the run; not that of a fit. A complete run is not done again; one whose process has ended "
        "before goes on. Also --run-id.",
    )
    checkpoint_seconds: Seconds = Field(
        30.0,
        description="Seconds between notes of the passes made so far, beside the run. If its process dies, the next of "
        "the same run.id goes on from there. 0 makes a note after every pass.",
    )


class UpdateConfiguration(JobConfiguration):
    """Bring a saved model up to date by a day's rows alone, and judge whether it should be fitted anew."""

    job: ClassVar[str] = "update"
    input: InputSection
    features: UpdateFeaturesSection = UpdateFeaturesSection()
    update: UpdateSection
    output: UpdateOutputSection
    run: UpdateRunSection = UpdateRunSection()

    @field_validator("update")
    @classmethod
    def _require_day(cls, update: UpdateSection, info: ValidationInfo) -> UpdateSection:
        run = info.data.get("run")  # of the base class, so it has been read
        if run is not None and update.day is None and run.id is None:
            raise PydanticCustomError(
                "no_day", "got no day, and run.id is not given; name the rows by one of them, so that they count once"
            )
        return update

    @property
    def day(self) -> str:
        """Name of the rows."""
        named = self.update.day or self.run.id
        assert named is not None  # checked when the configuration was read
        return named
