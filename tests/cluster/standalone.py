"""A standalone cluster of two hosts on this machine: a Master and two Workers, as the pip package of Spark has them.

Each Worker has a UTS and a mount namespace of its own (``unshare``): another host name, and another disk at the same
path. So a task that runs on the wrong host does not find the file that it looks for, as on two machines. Executors run
in a Python environment that has numpy, scipy and pyarrow, and nothing else.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyspark

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SPARK_HOME = Path(pyspark.__file__).parent
# Long enough for a busy machine; nothing waits so long unless it is broken.
PATIENCE = 120
NODES = ("node1", "node2")


def missing_permission() -> str:
    """Return why this machine cannot have the cluster; empty if it can."""
    try:
        done = subprocess.run(
            ["unshare", "-u", "-m", "sh", "-c", "hostname probe && mount --make-rprivate /"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    return "" if done.returncode == 0 else f"unshare is not permitted: {done.stderr.strip()}"


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, and fail if it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.1)


def make_executor_python(folder: Path, *without: str) -> Path:
    """Make an environment with what executors need, in the driver's versions; return its Python."""
    packages = [f"{name}=={version(name)}" for name in ("numpy", "scipy", "pyarrow") if name not in without]
    uv, python = str(BIN / "uv"), str(folder / "bin" / "python")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return Path(python)


@dataclass
class Node:
    """A host: a Worker in namespaces of its own.

    Attributes
    ----------
    name : str
        Host name.
    worker : Popen
    """

    name: str
    worker: subprocess.Popen[bytes]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command that sees this host's disks."""
        inside = ["nsenter", "-t", str(self.worker.pid), "-u", "-m", "sh", "-ec", command]
        return subprocess.run(inside, check=True, capture_output=True, text=True)

    def kill(self) -> None:
        """End the Worker and all its processes at once, as if the machine's plug had been pulled."""
        for pid in [self.worker.pid, *_descendants(self.worker.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.worker.wait()


class StandaloneCluster:
    """A Master and Workers of one core each.

    Parameters
    ----------
    folder : Path
        For logs, work directories, the hosts' disks and Python environments.
    hosts : sequence of str
        Names of the Workers' hosts.
    python : Path, optional
        Of the executors; by default a new environment with what they need.
    configuration : Path, optional
        ``SPARK_CONF_DIR`` of the Master, the Workers and the drivers.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Sequence[str] = NODES,
        python: Path | None = None,
        configuration: Path | None = None,
    ) -> None:
        self.folder = folder
        self.hosts = hosts
        self.python = python or make_executor_python(folder / "python")
        self.configuration = configuration
        # The path of the hosts' local disks, alike on all; `disk` says where the files really are.
        self.local = folder / "local"
        self.local.mkdir()
        port, self._ui = _free_port(), _free_port()
        self.url = f"spark://127.0.0.1:{port}"
        self.nodes: dict[str, Node] = {}
        self._master_command = f"master.Master --host 127.0.0.1 --port {port} --webui-port {self._ui}"
        self._master: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the Master, then the Workers."""
        self._master = self._start("master", self._master_command)
        wait_until(lambda: self._state() is not None, "the Master")
        for name in self.hosts:
            self.nodes[name] = self._start_node(name)
        wait_until(lambda: self.count_workers() == len(self.hosts), "the Workers")

    def count_workers(self) -> int:
        """Return how many Workers the Master knows and hears from."""
        return (self._state() or {}).get("aliveworkers", 0)

    def join(self, name: str, configuration: Path) -> None:
        """Start a Worker that has another configuration; wait for nothing."""
        self.nodes[name] = self._start_node(name, configuration)

    def log(self, name: str) -> str:
        """Return the log of a Worker, or of the ``master``."""
        return (self.folder / f"{name}.log").read_text()

    def disk(self, name: str) -> Path:
        """Return where a host's local disk is seen from outside of it."""
        return self.folder / name / "local"

    def replace(self, name: str) -> None:
        """Start a Worker in place of one that was killed, on an empty disk."""
        subprocess.run(["rm", "-rf", str(self.disk(name))], check=True)
        self.nodes[name] = self._start_node(name)
        wait_until(lambda: self.count_workers() >= len(self.hosts), "the new Worker")

    def submit(
        self,
        script: Path,
        *arguments: object,
        options: Sequence[object] = (),
        python: Path | str | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script by spark-submit, with this machine as the driver, and return what it wrote."""
        executors = ("--conf", f"spark.executor.extraJavaOptions={os.environ['SPARK_SUBMIT_OPTS']}")
        command = [BIN / "spark-submit", "--master", self.url, *executors, *options, script, *arguments]
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(python),
            timeout=timeout,
            check=False,
        )

    def environment(self, python: Path | str | None = None) -> dict[str, str]:
        """Return the variables of a driver whose executors run ``python``."""
        return {
            **_plain_environment(),
            "PYTHONPATH": str(ROOT),
            "PYSPARK_PYTHON": str(python or self.python),
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self.folder / "driver"),
            "SPARK_CONF_DIR": str(self.configuration or ROOT / "conf"),
        }

    @contextmanager
    def small_disk(self, name: str, kilobytes: int) -> Iterator[None]:
        """Give a host a small local disk; for applications that start meanwhile."""
        with self._mounted(name, self.local, f"size={kilobytes}k"):
            yield

    @contextmanager
    def without_interpreter(self) -> Iterator[None]:
        """Hide the Python of this machine from all hosts, unless it is the system's own."""
        base = Path(sys.base_prefix)
        with ExitStack() as stack:
            for name in self.nodes if base not in (Path("/usr"), Path("/usr/local")) else ():
                stack.enter_context(self._mounted(name, base, "size=64k"))
            yield

    @contextmanager
    def _mounted(self, name: str, path: Path, option: str) -> Iterator[None]:
        """Mount an empty disk over a path of a host."""
        self.nodes[name].run(f"mount -t tmpfs -o {option} tmpfs {shlex.quote(str(path))}")
        try:
            yield
        finally:
            self.nodes[name].run(f"umount -l {shlex.quote(str(path))}")

    def stop(self) -> None:
        """End all processes."""
        for node in self.nodes.values():
            node.kill()
        if self._master is not None:
            self._master.kill()
            self._master.wait()

    def _start_node(self, name: str, configuration: Path | None = None) -> Node:
        host = f"127.0.0.{2 + NODES.index(name)}"
        work = self.folder / name / "work"
        for path in (self.disk(name), work):
            path.mkdir(parents=True, exist_ok=True)
        before = (
            f"hostname {name}; mount --make-rprivate /; "
            f"mount --bind {shlex.quote(str(self.disk(name)))} {shlex.quote(str(self.local))}; "
        )
        settings = {"SPARK_LOCAL_IP": host, "SPARK_LOCAL_DIRS": str(self.local)}
        if configuration is not None:
            settings["SPARK_CONF_DIR"] = str(configuration)
        worker = self._start(name, f"worker.Worker --host {host} -c 1 -m 1g -d {work} {self.url}", before, settings)
        return Node(name, worker)

    def _start(
        self, name: str, daemon: str, before: str = "", settings: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        command = f"{before}exec {BIN / 'spark-class'} org.apache.spark.deploy.{daemon}"
        environment = {
            **_plain_environment(),
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_NO_DAEMONIZE": "1",
            **({} if self.configuration is None else {"SPARK_CONF_DIR": str(self.configuration)}),
            **(settings or {}),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                # It ends with the tests, however those end.
                ["setpriv", "--pdeathsig", "KILL", "unshare", "-u", "-m", "sh", "-ec", command],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def _state(self) -> dict[str, int] | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ui}/json/", timeout=5) as answer:
                state: dict[str, int] = json.load(answer)
                return state
        except OSError:
            return None


def _plain_environment() -> dict[str, str]:
    """Return this process's variables without those that would lead executors to this checkout."""
    options = os.environ["SPARK_SUBMIT_OPTS"]  # what the tests' JVMs have; see tests/conftest.py
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK_", "SPARK_", "PYTHON"))} | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "SPARK_SUBMIT_OPTS": options,
        "SPARK_DAEMON_JAVA_OPTS": options,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _descendants(pid: int) -> list[int]:
    """List all processes below one."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found
