"""The configuration of the jobs that write pages for people: report, compare."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gmm_spark.jobs.config.fields import Columns, CountOrZero, OptionalText, Text
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.sections import InputSection, Section, both_or_neither


class ReportInputSection(InputSection):
    """The table to read, once, if the run has no portrait of its rows. Without it no table is read."""

    table: OptionalText = Field(
        None, validate_default=True, description="Catalog table to read. Not with input.path; both may be left out."
    )

    @field_validator("table")
    @classmethod
    def _require_one_source(cls, table: str | None, info: ValidationInfo) -> str | None:
        if table and info.data.get("path"):
            raise both_or_neither("input.path", "input.table", both=True)
        if table and info.data.get("columns"):
            raise both_or_neither("input.columns", "input.table", both=True)
        return table

    @property
    def is_given(self) -> bool:
        """Whether there is a table to read."""
        return bool(self.path or self.table or self.options)


class ReportFeaturesSection(Section):
    """The columns of that table."""

    columns: Columns | None = Field(None, description="As in fit. By default the columns that the model was fitted on.")


class ReportConfiguration(JobConfiguration):
    """Write a page about a fitted mixture, for a browser: gmm-spark report PATH.

    It shows a run of fit or select, or a saved model. It needs no network, and tells nothing secret.
    """

    job: ClassVar[str] = "report"
    leading: ClassVar[tuple[str, ...]] = ("path",)
    path: Text = Field(
        description="Directory of runs, of which the newest complete one is shown; a run's own directory; or a saved "
        "model. May be given without its flag."
    )
    input: ReportInputSection = ReportInputSection()
    features: ReportFeaturesSection = ReportFeaturesSection()
    anomalies: CountOrZero = Field(
        0,
        description="Number of rows of the input to list, the least likely ones, with their features and why each is "
        "odd. They are data, so none are listed unless asked for. At most 100.",
    )
    output: OptionalText = Field(
        None,
        description="HTML file to write. By default beside the directory of runs, named after it and the run: a run "
        "itself is closed, and nothing is added to it.",
    )
    scores: OptionalText = Field(
        None, description="Report of a job score (its output.report), to show how far the rows that it scored differ."
    )

    @field_validator("anomalies")
    @classmethod
    def _require_input(cls, anomalies: int, info: ValidationInfo) -> int:
        if anomalies > 100:
            raise PydanticCustomError("too_many", "got {got}, needs at most 100", {"got": anomalies})
        section = info.data.get("input")
        if anomalies and section is not None and not section.is_given:
            raise PydanticCustomError(
                "no_input", "got {got}, needs a table to find them in: input.path or input.table", {"got": anomalies}
            )
        return anomalies


class CompareConfiguration(JobConfiguration):
    """Write a page that compares two fitted mixtures of the same features: gmm-spark compare BEFORE AFTER."""

    job: ClassVar[str] = "compare"
    leading: ClassVar[tuple[str, ...]] = ("before", "after")
    before: Text = Field(description="As path of report: the earlier mixture. May be given without its flag.")
    after: Text = Field(description="As path of report: the later mixture. May be given without its flag.")
    output: OptionalText = Field(
        None, description="HTML file to write. By default beside the later one, named after both."
    )
