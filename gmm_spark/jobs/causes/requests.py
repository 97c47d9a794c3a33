"""What Spark can say to what was asked of it: tables and columns, settings."""

from __future__ import annotations

from gmm_spark.errors import ClusterError, ConfigurationError, DataError
from gmm_spark.jobs.causes.cause import row

TABLES = (
    row(
        ClusterError,
        r"TTransportException|Unable to instantiate \S*[Mm]eta[Ss]tore|Could not connect to meta store",
        "the metastore cannot be reached: {told}",
        "Run it again once the metastore answers; hive.metastore.uris names it.",
    ),
    row(
        DataError,
        r"\[(?:TABLE_OR_VIEW|SCHEMA|CATALOG)_NOT_FOUND\]|NoSuchTableException|NoSuchDatabaseException"
        r"|REQUIRES_SINGLE_PART_NAMESPACE",
        "there is no such table: {told}",
        "Correct input.table, or give the session the catalog that has it.",
    ),
    row(
        DataError,
        r"FAILED_JDBC|JDBC_EXTERNAL_ENGINE_SYNTAX_ERROR|SQLSyntaxErrorException|java\.sql\.\w+Exception",
        "the database refuses: {told}",
        "Correct input.options (url, dbtable, user, password), or run it again once the database answers.",
    ),
    row(
        ClusterError,
        r"MetaException|HiveException",
        "the metastore refuses: {told}",
        "Run it again once the metastore answers; hive.metastore.uris names it.",
    ),
    row(
        ConfigurationError,
        r"\[PARSE_\w+|ParseException",
        "a condition is not Spark SQL: {told}",
        "Correct input.where.",
    ),
    row(
        DataError,
        r"\[(?:UNRESOLVED_COLUMN|UNRESOLVED_FIELD|FIELD_NOT_FOUND|UNRESOLVED_ROUTINE|AMBIGUOUS_\w+|COLUMN_NOT_FOUND)"
        r"[\w.]*\]",
        "the table lacks a column, or has it twice: {told}",
        "Correct the columns, or the condition in input.where.",
    ),
    row(
        DataError,
        r"\[(?:DATATYPE_MISMATCH|COLUMN_ALREADY_EXISTS|INCOMPATIBLE_DATA\w*|INVALID_\w*COLUMN\w*|UNSUPPORTED_DATATYPE)"
        r"[\w.]*\]",
        "the table's columns do not fit: {told}",
        "Correct the columns, or the condition in input.where.",
    ),
    row(
        DataError,
        r"\[(?:CAST_INVALID_INPUT|CAST_OVERFLOW|DIVIDE_BY_ZERO|ARITHMETIC_OVERFLOW|NUMERIC_\w+|INVALID_ARRAY_INDEX"
        r"|CANNOT_PARSE_\w+|USER_RAISED_EXCEPTION)[\w.]*\]|PatternSyntaxException",
        "a row does not fit the condition or the view that reads it: {told}",
        "Correct input.where or the view, with try_cast or try_divide say, or correct the row.",
    ),
    row(
        DataError,
        r"INCONSISTENT_BEHAVIOR_CROSS_VERSION|SparkUpgradeException",
        "the files were written by an older Spark: {told}",
        "Set the key of Spark that the message names in run.spark.",
    ),
)

SETTINGS = (
    row(
        ConfigurationError,
        r"INVALID_CONF_VALUE|INVALID_SPARK_CONFIG|CANNOT_MODIFY_\w*CONFIG\w*|Could not parse Master URL"
        r"|should be (?:int|long|double|boolean), but was|NumberFormatException: Size must be specified"
        r"|Invalid (?:maximum|initial) heap size|Unrecognized VM option",
        "a setting of Spark is wrong: {told}",
        "Correct it in run.spark, or where spark-submit takes it from.",
    ),
    row(
        ConfigurationError,
        r"JAVA_GATEWAY_EXITED|JAVA_HOME is not set|Unable to locate a Java Runtime",
        "Spark's JVM did not start: Java, its memory or a setting of Spark is wrong",
        "Check JAVA_HOME (Java 17 or later), and spark.driver.memory and spark.master in run.spark.",
        is_vague=True,
    ),
    row(
        ConfigurationError,
        r"BindException|Cannot assign requested address",
        "the driver cannot listen at its address: {told}",
        "Set spark.driver.bindAddress, or SPARK_LOCAL_IP, to an address of this machine.",
    ),
)
