"""Remove old and broken runs from a directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.errors import RunHeldError
from gmm_spark.jobs.config.command_line import name_path
from gmm_spark.jobs.config.upkeep import PruneConfiguration
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.runs import read_runs
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.pruning import choose, remove

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(prune, PruneConfiguration, name_path(arguments, PruneConfiguration))


def prune(spark: SparkSession, configuration: PruneConfiguration) -> None:
    """Remove all complete runs but the newest few, and those that failed, were abandoned or are damaged."""
    files = files_of(spark)
    found = read_runs(files, configuration.path)
    removed = 0
    for one in choose(found, configuration.keep):
        if configuration.run.dry_run:
            print(f"prune: would remove {one.id}, {one.state.value}")
            continue
        try:
            remove(files, one)
        except RunHeldError as error:
            print(f"prune: kept {one.id}: {error}")
        else:
            removed += 1
            print(f"prune: removed {one.id}, {one.state.value}")
    print(f"prune: {removed} of {len(found)} runs removed from {configuration.path}")
