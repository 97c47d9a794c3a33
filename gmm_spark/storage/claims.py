"""Claims: which process works on a run, and whether it still lives.

The claims of a run are numbered files. Each is created exclusively, so that one process holds each number, and the
highest number holds the run. Its holder writes only below ``attempt-<number>/``, and gives signs of life in a file of
its own. If there are none any more, another process takes the next number::

    run_id=2024-01-01/_claim-1.json   who, on which machine, since when
    run_id=2024-01-01/_life-1.json    last sign of life; at the end, why it failed
    run_id=2024-01-01/attempt-1/      what it writes

Clocks decide only whether work is done twice, never what is read: a holder that was given up by mistake has its own
folder, and only one of the two can write the manifest.
"""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from gmm_spark.errors import ModelFileError, RunHeldError
from gmm_spark.storage.documents import read_document, shorten, write_document
from gmm_spark.storage.files import Files

BEAT_SECONDS = 20.0
# Without a sign of life for so long, a holder is given up. Clocks of different machines must agree better than this.
GONE_SECONDS = 300.0
_CLAIM = re.compile(r"_claim-([1-9][0-9]{0,8})\.json")


@dataclass(frozen=True)
class Holding:
    """What is known of a run's latest claim.

    Attributes
    ----------
    number : int
        0 if the run was never claimed.
    lives : bool
    began : float or None
        Seconds since 1970.
    about : str
        Who holds or held it, or why it failed, for people.
    """

    number: int
    lives: bool
    began: float | None
    about: str
    failed: bool = False


class Claim:
    """A claim that this process holds.

    Parameters
    ----------
    files : Files
    run : str
        Directory of the run.
    number : int
    """

    def __init__(self, files: Files, run: str, number: int) -> None:
        self.number = number
        self._files = files
        self._run = run

    @property
    def folder(self) -> str:
        """The folder of the run that only this claim's holder writes to, relative to the run's directory."""
        return f"attempt-{self.number}"

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Give signs of life from a thread until the block ends."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                with suppress(Exception):  # the next may succeed; if the JVM has died, nothing can be published either
                    self._write_life()

        self._write_life()
        thread = Thread(target=beat, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(BEAT_SECONDS)

    def require(self) -> None:
        """Refuse to go on if another process has taken the run meanwhile.

        Raises
        ------
        RunHeldError
            If it has.
        """
        holding = look_at(self._files, self._run)
        if holding.number != self.number:
            raise RunHeldError(
                f"{self._run} was taken over by another process ({holding.about}) while this one was slow"
            )

    def give_up(self, reason: str) -> None:
        """Remove what was written under this claim, and leave word why."""
        self._write_life(reason)
        self._files.delete(f"{self._run}/{self.folder}")

    def remove_earlier(self) -> None:
        """Remove what earlier holders of the run have left."""
        for number in range(1, self.number):
            self._files.delete(f"{self._run}/attempt-{number}")

    def _write_life(self, failure: str | None = None) -> None:
        life = {"at": time.time(), "failure": failure}
        self._files.write_bytes(f"{self._run}/_life-{self.number}.json", write_document(life))


def take(files: Files, run: str, job: str) -> Claim:
    """Claim a run that nobody holds.

    Parameters
    ----------
    files : Files
    run : str
        Directory of the run; it need not be there.
    job : str
        For people who look at the claim.

    Raises
    ------
    RunHeldError
        If another process holds it and lives, or takes it in the same moment.
    """
    holding = look_at(files, run)
    if holding.lives:
        raise RunHeldError(f"{run} is held by a process that lives ({holding.about})")
    number = holding.number + 1
    about = {
        "job": job,
        "host": socket.gethostname(),
        "machine": _identify_machine(),
        "pid": os.getpid(),
        "process": _identify_process(os.getpid()),
        "token": uuid.uuid4().hex,
        "began": time.time(),
    }
    try:
        files.create(f"{run}/_claim-{number}.json", write_document(about))
    except FileExistsError:
        raise RunHeldError(f"{run} was taken by another process in this moment") from None
    return Claim(files, run, number)


def look_at(files: Files, run: str, now: float | None = None) -> Holding:
    """Return what is known of a run's latest claim.

    Parameters
    ----------
    files : Files
    run : str
        Directory of the run.
    now : float, optional
        Seconds since 1970, by default the time.
    """
    times = _list_times(files, run)
    number = _find_latest(times)
    if not number:
        return Holding(0, False, None, "never claimed")
    claim, life = f"_claim-{number}.json", f"_life-{number}.json"
    owner, signs = _read_if_sound(files, f"{run}/{claim}"), _read_if_sound(files, f"{run}/{life}")
    began = _read_time(owner.get("began"), times[claim])
    last = _read_time(signs.get("at"), max(began, times.get(life, began)))
    about = (
        f"{shorten(str(owner.get('job', '?')))} on {shorten(str(owner.get('host', '?')))}, process "
        f"{shorten(str(owner.get('pid', '?')))}, last sign of life {time.strftime('%F %T', time.gmtime(last))} UTC"
    )
    if isinstance(signs.get("failure"), str):
        return Holding(number, False, began, shorten(signs["failure"], 300), failed=True)
    # A sign of life from far in the future, by a clock that is wrong, must not hold the run for ever.
    recent = abs((time.time() if now is None else now) - last) < GONE_SECONDS
    return Holding(number, recent and not _is_gone(owner), began, about)


def _list_times(files: Files, run: str) -> dict[str, float]:
    """Return the files in a run's directory, and when each was written."""
    try:
        return {one.name: one.modified for one in files.list_folder(run) if not one.is_directory}
    except FileNotFoundError:
        return {}


def _find_latest(names: Iterable[str]) -> int:
    return max((int(found[1]) for name in names if (found := _CLAIM.fullmatch(name))), default=0)


def _is_gone(owner: dict[str, Any]) -> bool:
    """Return whether a claim's holder is known to have ended: it ran on this machine and runs no more."""
    pid, machine = owner.get("pid"), owner.get("machine")
    if machine is None or machine != _identify_machine() or not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    process = owner.get("process")  # its start time, since the number may be another process's by now
    return isinstance(process, str) and _identify_process(pid) != process


def _identify_machine() -> str | None:
    """Return a name of this machine, since it was started, and of its space of process numbers; None if unknown.

    A host name alone will not do: containers may share one, and have processes of their own.
    """
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {started} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _identify_process(pid: int) -> str | None:
    """Return when a process of this machine was started, in the kernel's ticks; None if it is not there or unknown."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    after_name = status.rpartition(")")[2].split()  # the name may hold blanks and brackets
    return None if after_name[0] in "ZX" else after_name[19]


def _read_if_sound(files: Files, path: str) -> dict[str, Any]:
    """Return a document, empty if it is missing, half written or damaged."""
    try:
        return read_document(files, path)
    except (OSError, ModelFileError):
        return {}


def _read_time(value: Any, otherwise: float) -> float:
    """Return seconds since 1970, as far as a value is such."""
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e11
    return float(value) if sound else otherwise
