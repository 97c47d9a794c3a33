"""Memory: how much more the driver can get, and how much a task may have.

The driver's is the least of what the machine has available, what its container allows (cgroups) and what its address
space may still grow by (``ulimit -v``). A task's is its share of ``spark.executor.pyspark.memory`` if that is set; else
Spark sets no limit, and none is assumed.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyspark.sql import SparkSession

from gmm_spark.spark.results import WORKER_MEMORY, read_size

# Limit and use of this process's container: version 2 of cgroups, and version 1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_bytes() -> int | None:
    """Return how much more memory this process can get; None if the system does not say."""
    found = (_free_on_machine(), *(_free_in_group(*files) for files in _GROUPS), _free_addresses())
    return min((size for size in found if size is not None), default=None)


def task_bytes(spark: SparkSession) -> int | None:
    """Return how much memory the Python process of a task may have; None if Spark sets no limit."""
    cores = str(spark.conf.get("spark.executor.cores", "1"))
    return read_size(spark, WORKER_MEMORY, "0", unit="m") // max(int(cores) if cores.isdigit() else 1, 1) or None


def _free_on_machine() -> int | None:
    """On Linux what can be freed, and swap; elsewhere all memory of the machine."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
        return sizes["MemAvailable"] + sizes["SwapFree"]
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _free_in_group(limit_file: str, use_file: str) -> int | None:
    try:
        limit, used = (int(Path(file).read_text(encoding="ascii")) for file in (limit_file, use_file))
    except (OSError, ValueError):  # no such group, or its limit is "max"
        return None
    return max(limit - used, 0) if limit < 1 << 60 else None


def _free_addresses() -> int | None:
    try:
        import resource  # not on Windows

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(limit - used, 0)
