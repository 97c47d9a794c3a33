"""The configuration of the jobs that write pages for people: report, compare."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gmm_spark.jobs.config.fields import OptionalText, Text
from gmm_spark.jobs.config.jobs import JobConfiguration


class ReportConfiguration(JobConfiguration):
    """Write a page about a fitted mixture, for a browser: gmm-spark report PATH.

    It shows a run of fit or select, or a saved model. It needs no network, and tells nothing secret.
    """

    job: ClassVar[str] = "report"
    path: Text = Field(
        description="Directory of runs, of which the newest complete one is shown; a run's own directory; or a saved "
        "model. May be given without its flag."
    )
    output: OptionalText = Field(
        None,
        description="HTML file to write. By default beside the directory of runs, named after it and the run: a run "
        "itself is closed, and nothing is added to it.",
    )
    scores: OptionalText = Field(
        None, description="Report of a job score (its output.report), to show how far the rows that it scored differ."
    )


class CompareConfiguration(JobConfiguration):
    """Write a page that compares two fitted mixtures of the same features: gmm-spark compare BEFORE AFTER."""

    job: ClassVar[str] = "compare"
    before: Text = Field(description="As path of report: the earlier mixture. May be given without its flag.")
    after: Text = Field(description="As path of report: the later mixture. May be given without its flag.")
    output: OptionalText = Field(
        None, description="HTML file to write. By default beside the later one, named after both."
    )
