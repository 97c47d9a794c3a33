"""Block files of dead applications go; those of living ones, and whatever cannot be judged, stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gmm_spark.spark.packing.leftovers import OWNER, Owner, _read_place, _read_process, remove_leftovers

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


@pytest.fixture
def owner(process: subprocess.Popen[bytes]) -> Owner:
    host = os.uname().nodename
    return Owner("app-1", host, *_read_place(), process.pid, _read_process(process.pid)[3])


@pytest.fixture
def leave(tmp_path: Path) -> Callable[..., Path]:
    """Lay out a local directory as an executor leaves it, and return its block file."""

    def leave(name: str, owner: Owner | str | None) -> Path:
        directory = tmp_path / name
        directory.mkdir(parents=True)
        (directory / "other").write_text("of Spark")
        if owner is not None:
            (directory / OWNER).write_text(owner if isinstance(owner, str) else json.dumps(asdict(owner)))
        (directory / "gmm-1-2-3.blocks").write_text("rows")
        return directory / "gmm-1-2-3.blocks"

    return leave


@pytest.mark.parametrize("name", ["blockmgr-1", "spark-1/blockmgr-1", "spark-1/executor-1/blockmgr-1"])
def test_blocks_go_once_their_process_is_killed_and_not_before(
    process: subprocess.Popen[bytes], owner: Owner, leave: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    blocks = leave(name, owner)
    assert not remove_leftovers(tmp_path)
    assert blocks.exists()
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie until its parent asks for it
    assert remove_leftovers(tmp_path) == [blocks.parent]
    assert not blocks.exists()
    assert (blocks.parent / "other").exists(), "a shuffle service may serve files of executors that are gone"


def test_on_a_local_master_the_whole_directory_goes(owner: Owner, leave: Callable[..., Path], tmp_path: Path) -> None:
    blocks = leave("blockmgr-1", replace(owner, application="local-1", started=owner.started - 1))
    remove_leftovers(tmp_path)
    assert not blocks.parent.exists()


def test_a_process_that_has_the_same_number_is_another(owner: Owner) -> None:
    assert not owner.is_gone
    assert replace(owner, started=owner.started - 1).is_gone
    assert replace(owner, boot="before").is_gone
    assert not replace(owner, boot="before", host="another").is_gone
    assert not replace(owner, namespace="pid:[1]", started=0).is_gone


def test_blocks_of_a_dead_executor_stay_while_another_of_its_application_lives(
    owner: Owner, leave: Callable[..., Path], tmp_path: Path
) -> None:
    blocks = leave("blockmgr-1", replace(owner, started=0))  # on one host any task reads any file
    leave("blockmgr-2", owner)
    assert not remove_leftovers(tmp_path)
    assert blocks.exists()


@pytest.mark.parametrize("found", [None, "", "{}", "[1]", '{"pid": 1}', "\x00", "[" * 4000, "9" * 9999])
def test_what_names_no_owner_stays(leave: Callable[..., Path], tmp_path: Path, found: str | None) -> None:
    blocks = leave("blockmgr-1", found)
    assert not remove_leftovers(tmp_path)
    assert blocks.exists()


def test_links_are_not_followed(owner: Owner, leave: Callable[..., Path], tmp_path: Path) -> None:
    dead = replace(owner, started=0)
    blocks = leave("elsewhere", dead)
    (tmp_path / "blockmgr-1").symlink_to(blocks.parent)
    linked = leave("blockmgr-2", None)
    (linked.parent / OWNER).symlink_to(blocks.parent / OWNER)
    assert not remove_leftovers(tmp_path)
    assert blocks.exists()
    assert linked.exists()
