"""Tables that jobs write: new files beside the table first, then in the place of those of the same partitions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gmm_spark.errors import CompletedRunError, ConfigurationError, ResourceError, RunHeldError
from gmm_spark.jobs.config.sections import TableOutputSection
from gmm_spark.jobs.io.outputs import require_apart, require_writable_file
from gmm_spark.jobs.io.tables import fold
from gmm_spark.storage.claims import Claim, take
from gmm_spark.storage.documents import describe_error, describe_os_error, shorten
from gmm_spark.storage.files import Entry, Files, is_hidden
from gmm_spark.storage.hadoop import HadoopFiles, files_of
from gmm_spark.storage.replacing import begin, complete, leave, name_workshop, plan
from gmm_spark.storage.runs import holds_runs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_OVERWRITE_MODE = "spark.sql.sources.partitionOverwriteMode"


def require_writable(spark: SparkSession, output: TableOutputSection, source: str | None = None) -> None:
    """Refuse, before any work is done, outputs that could not be written later, or that are the job's own input.

    Parameters
    ----------
    spark : SparkSession
    output : TableOutputSection
    source : str, optional
        Path of the table that the job reads.

    Raises
    ------
    ConfigurationError
        If the path exists and must not, holds something other than a table, or is the input's.
    """
    files, path = files_of(spark), str(output.path)
    if source is not None:
        require_apart(files, "output.path", path, "input.path", source)
        require_apart(files, "input.path", source, "output.path", path)
    if not isinstance(files, HadoopFiles):
        if output.mode == "overwrite":
            raise ConfigurationError(
                "output.mode: got 'overwrite' over Spark Connect, whose client cannot move files; write to a new path"
            )
        return
    try:
        entries = [one for one in files.list_folder(path) if not is_hidden(one.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(
            f"output.path: got {path!r}, which is no directory of a table ({describe_os_error(error)})"
        ) from error
    if output.mode == "error" and not is_unfinished(files, path):
        raise ConfigurationError(
            f"output.path: got {path!r}, which is there already; set output.mode to overwrite or name another path"
        )
    if strange := [one.name for one in entries if not _is_of_a_table(one)]:
        raise ConfigurationError(
            f"output.path: got {path!r}, which holds something other than a Parquet table "
            f"({shorten(', '.join(strange))}); name another path"
        )
    if holds_runs(files, path):
        raise ConfigurationError(f"output.path: got {path!r}, which holds runs of fit or select; name another path")


def require_report(files: Files, output: TableOutputSection, source: str | None, target: str | None) -> None:
    """Refuse a report that could not be written later, or that would lie in the table that is read or written."""
    if output.report is not None:
        require_apart(files, "output.report", output.report, "input.path", source)
        require_apart(files, "output.report", output.report, "output.path", target)
        require_writable_file(files, "output.report", output.report)


def require_partitioning(rows: DataFrame, partition_by: Sequence[str]) -> list[str]:
    """Return the columns to partition by, as the table names them.

    Raises
    ------
    ConfigurationError
        If any is not written, or all are.
    """
    columns = {fold(rows, name): name for name in rows.columns}
    missing = [name for name in partition_by if fold(rows, name) not in columns]
    if missing:
        raise ConfigurationError(
            f"output.partition_by: got {', '.join(missing)}, needs columns of the output: {', '.join(rows.columns)}"
        )
    found = [columns[fold(rows, name)] for name in partition_by]
    if set(rows.columns) <= set(found):
        raise ConfigurationError("output.partition_by: got every column, needs to leave one to write")
    return found


def require_same_table(rows: DataFrame, path: str, mode: str, partition_by: Sequence[str]) -> None:
    """Refuse rows that do not fit the table at a path, if some of its files will stay there beside them.

    Raises
    ------
    ConfigurationError
        If columns, types or partitions differ; or if Spark is set to remove partitions that are not written.
    """
    from pyspark.errors import AnalysisException

    from gmm_spark.ml.metadata import literal_path

    spark = rows.sparkSession
    require_partitions_stay(spark, mode, partition_by)
    try:
        there = spark.read.parquet(literal_path(path)).schema
    except AnalysisException:  # no table yet
        return
    files = files_of(spark)
    if isinstance(files, HadoopFiles):  # a client of Spark Connect cannot list it
        require_levels(rows, "output.path", path, _read_partitioning(files, path), partition_by)
    if mode == "append" or partition_by:
        # The types of partition columns are read from the names of directories: '1' is an integer there.
        require_same_columns(rows, "output.path", path, there, partition_by)


def require_partitions_stay(spark: SparkSession, mode: str, partition_by: Sequence[str]) -> None:
    """Refuse to overwrite some partitions if Spark is set to remove all others; raises ConfigurationError."""
    if mode == "overwrite" and partition_by and _is_set_to_static(spark):
        raise ConfigurationError(
            f'output.mode: got "overwrite" with {_OVERWRITE_MODE} = static, which asks to remove the partitions that '
            "are not written; the job removes none of those: take the setting out, or set it to dynamic"
        )


def require_same_columns(
    rows: DataFrame, key: str, target: str, there: StructType, untyped: Sequence[str] = ()
) -> None:
    """Refuse rows whose columns or types are not those of a table; raises ConfigurationError.

    Parameters
    ----------
    rows : DataFrame
    key, target : str
        What the table is named by, and its name.
    there : StructType
        Its columns.
    untyped : sequence of str
        Columns that are not compared.
    """
    spared = {fold(rows, name) for name in untyped}
    before = {fold(rows, field.name): field.dataType.simpleString() for field in there}
    now = {fold(rows, field.name): field.dataType.simpleString() for field in rows.schema}
    differing = [name for name in {**before, **now} if name not in spared and before.get(name) != now.get(name)]
    if differing:
        told = ", ".join(f"{name} (there {before.get(name, 'no')}, now {now.get(name, 'no')})" for name in differing)
        raise ConfigurationError(
            f"{key}: got {target!r}, which has other columns: {told}; name another, or move that table"
        )


def write_table(
    rows: DataFrame,
    path: str,
    mode: str,
    partition_by: Sequence[str] = (),
    job: str = "score",
    is_free: Callable[[], bool] | None = None,
    run_id: str = "",
    approve: Callable[[], None] | None = None,
) -> None:
    """Write a table as Parquet, complete or not at all: see :mod:`gmm_spark.storage.replacing`.

    Parameters
    ----------
    rows : DataFrame
    path : str
        Call :func:`require_writable` first.
    mode : str
        ``overwrite`` replaces the files of the partitions that have rows, all files if there are no partitions.
        ``append`` adds to them, and replaces what an earlier run of the same id has added. With ``error`` there must
        be no table.
    partition_by : sequence of str
        Columns to partition the files by.
    job : str
        For people who look at the claim.
    is_free : callable, optional
        Whether there is no table yet; by default, whether nothing is at the path.
    run_id : str, optional
        The names of the files hold it.
    approve : callable, optional
        Called once the new files are written, before they are put in place. If it raises, they are not, and the old
        table stays. Over Spark Connect, whose client cannot move files, it is not called.

    Raises
    ------
    RunHeldError
        If another process is writing to the table, or has taken over from this one.
    CompletedRunError
        If the new files were written, and could not all be put in place.
    """
    files, path = files_of(rows.sparkSession), path.rstrip("/") or path
    if not isinstance(files, HadoopFiles):  # a client of Spark Connect cannot move files
        rows.write.mode("append" if mode == "append" else "error").partitionBy(*partition_by).parquet(path)
        return
    workshop = name_workshop(path)
    try:
        claim = take(files, workshop, job)
    except OSError as error:
        raise ConfigurationError(
            f"output.path: got {path!r}, which cannot be written: {describe_os_error(error)}"
        ) from error
    # Claims of a table are numbered anew after each job. A task that outlived an earlier job must not write here.
    folder, begun = f"{claim.folder}/{uuid.uuid4().hex[:8]}", False
    try:
        with claim.kept_alive():
            complete(files, path, workshop)  # what an earlier run has begun
            _require_free(path, mode, is_free or (lambda: not files.exists(path)))
            rows.write.partitionBy(*partition_by).parquet(f"{workshop}/{folder}")
            if approve is not None:
                approve()
            journal = plan(files, path, workshop, folder, replace=mode != "append", run_id=run_id)
            _require_free(path, mode, is_free or (lambda: not files.exists(path)))
            begun = True
            begin(files, workshop, claim, journal)
            complete(files, path, workshop)
            files.write_bytes(f"{path}/_SUCCESS", b"")
    except BaseException as error:
        if begun and not isinstance(error, (ResourceError, RunHeldError)):  # these only if there is no journal
            raise CompletedRunError(
                f"the new rows of {path} are written, but perhaps not all are in place ({describe_error(error)}); "
                "until the next run that writes there, readers may see old rows beside new ones"
            ) from error
        with suppress(Exception):  # raise the first error: if the JVM has died, cleaning up fails too
            _clean_up(files, workshop, claim)
        raise
    leave(files, workshop, claim)


def _clean_up(files: HadoopFiles, workshop: str, claim: Claim) -> None:
    files.settle()
    claim.give_up("failed")
    leave(files, workshop, claim)


def _require_free(path: str, mode: str, is_free: Callable[[], bool]) -> None:
    if mode == "error" and not is_free():
        raise ConfigurationError(
            f"output.path: got {path!r}, which an earlier run has written by now; there may be nothing left to do"
        )


def is_unfinished(files: Files, path: str) -> bool:
    """Return whether a run has begun to write a table, and not ended."""
    return files.exists(name_workshop(path))


def _is_of_a_table(entry: Entry) -> bool:
    return "=" in entry.name if entry.is_directory else entry.name.endswith(".parquet")


def _is_set_to_static(spark: SparkSession) -> bool:
    """Return whether somebody has asked that partitions which are not written go. By default Spark means that, too."""
    return str(spark.conf.getAll.get(_OVERWRITE_MODE, "")).lower() == "static"


def require_levels(rows: DataFrame, key: str, target: str, levels: Sequence[str], partition_by: Sequence[str]) -> None:
    """Refuse columns to partition by that are not those of a table; raises ConfigurationError."""
    if [fold(rows, name) for name in levels] != [fold(rows, name) for name in partition_by]:
        raise ConfigurationError(
            f"output.partition_by: got {', '.join(partition_by) or 'nothing'}, but {key} {target!r} is partitioned "
            f"by {', '.join(levels) or 'nothing'}; partition as it is, or name another"
        )


def _read_partitioning(files: Files, path: str) -> list[str]:
    """Return the columns that a table is partitioned by, from the names of its directories, the outermost first."""
    found: list[str] = []
    while True:
        inner = [one.name for one in files.list_folder(path) if one.is_directory and not is_hidden(one.name)]
        if not inner or "=" not in inner[0]:
            return found
        found.append(inner[0].partition("=")[0])
        path = f"{path}/{inner[0]}"
