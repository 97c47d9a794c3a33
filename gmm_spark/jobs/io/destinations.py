"""Where score and sample write: a directory, or a table of a catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from gmm_spark.errors import CompletedRunError, ConfigurationError
from gmm_spark.jobs.causes.explaining import explain
from gmm_spark.jobs.config.sections import InputSection, TableOutputSection
from gmm_spark.jobs.io import table_output
from gmm_spark.jobs.io.catalog_tables import CatalogTable, find_table, is_in_own_catalog, locate_input
from gmm_spark.jobs.io.outputs import require_apart
from gmm_spark.jobs.io.tables import fold
from gmm_spark.spark.names import quote
from gmm_spark.storage.documents import describe_error
from gmm_spark.storage.hadoop import files_of, is_remote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession


class Destination(Protocol):
    """What a job writes its rows to. It was checked before any work was done.

    Attributes
    ----------
    folder : str or None
        Directory of the table, None if it has none or if that is not known.
    commits_by_itself : bool
        Whether rows are in the table as soon as they are written, and cannot be looked at in between.
    """

    folder: str | None
    commits_by_itself: bool

    def exists(self) -> bool:
        """Return whether there is a table."""

    def describe(self) -> str:
        """Return what it is, for messages."""

    def require_fit(self, rows: DataFrame, partition_by: Sequence[str]) -> list[str]:
        """Return the columns to partition by; raises ConfigurationError if the rows do not fit what is there."""

    def write(
        self,
        rows: DataFrame,
        partition_by: Sequence[str],
        job: str,
        run_id: str = "",
        approve: Callable[[], None] | None = None,
    ) -> None:
        """Write the rows, all or none."""


def open_destination(
    spark: SparkSession, output: TableOutputSection, source: InputSection | None = None
) -> Destination:
    """Return where the rows go.

    Parameters
    ----------
    spark : SparkSession
    output : TableOutputSection
    source : InputSection, optional
        The table that the job reads.

    Raises
    ------
    ConfigurationError
        If it could not be written later, or is the job's own input.
    """
    path, table = locate_input(spark, source)
    if output.table is None:
        table_output.require_writable(spark, output, path)
        return Directory(spark, str(output.path), output.mode)
    there = find_table(spark, "output.table", output.table)
    files = files_of(spark)
    if there is not None and table is not None and there.name == table.name:
        raise ConfigurationError(f"output.table: got {output.table!r}, which is input.table; name another table")
    if there is not None and there.location is not None:
        require_apart(files, "output.table", there.location, "input.path", path)
        if path is not None:
            require_apart(files, "input.path", path, "output.table", there.location)
    return _open_table(spark, output.table, output.mode, there)


def _open_table(spark: SparkSession, name: str, mode: str, there: CatalogTable | None) -> Destination:
    own = is_in_own_catalog(spark, name) if there is None else there.location is not None
    if is_remote(spark) and (there is None or there.name[0] == "spark_catalog") and is_in_own_catalog(spark, name):
        if mode == "overwrite":
            raise ConfigurationError(
                "output.mode: got 'overwrite' over Spark Connect, whose client cannot move files; write a new table"
            )
        own = False
    if there is not None and mode == "error" and (not own or _holds_rows(spark, name, there)):
        raise ConfigurationError(
            f"output.table: got {name!r}, which is there already; set output.mode to overwrite or name another table"
        )
    return OwnTable(name, mode, there) if own else ForeignTable(name, mode, there)


class Directory:
    """A table in a directory of Parquet files."""

    commits_by_itself = False

    def __init__(self, spark: SparkSession, path: str, mode: str) -> None:
        self._spark, self._path, self._mode = spark, path, mode
        self.folder: str | None = path

    def exists(self) -> bool:
        """Return whether there is a table."""
        return files_of(self._spark).exists(self._path)

    def describe(self) -> str:
        """Return what it is, for messages."""
        return f"table in {self._path}"

    def require_fit(self, rows: DataFrame, partition_by: Sequence[str]) -> list[str]:
        """Return the columns to partition by; raises ConfigurationError if the rows do not fit what is there."""
        found = table_output.require_partitioning(rows, partition_by)
        table_output.require_same_table(rows, self._path, self._mode, found)
        return found

    def write(
        self,
        rows: DataFrame,
        partition_by: Sequence[str],
        job: str,
        run_id: str = "",
        approve: Callable[[], None] | None = None,
    ) -> None:
        """Write the rows, all or none."""
        table_output.write_table(rows, self._path, self._mode, partition_by, job, run_id=run_id, approve=approve)


class _Table:
    """A table of a catalog."""

    def __init__(self, name: str, mode: str, there: CatalogTable | None) -> None:
        self._name, self._mode, self._there = name, mode, there
        self.folder: str | None = None if there is None else there.location

    def exists(self) -> bool:
        """Return whether there is a table."""
        return self._there is not None

    def describe(self) -> str:
        """Return what it is, for messages."""
        return f"table {self._name}"

    def require_fit(self, rows: DataFrame, partition_by: Sequence[str]) -> list[str]:
        """Return the columns to partition by, by default those of the table.

        Raises
        ------
        ConfigurationError
            If there is a table, and its columns, types or partitions differ.
        """
        known = None if self._there is None else self._there.partition_by
        found = table_output.require_partitioning(rows, partition_by or known or [])
        table_output.require_partitions_stay(rows.sparkSession, self._mode, found)
        if self._there is not None:
            if known is not None:
                table_output.require_levels(rows, "output.table", self._name, known, found)
            there = rows.sparkSession.table(self._name).schema
            table_output.require_same_columns(rows, "output.table", self._name, there)
        return found

    def _arrange(self, rows: DataFrame) -> DataFrame:
        """Return the rows with the columns as the table names and orders them."""
        from pyspark.sql.functions import col

        if self._there is None:
            return rows
        names = {fold(rows, name): name for name in rows.columns}
        there = rows.sparkSession.table(self._name).columns
        return rows.select(*(col(quote(names[fold(rows, name)])).alias(name) for name in there))


class OwnTable(_Table):
    """A Parquet table of Spark's own catalog. Its files are written as those of a directory."""

    commits_by_itself = False

    def write(
        self,
        rows: DataFrame,
        partition_by: Sequence[str],
        job: str,
        run_id: str = "",
        approve: Callable[[], None] | None = None,
    ) -> None:
        """Write the rows, all or none, and tell the catalog of new partitions."""
        spark, name = rows.sparkSession, self._name
        there = self._there or self._create(rows, partition_by)
        columns = [self._name_as_there(rows, one, there) for one in partition_by]
        arranged = self._arrange(rows)
        table_output.write_table(
            arranged,
            str(there.location),
            self._mode,
            columns,
            job,
            lambda: not _holds_rows(spark, name),
            run_id,
            approve,
        )
        try:
            if there.tracked:
                spark.catalog.recoverPartitions(name)
            spark.catalog.refreshTable(name)
        except BaseException as error:
            raise CompletedRunError(
                f"the files of {self.describe()} are written, but its catalog was perhaps not told of new partitions: "
                f"{describe_error(error)}"
            ) from error

    def _create(self, rows: DataFrame, partition_by: Sequence[str]) -> CatalogTable:
        """Create the table, without rows."""
        from pyspark.errors import AnalysisException

        spark = rows.sparkSession
        try:
            _prepare(spark.createDataFrame([], rows.schema), partition_by, "ignore").saveAsTable(self._name)
        except AnalysisException as error:
            raise ConfigurationError(
                f"output.table: got {self._name!r}, which cannot be created: {explain(error)}"
            ) from error
        there = find_table(spark, "output.table", self._name)
        if there is None or there.location is None:
            raise ConfigurationError(f"output.table: got {self._name!r}, which another job has replaced meanwhile")
        # If another job has created it meanwhile, it may be another table than ours.
        self._there = there
        self.require_fit(rows, partition_by)
        return there

    @staticmethod
    def _name_as_there(rows: DataFrame, name: str, there: CatalogTable) -> str:
        return next(one for one in there.partition_by or () if fold(rows, one) == fold(rows, name))


class ForeignTable(_Table):
    """A table that its own catalog or format writes, in one commit."""

    commits_by_itself = True

    def write(
        self,
        rows: DataFrame,
        partition_by: Sequence[str],
        job: str,
        run_id: str = "",
        approve: Callable[[], None] | None = None,
    ) -> None:
        """Write the rows, all or none, if the catalog promises that."""
        from pyspark.errors import AnalysisException
        from pyspark.sql.functions import col, lit

        spark = rows.sparkSession
        if approve is not None:
            raise ConfigurationError(
                f"output.table: got {self._name!r}, which commits as it is written, so that no limit can stop it "
                "before that; set drift.stop to after and take features.max_bad_fraction out, or write to output.path"
            )
        if self._there is None and is_in_own_catalog(spark, self._name):  # over Spark Connect
            _prepare(rows, partition_by, "error").saveAsTable(self._name)
            return
        if self._there is not None and self._there.name[0] == "spark_catalog" and self._mode == "append":
            self._arrange(rows).write.insertInto(self._name)
            return
        writer = self._arrange(rows).writeTo(self._name)
        if self._there is None:
            try:
                columns = [col(quote(name)) for name in partition_by]
                (writer.partitionedBy(*columns) if columns else writer).create()
            except AnalysisException as error:
                raise ConfigurationError(
                    f"output.table: got {self._name!r}, which cannot be created: {explain(error)}"
                ) from error
        elif self._mode == "append":
            writer.append()
        elif partition_by:
            writer.overwritePartitions()
        else:
            writer.overwrite(lit(True))


def _prepare(rows: DataFrame, partition_by: Sequence[str], mode: str) -> DataFrameWriter:
    return rows.write.format("parquet").mode(mode).partitionBy(*partition_by)


def _holds_rows(spark: SparkSession, name: str, there: CatalogTable | None = None) -> bool:
    """Return whether a table holds rows other than those that a job has begun to put there."""
    if there is not None and there.location is not None and table_output.is_unfinished(files_of(spark), there.location):
        return False
    spark.catalog.refreshTable(name)
    return not spark.table(name).isEmpty()
