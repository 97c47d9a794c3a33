"""Leftovers: block files of applications that were killed with their JVM. The next packing on that host removes them.

Spark removes an executor's local directory when the executor ends, but not if it is killed. So the first packing task
of an executor writes into each of its local directories which process owns it. Then it looks at the directories beside
it: if their owner is gone, and all others of the same application too, their block files go. On a local master that is
the whole directory. Whatever has no owner's file, or an owner that cannot be judged from here (another host's, another
container's), stays.

This reads ``/proc``, so it works on Linux; elsewhere nothing is written and nothing removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

OWNER = "_gmm_spark.owner"
BLOCKS = "gmm-*"
_LARGEST = 4096  # bytes of an owner's file that are read

# Spark's own names of local directories, and of what lies between them and spark.local.dir on some masters.
_DIRECTORY = "blockmgr-"
_BETWEEN = ("executor-", "spark-")
_PATTERNS = (f"{_DIRECTORY}*", f"spark-*/{_DIRECTORY}*", f"spark-*/executor-*/{_DIRECTORY}*")


@dataclass(frozen=True)
class Owner:
    """The process that a local directory belongs to.

    Attributes
    ----------
    application : str
        Spark's id of the application.
    host, boot : str
        Name of the host, and the kernel's id of the time since it was started.
    namespace : str
        In which process ids count: each container has its own.
    pid, started : int
        Process id of the JVM, and when it was started, in the kernel's ticks: an id alone is used again.
    """

    application: str
    host: str
    boot: str
    namespace: str
    pid: int
    started: int

    @classmethod
    def of_this_task(cls, application: str) -> Owner | None:
        """Describe the JVM above this Python worker; None if there is none to be seen."""
        try:
            pid = os.getpid()
            while pid > 1:
                name, _, parent, started = _read_process(pid)
                if name == "java":
                    return cls(application, socket.gethostname(), *_read_place(), pid, started)
                pid = parent
        except (OSError, ValueError, IndexError):
            pass
        return None

    @property
    def is_gone(self) -> bool:
        """Whether the process has surely ended."""
        boot, namespace = _read_place()
        if self.boot != boot:
            return self.host == socket.gethostname()  # started again since; else perhaps another host's
        if self.namespace != namespace:
            return False
        try:
            os.kill(self.pid, 0)
            _, state, _, started = _read_process(self.pid)
        except (ProcessLookupError, FileNotFoundError):
            return True
        except (OSError, OverflowError, ValueError, IndexError):
            return False
        return started != self.started or state in "ZX"


def take_possession(directories: list[str], application: str) -> None:
    """Write this executor's name into its local directories, and remove leftovers beside them, once an executor.

    Nothing that goes wrong here is an error.
    """
    for directory in map(Path, directories):
        if not directory.name.startswith(_DIRECTORY) or (directory / OWNER).exists():
            continue
        with contextlib.suppress(OSError, ValueError):
            owner = Owner.of_this_task(application)
            if owner is None:
                return
            opened = os.open(directory / OWNER, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
            with os.fdopen(opened, "w") as file:
                json.dump(asdict(owner), file)
            remove_leftovers(_find_root(directory))


def remove_leftovers(root: Path) -> list[Path]:
    """Remove what applications that are gone have left below one of ``spark.local.dir``; return the directories."""
    owners = dict(_list_owners(root))
    living = {owner.application for owner in owners.values() if not owner.is_gone}
    left = [(directory, owner) for directory, owner in owners.items() if owner.application not in living]
    for directory, owner in left:
        if owner.application.startswith("local-"):  # its driver is gone, too: nobody will ask for its shuffle files
            shutil.rmtree(directory, ignore_errors=True)
        else:
            _remove_blocks(directory)
    return [directory for directory, _ in left]


def _find_root(directory: Path) -> Path:
    """Return the directory of ``spark.local.dir`` that a local directory lies in."""
    root = directory.parent
    while root.name.startswith(_BETWEEN):
        root = root.parent
    return root


def _list_owners(root: Path) -> Iterator[tuple[Path, Owner]]:
    """List this user's local directories below a root that name their owner; no link is followed."""
    for pattern in _PATTERNS:
        for directory in root.glob(pattern):
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                found = directory.lstat()
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                    continue
                opened = os.open(directory / OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with os.fdopen(opened, "rb") as file:
                    if os.fstat(opened).st_uid == os.getuid():
                        yield directory, _read_owner(json.loads(file.read(_LARGEST)))


def _read_owner(found: Any) -> Owner:
    """Read what an owner's file holds; raises ValueError or TypeError if it is something else."""
    owner = Owner(**found)
    for field in fields(Owner):
        kind = int if field.name in ("pid", "started") else str
        if type(getattr(owner, field.name)) is not kind:
            raise ValueError(f"{field.name} is no {kind.__name__}")
    if owner.pid <= 1:
        raise ValueError("no process of ours has this id")
    return owner


def _remove_blocks(directory: Path) -> None:
    for file in directory.glob(BLOCKS):
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        (directory / OWNER).unlink()


def _read_process(pid: int) -> tuple[str, str, int, int]:
    """Return a process's name, state, parent and start, from its line in ``/proc``."""
    line = Path(f"/proc/{pid}/stat").read_text()
    name, rest = line[line.index("(") + 1 : line.rindex(")")], line[line.rindex(")") + 1 :].split()
    return name, rest[0], int(rest[1]), int(rest[19])


def _read_place() -> tuple[str, str]:
    """Return the kernel's id of this boot, and the namespace of process ids."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")
