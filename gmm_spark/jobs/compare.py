"""Write a page that compares two fitted mixtures of the same features: components matched, what moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.jobs.config.command_line import name_path
from gmm_spark.jobs.config.reports import CompareConfiguration
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.subjects import name_page, read_subject, require_outside, write_file
from gmm_spark.report.comparing import render_comparison
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(compare, CompareConfiguration, name_path(arguments, CompareConfiguration))


def compare(spark: SparkSession, configuration: CompareConfiguration) -> None:
    """Read both, write the page, and print where it is."""
    files = files_of(spark)
    (before, _, first), (after, _, second) = (
        read_subject(spark, path, key=key)
        for key, path in (("before", configuration.before), ("after", configuration.after))
    )
    output = configuration.output or name_page(files, second, "-compared")
    for found in (first, second):
        require_outside(files, "output", output, found)
    if configuration.run.dry_run:
        print(f"compare: would write a page about {before.title} and {after.title} to {output}")
        return
    write_file(files, "output", output, render_comparison(before, after).encode("utf-8"))
    print(f"compare: {before.title} and {after.title}, written to {output}")
