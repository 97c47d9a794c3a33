"""The crew of a fit: Spark's cores, which are idle while the driver searches the sample."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from gmm_spark.core.table import Sample, SampleTask
from gmm_spark.spark.descriptions import describe_jobs
from gmm_spark.spark.results import bytes_per_job
from gmm_spark.spark.sample_tasks import SPREAD_BYTES, run_on_sample

_logger = logging.getLogger(__name__)

# Seconds that a job has to save. To send a sample and to start tasks takes about half of that, of one core.
WORTH_A_JOB = 1.0


@dataclass(eq=False)
class SparkCrew:
    """Runs tasks on a sample as Spark tasks, unless the driver is as fast, the sample too large, or a job has failed.

    Attributes
    ----------
    spark : SparkSession
    cores : int
        Tasks that Spark runs at once.
    jobs : int
        Jobs that were run.
    failed : bool
        Whether one has failed; there are none after it.
    """

    spark: SparkSession
    cores: int
    jobs: int = 0
    failed: bool = False

    def run(self, sample: Sample, tasks: Sequence[SampleTask], saves: float, n_bytes: int) -> list[bytes] | None:
        """Run tasks, each as one Spark task; None if the driver is to do their work.

        Arguments are those of :class:`gmm_spark.core.search.crew.Crew`. A job that was cancelled raises its error: the
        fit was to end.
        """
        if self.failed or saves < WORTH_A_JOB:
            return None
        most = min(SPREAD_BYTES, bytes_per_job(self.spark))
        if max(sample[0].size * 8, n_bytes) > most:
            _logger.info("the driver searches the sample alone: it is too large to send to tasks")
            return None
        try:
            with describe_jobs(self.spark, "search on the sample"):
                answers = run_on_sample(self.spark, sample, tasks)
        except Exception as error:
            text = str(error)
            if re.search(r"cancell?ed", text, re.IGNORECASE):
                raise
            self.failed = True
            lines = text.strip().splitlines() or [type(error).__name__]
            reason = next((line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)), lines[0])
            _logger.info("the driver searches the sample alone, since tasks that did so failed: %s", reason)
            return None
        self.jobs += 1
        return answers
