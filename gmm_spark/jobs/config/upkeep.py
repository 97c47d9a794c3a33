"""The configuration of the jobs that look after runs: runs, prune."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gmm_spark.jobs.config.fields import Count, Text
from gmm_spark.jobs.config.jobs import JobConfiguration


class RunsConfiguration(JobConfiguration):
    """List the runs in a directory: gmm-spark runs PATH."""

    job: ClassVar[str] = "runs"
    leading: ClassVar[tuple[str, ...]] = ("path",)
    path: Text = Field(description="Directory of runs: output.model of fit or select. May be given without its flag.")


class PruneConfiguration(JobConfiguration):
    """Remove old and broken runs from a directory: gmm-spark prune PATH --keep 5.

    The newest complete run stays, and so do runs at work and whatever is no run.
    """

    job: ClassVar[str] = "prune"
    leading: ClassVar[tuple[str, ...]] = ("path",)
    path: Text = Field(description="Directory of runs: output.model of fit or select. May be given without its flag.")
    keep: Count = Field(5, description="Number of complete runs to keep, the newest ones.")
