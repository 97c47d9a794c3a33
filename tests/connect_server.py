"""A Spark Connect server of its own for a run of tests: a process, as it is for a client on another machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Long enough for a busy machine; nothing waits so long unless it is broken.
PATIENCE = 120


@contextmanager
def connect_server(python: Path, settings: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Start a server on two local cores, yield its address, and end it.

    Parameters
    ----------
    python : Path
        Its Spark is the server, and it runs the workers. The client may be another, if its version is the same.
    settings : mapping of str to str
        Of Spark.
    folder : Path
        For the log.
    """
    python = python.absolute()  # the link of an environment, not what it points to
    look = [str(python), "-c", "import pyspark; print(pyspark.__path__[0])"]
    home = Path(subprocess.run(look, check=True, capture_output=True, text=True, cwd=folder).stdout.strip())
    port = _free_port()
    given = {
        **settings,
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.binding.address": "127.0.0.1",
    }
    options = [part for key, value in given.items() for part in ("--conf", f"{key}={value}")]
    server = ("--class", "org.apache.spark.sql.connect.service.SparkConnectServer")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYSPARK_")} | {
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": str(python),
        "PYTHONPATH": str(ROOT),  # tasks import what tests define
    }
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(home / "bin" / "spark-submit"), "--master", "local[2]", *server, *options, "spark-internal"],
            stdout=out,
            stderr=out,
            env=environment,
            cwd=folder,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            assert process.poll() is None, f"the server has ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"no server after {PATIENCE} s: {log.read_text()[-2000:]}"
            time.sleep(0.1)
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
