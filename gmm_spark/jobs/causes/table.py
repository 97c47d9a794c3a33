"""The table: what Spark, Python workers, py4j, Arrow and the JVM can say, what it means, and what to do.

Rows are tried from the first to the last, each on all the errors that a text tells of, from the innermost to the
outermost. So what names a cause stands before what names a consequence: a full disk before a lost executor, a lost
executor before a closed connection.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gmm_spark.errors import (
    ClusterError,
    ConfigurationError,
    DataError,
    GmmSparkError,
    ResourceError,
    UnexplainedError,
)


class Cause(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    kind : type
        The error of ours, which decides the exit code.
    pattern : re.Pattern
        Looked for in ``class: message`` of an error.
    meaning : str
        The cause in a few words. ``{told}`` stands for the error's message, other names for groups of the pattern.
    remedy : str
        What to do, as a sentence.
    is_vague : bool
        True for what follows from many causes: the JVM's log, if it names another, knows better.
    """

    kind: type[GmmSparkError]
    pattern: re.Pattern[str]
    meaning: str
    remedy: str
    is_vague: bool = False


_AGAIN = "Run it again."


def _row(kind: type[GmmSparkError], pattern: str, meaning: str, remedy: str, is_vague: bool = False) -> Cause:
    return Cause(kind, re.compile(pattern), meaning, remedy, is_vague)


_WORKERS = (
    _row(
        ConfigurationError,
        r"PYTHON_VERSION_MISMATCH|Python in worker has different version",
        "workers run another Python than the driver: {told}",
        "Set PYSPARK_PYTHON, or spark.pyspark.python, to the driver's version of Python on every host.",
    ),
    _row(
        ConfigurationError,
        r"No module named '(?P<module>numpy\._\w+)",
        "the workers' numpy is another version than the driver's: they have no {module}",
        "Give workers the driver's version of numpy; docs/cluster.md says how to ship an environment.",
    ),
    _row(
        ConfigurationError,
        r"No module named '(?P<module>gmm_spark[\w.]*)'",
        "workers do not find {module}",
        "Ship gmm_spark to them with --py-files, as docs/cluster.md says.",
    ),
    _row(
        ConfigurationError,
        r"No module named '(?P<module>[\w.]+)'|\[PACKAGE_NOT_INSTALLED\] (?P<package>\S+)",
        "a Python package is missing on the driver or on a worker: {module}{package}",
        "Install it there, or ship an environment as docs/cluster.md says; PYSPARK_PYTHON names the workers' Python.",
    ),
    _row(
        ConfigurationError,
        r"UNSUPPORTED_PACKAGE_VERSION|ImportError: |numpy\.dtype size changed|compiled using NumPy 1",
        "a Python package on the driver or on a worker does not fit: {told}",
        "Give driver and workers the same versions of Python, numpy, scipy, pandas and pyarrow.",
    ),
    _row(
        ConfigurationError,
        r"Cannot run program \"(?P<program>[^\"]+)\"",
        "workers cannot run {program}",
        "Set PYSPARK_PYTHON, or spark.pyspark.python, to a Python that is there on every host.",
    ),
)

_RESOURCES = (
    _row(
        ResourceError,
        r"No space left on device|Disk quota exceeded|ENOSPC|Failed to create (?:any )?local dir",
        "a disk is full, or cannot be written: {told}",
        "Free space there, or set spark.local.dir to a larger disk, then run it again.",
    ),
    _row(
        ResourceError,
        r"spark\.driver\.maxResultSize",
        "a result is too large for the driver: {told}",
        "Lower model.sample_rows, or raise spark.driver.maxResultSize.",
    ),
    _row(
        ResourceError,
        r"Serialized task \S+ was \d+ bytes|exceeds max allowed: spark\.rpc\.message\.maxSize",
        "a task is too large to send: {told}",
        "Raise spark.rpc.message.maxSize, or fit fewer components or features.",
    ),
    _row(
        ResourceError,
        r"OutOfMemoryError|GC overhead limit exceeded|OutOfMemoryException|UNABLE_TO_ACQUIRE_MEMORY",
        "a JVM has too little memory: {told}",
        "Raise spark.driver.memory if it is the driver's, else spark.executor.memory.",
    ),
    _row(
        ResourceError,
        r"MemoryError|Cannot allocate memory|std::bad_alloc|malloc of size",
        "a Python process has too little memory: {told}",
        "Raise spark.executor.memoryOverhead (spark.executor.pyspark.memory if it is set), or use more partitions.",
    ),
    _row(
        ResourceError,
        r"(?:exit(?:ed with)? (?:code|status)|exitCode|with exit status):? ?(?:137|143)\b|OOMKilled"
        r"|(?:beyond|exceeding) (?:physical |virtual )?memory limits",
        "an executor was killed, most likely for its memory: {told}",
        "Raise spark.executor.memoryOverhead, which is for Python workers; on spot machines run it again.",
    ),
    _row(
        ResourceError,
        r"StackOverflowError",
        "Spark's plan is too deep for its stack",
        "Add -Xss16m to spark.driver.extraJavaOptions, or simplify input.where.",
    ),
)

_CREDENTIALS = (
    _row(
        ConfigurationError,
        r"GSS initiate failed|Client cannot authenticate via|Kerberos|KrbException|SIMPLE authentication is not enabled"
        r"|(?:Ticket|[Tt]oken)\b.{0,80}\b(?:expired|can't be found in cache)|InvalidToken",
        "Kerberos, or a token of the cluster, refuses the job: {told}",
        "Get a new ticket (kinit), or give spark-submit --principal and --keytab.",
    ),
    _row(
        ConfigurationError,
        r"NoAuthWithAWS|NoAwsCredentials|[Uu]nable to load (?:AWS )?credentials|ExpiredToken|InvalidAccessKeyId"
        r"|SignatureDoesNotMatch|CredentialInitializationException|RequestTimeTooSkewed|invalid_grant",
        "the object store does not accept the credentials: {told}",
        "Renew the credentials that the driver and the executors have for it.",
    ),
    _row(
        ConfigurationError,
        r"AccessDeniedException: (?P<path>\w+://\S+?): .*(?:\b403\b|Forbidden)",
        "the object store refuses access to {path}",
        "Allow the job's role or account to read the input and write the output.",
    ),
    _row(
        ConfigurationError,
        r"(?:Status Code|HTTP|[Ss]tatus|[Cc]ode)[ :=]*403\b|403 Forbidden|S3Exception: Access Denied"
        r"|AuthorizationPermissionMismatch|AuthorizationFailure|storage\.objects\.\w+ access",
        "the object store refuses access: {told}",
        "Allow the job's role or account to read the input and write the output.",
    ),
    _row(
        ConfigurationError,
        r"SSLHandshakeException|PKIX path|SSLPeerUnverified",
        "a secure connection is refused: {told}",
        "Give the JVMs the certificate (javax.net.ssl.trustStore in spark.driver.extraJavaOptions and executors').",
    ),
    _row(
        ConfigurationError,
        r"Mkdirs failed to create (?P<path>.+?)(?:/_temporary\b.*| \(exists=.*)?$",
        "cannot write to {path}",
        "Give the user that runs the job access to that path, or name another path.",
    ),
    _row(
        ConfigurationError,
        r"AccessControlException|AccessDeniedException|Permission denied|PermissionError|INSUFFICIENT_PERMISSIONS"
        r"|PERMISSION_DENIED",
        "access is denied: {told}",
        "Give the user that runs the job access to that path, or name another path.",
    ),
)

_CLASSES = (
    _row(
        ConfigurationError,
        r"Class (?P<name>org\.apache\.hadoop\.fs\.\S+) not found|No FileSystem for scheme \"?(?P<scheme>[\w-]+)",
        "Spark has no file system for this path: it lacks {name}{scheme}",
        "Give spark-submit the connector with --packages, such as org.apache.hadoop:hadoop-aws for s3a.",
    ),
    _row(
        ConfigurationError,
        r"No suitable driver|ClassNotFoundException: (?P<name>\S*(?:jdbc|Driver)\S*)",
        "Spark lacks the JDBC driver {name}",
        "Give spark-submit the driver's jar with --jars or --packages, and its class in input.options (driver=...).",
    ),
    _row(
        ConfigurationError,
        r"\[(?:DATA_SOURCE_NOT_FOUND|AVRO_DATA_SOURCE_NOT_ENABLED|KAFKA_DATA_SOURCE_NOT_ENABLED)\]",
        "Spark does not know the format: {told}",
        "Correct input.format, or give spark-submit the package of that format with --packages.",
    ),
    _row(
        ConfigurationError,
        r"ClassNotFoundException|NoClassDefFoundError|UnsupportedClassVersionError|NoSuchMethodError|UnsatisfiedLinkError"
        r"|Class \S+ was not found|ClassDefNotFound",
        "Spark lacks a class, or has it in another version: {told}",
        "Give spark-submit jars that fit this Spark with --jars or --packages.",
    ),
    _row(
        ConfigurationError,
        r"'JavaPackage' object is not callable|Py4JException: (?:Method|Constructor) ",
        "pyspark and Spark's jars are of different versions: {told}",
        "Use the pyspark that belongs to this Spark; unset SPARK_HOME if it names another one.",
    ),
)

_STORES = (
    _row(
        DataError,
        r"NoSuchBucket|UnknownStoreException|NoSuchKey|FilesystemNotFound|ContainerNotFound"
        r"|Status Code: 404\b|404 Not Found",
        "the object store has no such path: {told}",
        "Correct the bucket and the path.",
    ),
    _row(
        ClusterError,
        r"SlowDown|TooManyRequests|\b(?:429|500|502|503|504)\b.{0,40}(?:Unavailable|Slow|Error|Status|Service)"
        r"|Status Code: (?:429|5\d\d)",
        "the object store is overloaded: {told}",
        "Run it again later.",
    ),
    _row(
        DataError,
        r"\[PATH_NOT_FOUND\] Path does not exist: (?P<path>.*?)\.?$",
        "there is no {path}",
        "Correct the path, or wait until the table is there.",
    ),
    _row(
        DataError,
        r"\[FAILED_READ_FILE\.FILE_NOT_EXIST\] .*? file (?P<path>\S+?)\.? File does not exist",
        "a file went while the table was read: {path}",
        "Run it once nobody rewrites the table.",
    ),
    _row(
        DataError,
        r"FileNotFoundException: (?:File )?(?P<path>.*?)(?: does not exist| \(No such file or directory\))?$",
        "there is no file {path}, or it went meanwhile",
        "Correct the path, or run it once nobody rewrites the table.",
    ),
    _row(
        DataError,
        r"\[FAILED_READ_FILE\.CANNOT_READ_FILE_FOOTER\] .*? file (?P<path>\S+?)\.? Could not",
        "a file is damaged, or not in this format: {path}",
        "Write that file again, or take it out; or correct input.format.",
    ),
    _row(
        DataError,
        r"\[FAILED_READ_FILE\.PARQUET_COLUMN_DATA_TYPE_MISMATCH\] .*? file (?P<path>\S+?)\.? Data type mismatches when "
        r"reading Parquet column \[(?P<column>[^\]]*)\]\. (?P<types>.*)",
        "column {column} has another type in one file than in the table: {types} {path}",
        "Write that file again with the table's type.",
    ),
    _row(
        DataError,
        r"MALFORMED_CSV_RECORD|MALFORMED_RECORD_IN_PARSING",
        "a row of a text file cannot be read: {told}",
        "Correct the file, or set mode=PERMISSIVE in input.options to read such rows as nulls.",
    ),
    _row(
        DataError,
        r"\[FAILED_READ_FILE\S*\] .*? file (?P<path>\S+?)\.?$",
        "a file cannot be read, it may be damaged: {path}",
        "Write that file again, or take it out.",
    ),
    _row(
        DataError,
        r"is not a Parquet file|Malformed ORC|Invalid magic|CANNOT_READ\w*|Not an Avro data file",
        "a file is damaged, or not in this format: {told}",
        "Write that file again, or take it out; or correct input.format.",
    ),
    _row(
        DataError,
        r"\[UNABLE_TO_INFER_SCHEMA\]",
        "there are no files to read there: {told}",
        "Correct the path, or wait until the table is there.",
    ),
    _row(
        DataError,
        r"CANNOT_MERGE_\w+|CONFLICTING_PARTITION_COLUMN_NAMES|CONFLICTING_DIRECTORY_STRUCTURES",
        "the files do not make up one table: {told}",
        "Give the files one schema and one layout of partitions, or name a part of them.",
    ),
    _row(
        ConfigurationError,
        r"\[PATH_ALREADY_EXISTS\]|FileAlreadyExistsException|TABLE_OR_VIEW_ALREADY_EXISTS|ParentNotDirectoryException",
        "the output is taken: {told}",
        "Name another path.",
    ),
)

_TABLES = (
    _row(
        ClusterError,
        r"TTransportException|Unable to instantiate \S*[Mm]eta[Ss]tore|Could not connect to meta store",
        "the metastore cannot be reached: {told}",
        "Run it again once the metastore answers; hive.metastore.uris names it.",
    ),
    _row(
        DataError,
        r"\[(?:TABLE_OR_VIEW|SCHEMA|CATALOG)_NOT_FOUND\]|NoSuchTableException|NoSuchDatabaseException"
        r"|REQUIRES_SINGLE_PART_NAMESPACE",
        "there is no such table: {told}",
        "Correct input.table, or give the session the catalog that has it.",
    ),
    _row(
        DataError,
        r"FAILED_JDBC|JDBC_EXTERNAL_ENGINE_SYNTAX_ERROR|SQLSyntaxErrorException|java\.sql\.\w+Exception",
        "the database refuses: {told}",
        "Correct input.options (url, dbtable, user, password), or run it again once the database answers.",
    ),
    _row(
        ClusterError,
        r"MetaException|HiveException",
        "the metastore refuses: {told}",
        "Run it again once the metastore answers; hive.metastore.uris names it.",
    ),
    _row(
        ConfigurationError,
        r"\[PARSE_\w+|ParseException",
        "a condition is not Spark SQL: {told}",
        "Correct input.where.",
    ),
    _row(
        DataError,
        r"\[(?:UNRESOLVED_COLUMN|UNRESOLVED_FIELD|FIELD_NOT_FOUND|UNRESOLVED_ROUTINE|AMBIGUOUS_\w+|COLUMN_NOT_FOUND)"
        r"[\w.]*\]",
        "the table lacks a column, or has it twice: {told}",
        "Correct the columns, or the condition in input.where.",
    ),
    _row(
        DataError,
        r"\[(?:DATATYPE_MISMATCH|COLUMN_ALREADY_EXISTS|INCOMPATIBLE_DATA\w*|INVALID_\w*COLUMN\w*|UNSUPPORTED_DATATYPE)"
        r"[\w.]*\]",
        "the table's columns do not fit: {told}",
        "Correct the columns, or the condition in input.where.",
    ),
    _row(
        DataError,
        r"\[(?:CAST_INVALID_INPUT|CAST_OVERFLOW|DIVIDE_BY_ZERO|ARITHMETIC_OVERFLOW|NUMERIC_\w+|INVALID_ARRAY_INDEX"
        r"|CANNOT_PARSE_\w+|USER_RAISED_EXCEPTION)[\w.]*\]|PatternSyntaxException",
        "a row does not fit the condition or the view that reads it: {told}",
        "Correct input.where or the view, with try_cast or try_divide say, or correct the row.",
    ),
    _row(
        DataError,
        r"INCONSISTENT_BEHAVIOR_CROSS_VERSION|SparkUpgradeException",
        "the files were written by an older Spark: {told}",
        "Set the key of Spark that the message names in run.spark.",
    ),
)

_SETTINGS = (
    _row(
        ConfigurationError,
        r"INVALID_CONF_VALUE|INVALID_SPARK_CONFIG|CANNOT_MODIFY_\w*CONFIG\w*|Could not parse Master URL"
        r"|should be (?:int|long|double|boolean), but was|NumberFormatException: Size must be specified"
        r"|Invalid (?:maximum|initial) heap size|Unrecognized VM option",
        "a setting of Spark is wrong: {told}",
        "Correct it in run.spark, or where spark-submit takes it from.",
    ),
    _row(
        ConfigurationError,
        r"JAVA_GATEWAY_EXITED|JAVA_HOME is not set|Unable to locate a Java Runtime",
        "Spark's JVM did not start: Java, its memory or a setting of Spark is wrong",
        "Check JAVA_HOME (Java 17 or later), and spark.driver.memory and spark.master in run.spark.",
        is_vague=True,
    ),
    _row(
        ConfigurationError,
        r"BindException|Cannot assign requested address",
        "the driver cannot listen at its address: {told}",
        "Set spark.driver.bindAddress, or SPARK_LOCAL_IP, to an address of this machine.",
    ),
)

_CLUSTER = (
    _row(
        ClusterError,
        r"All masters are unresponsive|Application has been killed|Could not connect to spark://",
        "the cluster's master does not answer",
        "Run it again once the master runs; spark.master, or --master, names it.",
    ),
    _row(
        ClusterError,
        r"\[SPARK_JOB_CANCELLED\]|\[OPERATION_CANCELED\]|[Jj]ob \S+ cancelled (?!because SparkContext)|was cancelled",
        "Spark's job was cancelled by somebody",
        _AGAIN,
    ),
    _row(
        ClusterError,
        r"SparkContext was shut down|stopped SparkContext|SparkContext has been shutdown|SparkContext was stopped"
        r"|SESSION_CLOSED|SESSION_NOT_FOUND|INVALID_HANDLE|'NoneType' object has no attribute 'sc'",
        "Spark was stopped while the job ran: the driver's JVM was told to end, or lost its cluster or its memory",
        _AGAIN,
        is_vague=True,
    ),
    _row(
        ClusterError,
        r"ExecutorLostFailure|Executor heartbeat timed out|Lost executor|[Ss]lave lost|ecommission|Worker lost"
        r"|FetchFailed|MetadataFetchFailed",
        "executors were lost: {told}",
        "Run it again; if it comes back, look at the executors' logs, and raise spark.executor.memoryOverhead.",
    ),
    _row(
        ClusterError,
        r"Python worker (?:exited unexpectedly|failed to connect back|crashed)|ClosedChannelException",
        "a Python worker ended without a word; most likely it was killed for its memory",
        "Raise spark.executor.memoryOverhead, or use more partitions, then run it again.",
    ),
    _row(
        ClusterError,
        r"UnknownHostException: (?:java\.net\.UnknownHostException: )?\"?(?P<host>[\w.-]+)",
        "there is no host {host}",
        "Correct the name in the path or in Spark's settings, or run it again once it is known.",
    ),
    _row(
        ClusterError,
        r"Call From \S+ to (?P<where>\S+) failed on ",
        "{where} does not answer",
        "Run it again once that service answers; if it never does, correct the path.",
    ),
    _row(
        ClusterError,
        r"ConnectException: |NoRouteToHost|SocketTimeout|ConnectTimeout|Connection (?:reset|refused|timed out) by "
        r"|SocketException: |StatusCode\.UNAVAILABLE|Futures timed out|TimeoutException|RpcTimeout",
        "a connection failed: {told}",
        "Run it again once that service answers.",
    ),
    _row(
        ClusterError,
        r"ConnectionRefusedError|Py4JNetworkError|ConnectionResetError|BrokenPipeError|Answer from Java side is empty"
        r"|^py4j\.protocol\.Py4JError$",
        "Spark's JVM has ended; it may have been killed, or have had too little memory",
        "Raise spark.driver.memory if that was short, then run it again.",
        is_vague=True,
    ),
    _row(
        ClusterError,
        r"\[INTERNAL_ERROR\w*\]",
        "Spark met a fault of its own: {told}",
        "Run it again; if it comes back, report it to Spark with the log.",
    ),
    _row(
        DataError,
        r"\bAnalysisException: (?P<sentence>.*)",
        "{sentence}",
        "Correct the table, the columns or the condition in input.where.",
    ),
    _row(
        UnexplainedError,
        r"ArrowInvalid|ArrowTypeError|ArrowNotImplementedError|ArrowColumnVector|ARROW_TYPE_MISMATCH|RESULT_\w+_MISMATCH",
        "rows could not pass between Spark and Python: {told}",
        "Please report it, with the log; driver and workers may have different versions of pyarrow.",
    ),
)

TABLE: tuple[Cause, ...] = (
    *_WORKERS,
    *_RESOURCES,
    *_CREDENTIALS,
    *_CLASSES,
    *_STORES,
    *_TABLES,
    *_SETTINGS,
    *_CLUSTER,
)
