"""List the runs in a directory: which are complete, which failed, which are still at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from gmm_spark.errors import DataError
from gmm_spark.jobs.config.command_line import name_path
from gmm_spark.jobs.config.upkeep import RunsConfiguration
from gmm_spark.jobs.run.running import run
from gmm_spark.storage.documents import describe_os_error, shorten
from gmm_spark.storage.files import Files
from gmm_spark.storage.hadoop import files_of
from gmm_spark.storage.runs import Run, describe_time, list_runs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HEAD = ("run", "state", "since (UTC)", "rows", "k", "bound", "")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(runs, RunsConfiguration, name_path(arguments, RunsConfiguration))


def runs(spark: SparkSession, configuration: RunsConfiguration) -> None:
    """Print the runs, the oldest first."""
    found = read_runs(files_of(spark), configuration.path)
    print(tabulate(found) if found else f"runs: none in {configuration.path}")


def read_runs(files: Files, path: str) -> list[Run]:
    """List the runs in a directory.

    Raises
    ------
    DataError
        If the directory is not there or cannot be read.
    """
    try:
        return list_runs(files, path)
    except OSError as error:
        raise DataError(f"path: got {path!r}, which cannot be listed: {describe_os_error(error)}") from error


def tabulate(found: Sequence[Run]) -> str:
    """Return a table of runs for people: a line each."""
    lines = [_HEAD, *map(_describe, found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD) - 1)]
    padded = ([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _describe(one: Run) -> tuple[str, ...]:
    fit = one.manifest.facts.get("fit") if one.manifest is not None else None
    figures: dict[str, Any] = fit if isinstance(fit, dict) else {}
    rows, k, bound = (figures.get(name) for name in ("rows", "k", "lower_bound"))
    return (
        one.id,
        one.state.value,
        describe_time(one.at),
        f"{rows:,}" if isinstance(rows, int) else "",
        shorten(str(k)) if k is not None else "",
        f"{bound:.6g}" if isinstance(bound, (int, float)) else "",
        one.about,
    )
