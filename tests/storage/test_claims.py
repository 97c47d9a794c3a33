"""One process holds a run. It is given up once it is known to have ended, or has given no sign of life for long."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmm_spark.errors import RunHeldError
from gmm_spark.storage import claims
from gmm_spark.storage.claims import GONE_SECONDS, Claim, look_at, take
from gmm_spark.storage.files import LocalFiles

FILES = LocalFiles()


@pytest.fixture
def run(tmp_path: Path) -> str:
    return str(tmp_path / "run_id=a")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def end_of_a_process() -> tuple[int, str]:
    """Return the number of a process that has ended, and when it was started."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = claims._identify_process(process.pid)
        assert started is not None
    return process.pid, started


def test_of_many_that_claim_a_run_one_holds_it(run: str) -> None:
    def try_to(_: int) -> Claim | None:
        try:
            return take(FILES, run, "fit")
        except RunHeldError:
            return None

    with ThreadPoolExecutor(8) as pool:
        held = [claim for claim in pool.map(try_to, range(24)) if claim is not None]
    assert [claim.number for claim in held] == [1]
    with pytest.raises(RunHeldError, match=r"run_id=a is held by a process that lives \(fit on .*, process \d+"):
        take(FILES, run, "fit")


def test_a_holder_of_this_machine_that_has_ended_is_followed_at_once(run: str) -> None:
    take(FILES, run, "fit")
    pid, started = end_of_a_process()
    edit(Path(run) / "_claim-1.json", pid=pid, process=started)
    assert take(FILES, run, "fit").number == 2


def test_a_number_that_another_process_has_by_now_is_not_taken_for_the_holder(run: str) -> None:
    take(FILES, run, "fit")
    edit(Path(run) / "_claim-1.json", process="1")  # the process lives, and was started at another time
    assert take(FILES, run, "fit").number == 2


def test_a_holder_of_another_machine_is_judged_by_its_signs_of_life(run: str) -> None:
    pid, started = end_of_a_process()
    claim = take(FILES, run, "fit")
    edit(Path(run) / "_claim-1.json", machine="elsewhere", pid=pid, process=started)
    with claim.kept_alive():
        now = time.time()
        assert look_at(FILES, run, now + GONE_SECONDS - 5).lives
        assert not look_at(FILES, run, now + GONE_SECONDS + 5).lives
        # By a clock that is wrong: it must not hold the run for ever.
        edit(Path(run) / "_life-1.json", at=now + 10 * GONE_SECONDS)
        assert not look_at(FILES, run, now).lives


def test_signs_of_life_go_on_during_the_work(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    life = Path(run) / "_life-1.json"
    with take(FILES, run, "fit").kept_alive():
        first = json.loads(life.read_text())["at"]
        deadline = time.monotonic() + 20
        while json.loads(life.read_text())["at"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_who_lost_a_claim_is_told_so_and_removes_only_what_is_its_own(run: str) -> None:
    slow = take(FILES, run, "fit")
    for number in (1, 2):
        (Path(run) / f"attempt-{number}").mkdir()
    slow.require()
    edit(Path(run) / "_claim-1.json", process="1")
    follower = take(FILES, run, "fit")
    follower.require()
    with pytest.raises(RunHeldError, match="was taken over by another process"):
        slow.require()
    slow.give_up("lost")
    assert [path.name for path in Path(run).glob("attempt-*")] == ["attempt-2"]
    follower.require()
    assert look_at(FILES, run).lives


def test_a_failure_is_told_and_the_run_is_free(run: str) -> None:
    take(FILES, run, "fit").give_up("DataError: no usable row")
    found = look_at(FILES, run)
    assert (found.lives, found.failed, found.about) == (False, True, "DataError: no usable row")
    assert take(FILES, run, "fit").number == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("job", "host", "machine", "pid", "process", "began", "at", "failure")


@settings(max_examples=60, deadline=None)
@given(
    claim=st.binary(max_size=60) | st.dictionaries(st.sampled_from(KEYS), JSON),
    life=st.dictionaries(st.sampled_from(KEYS), JSON),
)
def test_whatever_stands_in_a_claim_it_is_judged(
    tmp_path_factory: pytest.TempPathFactory, claim: bytes | dict, life: dict
) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "_claim-3.json").write_bytes(claim if isinstance(claim, bytes) else json.dumps(claim).encode())
    (run / "_life-3.json").write_text(json.dumps(life))
    found = look_at(FILES, str(run))
    assert found.number == 3
    assert len(found.about) < 1000
