"""What file systems and object stores can say: credentials, classes that are missing, paths."""

from __future__ import annotations

from gmm_spark.errors import ClusterError, ConfigurationError, DataError
from gmm_spark.jobs.causes.cause import row

CREDENTIALS = (
    row(
        ConfigurationError,
        r"GSS initiate failed|Client cannot authenticate via|Kerberos|KrbException|SIMPLE authentication is not enabled"
        r"|(?:Ticket|[Tt]oken)\b.{0,80}\b(?:expired|can't be found in cache)|InvalidToken",
        "Kerberos, or a token of the cluster, refuses the job: {told}",
        "Get a new ticket (kinit), or give spark-submit --principal and --keytab.",
    ),
    row(
        ConfigurationError,
        r"NoAuthWithAWS|NoAwsCredentials|[Uu]nable to load (?:AWS )?credentials|ExpiredToken|InvalidAccessKeyId"
        r"|SignatureDoesNotMatch|CredentialInitializationException|RequestTimeTooSkewed|invalid_grant",
        "the object store does not accept the credentials: {told}",
        "Renew the credentials that the driver and the executors have for it.",
    ),
    row(
        ConfigurationError,
        r"AccessDeniedException: (?P<path>\w+://\S+?): .*(?:\b403\b|Forbidden)",
        "the object store refuses access to {path}",
        "Allow the job's role or account to read the input and write the output.",
    ),
    row(
        ConfigurationError,
        r"(?:Status Code|HTTP|[Ss]tatus|[Cc]ode)[ :=]*403\b|403 Forbidden|S3Exception: Access Denied"
        r"|AuthorizationPermissionMismatch|AuthorizationFailure|storage\.objects\.\w+ access",
        "the object store refuses access: {told}",
        "Allow the job's role or account to read the input and write the output.",
    ),
    row(
        ConfigurationError,
        r"SSLHandshakeException|PKIX path|SSLPeerUnverified",
        "a secure connection is refused: {told}",
        "Give the JVMs the certificate (javax.net.ssl.trustStore in spark.driver.extraJavaOptions and executors').",
    ),
    row(
        ConfigurationError,
        r"Mkdirs failed to create (?P<path>.+?)(?:/_temporary\b.*| \(exists=.*)?$",
        "cannot write to {path}",
        "Give the user that runs the job access to that path, or name another path.",
    ),
    row(
        ConfigurationError,
        r"AccessControlException|AccessDeniedException|Permission denied|PermissionError|INSUFFICIENT_PERMISSIONS"
        r"|PERMISSION_DENIED",
        "access is denied: {told}",
        "Give the user that runs the job access to that path, or name another path.",
    ),
)

CLASSES = (
    row(
        ConfigurationError,
        r"Class (?P<name>org\.apache\.hadoop\.fs\.\S+) not found|No FileSystem for scheme \"?(?P<scheme>[\w-]+)",
        "Spark has no file system for this path: it lacks {name}{scheme}",
        "Give spark-submit the connector with --packages, such as org.apache.hadoop:hadoop-aws for s3a.",
    ),
    row(
        ConfigurationError,
        r"No suitable driver|ClassNotFoundException: (?P<name>\S*(?:jdbc|Driver)\S*)",
        "Spark lacks the JDBC driver {name}",
        "Give spark-submit the driver's jar with --jars or --packages, and its class in input.options (driver=...).",
    ),
    row(
        ConfigurationError,
        r"\[(?:DATA_SOURCE_NOT_FOUND|AVRO_DATA_SOURCE_NOT_ENABLED|KAFKA_DATA_SOURCE_NOT_ENABLED)\]",
        "Spark does not know the format: {told}",
        "Correct input.format, or give spark-submit the package of that format with --packages.",
    ),
    row(
        ConfigurationError,
        r"ClassNotFoundException|NoClassDefFoundError|UnsupportedClassVersionError|NoSuchMethodError|UnsatisfiedLinkError"
        r"|Class \S+ was not found|ClassDefNotFound",
        "Spark lacks a class, or has it in another version: {told}",
        "Give spark-submit jars that fit this Spark with --jars or --packages.",
    ),
    row(
        ConfigurationError,
        r"'JavaPackage' object is not callable|Py4JException: (?:Method|Constructor) ",
        "pyspark and Spark's jars are of different versions: {told}",
        "Use the pyspark that belongs to this Spark; unset SPARK_HOME if it names another one.",
    ),
)

STORES = (
    row(
        DataError,
        r"NoSuchBucket|UnknownStoreException|NoSuchKey|FilesystemNotFound|ContainerNotFound"
        r"|Status Code: 404\b|404 Not Found",
        "the object store has no such path: {told}",
        "Correct the bucket and the path.",
    ),
    row(
        ClusterError,
        r"SlowDown|TooManyRequests|\b(?:429|500|502|503|504)\b.{0,40}(?:Unavailable|Slow|Error|Status|Service)"
        r"|Status Code: (?:429|5\d\d)",
        "the object store is overloaded: {told}",
        "Run it again later.",
    ),
    row(
        DataError,
        r"\[PATH_NOT_FOUND\] Path does not exist: (?P<path>.*?)\.?$",
        "there is no {path}",
        "Correct the path, or wait until the table is there.",
    ),
    row(
        DataError,
        r"\[FAILED_READ_FILE\.FILE_NOT_EXIST\] .*? file (?P<path>\S+?)\.? File does not exist",
        "a file went while the table was read: {path}",
        "Run it once nobody rewrites the table.",
    ),
    row(
        DataError,
        r"FileNotFoundException: (?:File )?(?P<path>.*?)(?: does not exist| \(No such file or directory\))?$",
        "there is no file {path}, or it went meanwhile",
        "Correct the path, or run it once nobody rewrites the table.",
    ),
    row(
        DataError,
        r"\[FAILED_READ_FILE\.CANNOT_READ_FILE_FOOTER\] .*? file (?P<path>\S+?)\.? Could not",
        "a file is damaged, or not in this format: {path}",
        "Write that file again, or take it out; or correct input.format.",
    ),
    row(
        DataError,
        r"\[FAILED_READ_FILE\.PARQUET_COLUMN_DATA_TYPE_MISMATCH\] .*? file (?P<path>\S+?)\.? Data type mismatches when "
        r"reading Parquet column \[(?P<column>[^\]]*)\]\. (?P<types>.*)",
        "column {column} has another type in one file than in the table: {types} {path}",
        "Write that file again with the table's type.",
    ),
    row(
        DataError,
        r"MALFORMED_CSV_RECORD|MALFORMED_RECORD_IN_PARSING",
        "a row of a text file cannot be read: {told}",
        "Correct the file, or set mode=PERMISSIVE in input.options to read such rows as nulls.",
    ),
    row(
        DataError,
        r"\[FAILED_READ_FILE\S*\] .*? file (?P<path>\S+?)\.?$",
        "a file cannot be read, it may be damaged: {path}",
        "Write that file again, or take it out.",
    ),
    row(
        DataError,
        r"is not a Parquet file|Malformed ORC|Invalid magic|CANNOT_READ\w*|Not an Avro data file",
        "a file is damaged, or not in this format: {told}",
        "Write that file again, or take it out; or correct input.format.",
    ),
    row(
        DataError,
        r"\[UNABLE_TO_INFER_SCHEMA\]",
        "there are no files to read there: {told}",
        "Correct the path, or wait until the table is there.",
    ),
    row(
        DataError,
        r"CANNOT_MERGE_\w+|CONFLICTING_PARTITION_COLUMN_NAMES|CONFLICTING_DIRECTORY_STRUCTURES",
        "the files do not make up one table: {told}",
        "Give the files one schema and one layout of partitions, or name a part of them.",
    ),
    row(
        ConfigurationError,
        r"\[PATH_ALREADY_EXISTS\]|FileAlreadyExistsException|TABLE_OR_VIEW_ALREADY_EXISTS|ParentNotDirectoryException",
        "the output is taken: {told}",
        "Name another path.",
    ),
)
