"""What runs a job can say: workers and their Python, memory and disks, executors, the driver, the network."""

from __future__ import annotations

from gmm_spark.errors import ClusterError, ConfigurationError, DataError, ResourceError, UnexplainedError
from gmm_spark.jobs.causes.cause import row

_AGAIN = "Run it again."

WORKERS = (
    row(
        ConfigurationError,
        r"PYTHON_VERSION_MISMATCH|Python in worker has different version",
        "workers run another Python than the driver: {told}",
        "Set PYSPARK_PYTHON, or spark.pyspark.python, to the driver's version of Python on every host.",
    ),
    row(
        ConfigurationError,
        r"No module named '(?P<module>numpy\._\w+)",
        "the workers' numpy is another version than the driver's: they have no {module}",
        "Give workers the driver's version of numpy; docs/cluster.md says how to ship an environment.",
    ),
    row(
        ConfigurationError,
        r"No module named '(?P<module>gmm_spark[\w.]*)'",
        "workers do not find {module}",
        "Ship gmm_spark to them with --py-files, as docs/cluster.md says.",
    ),
    row(
        ConfigurationError,
        r"No module named '(?P<module>[\w.]+)'|\[PACKAGE_NOT_INSTALLED\] (?P<package>\S+)",
        "a Python package is missing on the driver or on a worker: {module}{package}",
        "Install it there, or ship an environment as docs/cluster.md says; PYSPARK_PYTHON names the workers' Python.",
    ),
    row(
        ConfigurationError,
        r"UNSUPPORTED_PACKAGE_VERSION|ImportError: |numpy\.dtype size changed|compiled using NumPy 1",
        "a Python package on the driver or on a worker does not fit: {told}",
        "Give driver and workers the same versions of Python, numpy, scipy, pandas and pyarrow.",
    ),
    row(
        ConfigurationError,
        r"Cannot run program \"(?P<program>[^\"]+)\"",
        "workers cannot run {program}",
        "Set PYSPARK_PYTHON, or spark.pyspark.python, to a Python that is there on every host.",
    ),
)

RESOURCES = (
    row(
        ResourceError,
        r"No space left on device|Disk quota exceeded|ENOSPC|Failed to create (?:any )?local dir",
        "a disk is full, or cannot be written: {told}",
        "Free space there, or set spark.local.dir to a larger disk, then run it again.",
    ),
    row(
        ResourceError,
        r"spark\.driver\.maxResultSize",
        "a result is too large for the driver: {told}",
        "Lower model.sample_rows, or raise spark.driver.maxResultSize.",
    ),
    row(
        ResourceError,
        r"Serialized task \S+ was \d+ bytes|exceeds max allowed: spark\.rpc\.message\.maxSize",
        "a task is too large to send: {told}",
        "Raise spark.rpc.message.maxSize, or fit fewer components or features.",
    ),
    row(
        ResourceError,
        r"OutOfMemoryError|GC overhead limit exceeded|OutOfMemoryException|UNABLE_TO_ACQUIRE_MEMORY",
        "a JVM has too little memory: {told}",
        "Raise spark.driver.memory if it is the driver's, else spark.executor.memory.",
    ),
    row(
        ResourceError,
        r"MemoryError|Cannot allocate memory|std::bad_alloc|malloc of size",
        "a Python process has too little memory: {told}",
        "Raise spark.executor.memoryOverhead (spark.executor.pyspark.memory if it is set), or use more partitions.",
    ),
    row(
        ResourceError,
        r"(?:exit(?:ed with)? (?:code|status)|exitCode|with exit status):? ?(?:137|143)\b|OOMKilled"
        r"|(?:beyond|exceeding) (?:physical |virtual )?memory limits",
        "an executor was killed, most likely for its memory: {told}",
        "Raise spark.executor.memoryOverhead, which is for Python workers; on spot machines run it again.",
    ),
    row(
        ResourceError,
        r"StackOverflowError",
        "Spark's plan is too deep for its stack",
        "Add -Xss16m to spark.driver.extraJavaOptions, or simplify input.where.",
    ),
)

CLUSTER = (
    row(
        ClusterError,
        r"All masters are unresponsive|Application has been killed|Could not connect to spark://",
        "the cluster's master does not answer",
        "Run it again once the master runs; spark.master, or --master, names it.",
    ),
    row(
        ClusterError,
        r"\[SPARK_JOB_CANCELLED\]|\[OPERATION_CANCELED\]|[Jj]ob \S+ cancelled (?!because SparkContext)|was cancelled",
        "Spark's job was cancelled by somebody",
        _AGAIN,
    ),
    row(
        ClusterError,
        r"SparkContext was shut down|stopped SparkContext|SparkContext has been shutdown|SparkContext was stopped"
        r"|SESSION_CLOSED|SESSION_NOT_FOUND|INVALID_HANDLE|'NoneType' object has no attribute 'sc'",
        "Spark was stopped while the job ran: the driver's JVM was told to end, or lost its cluster or its memory",
        _AGAIN,
        is_vague=True,
    ),
    row(
        ClusterError,
        r"ExecutorLostFailure|Executor heartbeat timed out|Lost executor|[Ss]lave lost|ecommission|Worker lost"
        r"|FetchFailed|MetadataFetchFailed",
        "executors were lost: {told}",
        "Run it again; if it comes back, look at the executors' logs, and raise spark.executor.memoryOverhead.",
    ),
    row(
        ClusterError,
        r"Python worker (?:exited unexpectedly|failed to connect back|crashed)|ClosedChannelException",
        "a Python worker ended without a word; most likely it was killed for its memory",
        "Raise spark.executor.memoryOverhead, or use more partitions, then run it again.",
    ),
    row(
        ClusterError,
        r"UnknownHostException: (?:java\.net\.UnknownHostException: )?\"?(?P<host>[\w.-]+)",
        "there is no host {host}",
        "Correct the name in the path or in Spark's settings, or run it again once it is known.",
    ),
    row(
        ClusterError,
        r"Call From \S+ to (?P<where>\S+) failed on ",
        "{where} does not answer",
        "Run it again once that service answers; if it never does, correct the path.",
    ),
    row(
        ClusterError,
        r"ConnectException: |NoRouteToHost|SocketTimeout|ConnectTimeout|Connection (?:reset|refused|timed out) by "
        r"|SocketException: |StatusCode\.UNAVAILABLE|Futures timed out|TimeoutException|RpcTimeout",
        "a connection failed: {told}",
        "Run it again once that service answers.",
    ),
    row(
        ClusterError,
        r"ConnectionRefusedError|Py4JNetworkError|ConnectionResetError|BrokenPipeError|Answer from Java side is empty"
        r"|^py4j\.protocol\.Py4JError$",
        "Spark's JVM has ended; it may have been killed, or have had too little memory",
        "Raise spark.driver.memory if that was short, then run it again.",
        is_vague=True,
    ),
    row(
        ClusterError,
        r"\[INTERNAL_ERROR\w*\]",
        "Spark met a fault of its own: {told}",
        "Run it again; if it comes back, report it to Spark with the log.",
    ),
    row(
        DataError,
        r"\bAnalysisException: (?P<sentence>.*)",
        "{sentence}",
        "Correct the table, the columns or the condition in input.where.",
    ),
    row(
        UnexplainedError,
        r"ArrowInvalid|ArrowTypeError|ArrowNotImplementedError|ArrowColumnVector|ARROW_TYPE_MISMATCH|RESULT_\w+_MISMATCH",
        "rows could not pass between Spark and Python: {told}",
        "Please report it, with the log; driver and workers may have different versions of pyarrow.",
    ),
)
