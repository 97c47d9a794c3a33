"""Which run is read, what a listing says, and what pruning removes."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from gmm_spark.errors import ConfigurationError, ModelFileError, RunHeldError
from gmm_spark.storage.claims import take
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.manifest import MANIFEST, Manifest, list_files
from gmm_spark.storage.pruning import choose, remove
from gmm_spark.storage.runs import State, find_model, holds_runs, list_runs, require_output, require_run_id

FILES = LocalFiles()
NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


def complete(output: Path, run_id: str, minutes: int = 0) -> Path:
    """Write a complete run that ended so many minutes after noon."""
    run = output / f"run_id={run_id}"
    model = run / "attempt-1" / "model"
    model.mkdir(parents=True)
    (model / "part-0").write_text(run_id)
    take(FILES, str(run), "fit")
    listed = list_files(FILES, str(run), "attempt-1")
    ended = NOON + timedelta(minutes=minutes)
    FILES.create(str(run / MANIFEST), Manifest(run_id, "fit", ended, listed, "attempt-1/model").to_bytes())
    return run


def running(output: Path, run_id: str) -> Path:
    run = output / f"run_id={run_id}"
    take(FILES, str(run), "fit")
    (run / "attempt-1").mkdir()
    return run


def abandoned(output: Path, run_id: str) -> Path:
    run = running(output, run_id)
    claim = run / "_claim-1.json"
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "process": "1"}))
    return run


def failed(output: Path, run_id: str) -> Path:
    run = output / f"run_id={run_id}"
    take(FILES, str(run), "fit").give_up("DataError: no usable row")
    return run


def states(output: Path) -> dict[str, State]:
    return {run.id: run.state for run in list_runs(FILES, str(output))}


def test_the_run_that_ended_last_is_read_whatever_its_name(tmp_path: Path) -> None:
    complete(tmp_path, "b", 0)
    last = complete(tmp_path, "a", 5)
    abandoned(tmp_path, "c")
    assert find_model(FILES, f"{tmp_path}/") == (f"{last}/attempt-1/model", "a")


def test_a_run_can_be_named_by_its_directory(tmp_path: Path) -> None:
    named = complete(tmp_path, "old", 0)
    complete(tmp_path, "new", 5)
    assert find_model(FILES, str(named)) == (f"{named}/attempt-1/model", "old")
    assert find_model(FILES, f"{named}/").run_id == "old"


@pytest.mark.parametrize("change", ["contents", "surplus", "manifest", "format", "copy"])
def test_the_newest_run_is_not_passed_over_if_it_is_damaged(tmp_path: Path, change: str) -> None:
    complete(tmp_path, "old", 0)
    new = complete(tmp_path, "new", 5)
    manifest = new / MANIFEST
    if change == "contents":
        (new / "attempt-1" / "model" / "part-0").write_text("old")
    elif change == "surplus":
        (new / "attempt-1" / "model" / "part-1").write_text("")
    elif change == "manifest":
        manifest.write_bytes(manifest.read_bytes()[:-20])
    elif change == "format":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    else:
        shutil.copytree(new, tmp_path / "run_id=renamed")
        new = tmp_path / "run_id=renamed"
    with pytest.raises(
        ModelFileError, match=rf"run {new.name[7:]} .*is (damaged|foreign): .*name the directory of another"
    ):
        find_model(FILES, str(tmp_path))


def test_a_directory_without_a_complete_run_says_what_became_of_them(tmp_path: Path) -> None:
    failed(tmp_path, "a")
    run = running(tmp_path, "b")
    with pytest.raises(
        ModelFileError, match=r"no complete run \(a: failed, DataError: no usable row; b: running, fit on"
    ):
        find_model(FILES, str(tmp_path))
    with pytest.raises(ModelFileError, match="run b is not complete: running, fit on"):
        find_model(FILES, str(run))


def test_a_model_that_save_wrote_is_taken_as_it_is_until_a_run_beside_it_is_complete(tmp_path: Path) -> None:
    for name in ("metadata", "data"):
        (tmp_path / "saved" / name).mkdir(parents=True)
    saved = tmp_path / "saved"
    assert find_model(FILES, str(saved)) == (str(saved), None)
    require_output(FILES, "output.model", str(saved))
    failed(saved, "a")
    assert find_model(FILES, str(saved)) == (str(saved), None)
    complete(saved, "b")
    assert find_model(FILES, str(saved)).run_id == "b"


def test_what_is_no_run_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    assert find_model(FILES, str(tmp_path / "nothing")) == (str(tmp_path / "nothing"), None)
    assert find_model(FILES, "s3a://bucket/model") == ("s3a://bucket/model", None)
    (tmp_path / "run_id=5").mkdir()
    (tmp_path / "run_id=5" / "part-0.parquet").write_text("")  # a table with such a column
    assert find_model(FILES, str(tmp_path)).run_id is None
    assert list_runs(FILES, str(tmp_path)) == []
    assert not holds_runs(FILES, str(tmp_path))


def test_runs_are_told_from_what_is_none(tmp_path: Path) -> None:
    run = complete(tmp_path, "a")
    assert holds_runs(FILES, str(tmp_path))
    assert holds_runs(FILES, str(run))
    assert not holds_runs(FILES, str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "names", [["part-0.parquet"], ["metadata"], ["data", "metadata", "x"], ["run_id=a/b=c", "k=1"]]
)
def test_a_directory_of_something_else_is_refused_as_an_output(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "out" / name).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"output\.model: got .*, which holds something other than runs"):
        require_output(FILES, "output.model", str(tmp_path / "out"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"output\.model: got .*file', which is no directory of runs"):
        require_output(FILES, "output.model", str(tmp_path / "file"))


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".a", "-a", "a/b", "a b", "a=b", "a:b", "a" * 101, "é", "a\n", "../../x"]
)
def test_an_id_that_cannot_name_a_directory_everywhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs at most 100 letters"):
        require_run_id(text)


def everything(output: Path) -> None:
    """Runs of all states, and what is no run."""
    for minutes, name in enumerate(["c1", "c2", "c3"]):
        complete(output, name, minutes)
    failed(output, "failed")
    abandoned(output, "abandoned")
    running(output, "running")
    (complete(output, "cut", 9) / MANIFEST).write_text("{")
    later = complete(output, "later", 10) / MANIFEST
    later.write_text(json.dumps({**json.loads(later.read_text()), "format": 2}))
    shutil.rmtree(complete(output, "gone", 11) / "attempt-1")
    (output / "run_id=table").mkdir()
    (output / "notes").mkdir()


def test_a_listing_tells_the_state_of_every_run(tmp_path: Path) -> None:
    everything(tmp_path)
    assert states(tmp_path) == {
        **dict.fromkeys(("c1", "c2", "c3"), State.COMPLETE),
        **dict.fromkeys(("cut", "gone"), State.DAMAGED),
        "failed": State.FAILED,
        "abandoned": State.ABANDONED,
        "running": State.RUNNING,
        "later": State.FOREIGN,
    }


@pytest.mark.parametrize(("keep", "left"), [(1, {"c3"}), (2, {"c2", "c3"}), (9, {"c1", "c2", "c3"}), (0, {"c3"})])
def test_pruning_leaves_the_newest_the_living_and_what_is_no_run(tmp_path: Path, keep: int, left: set[str]) -> None:
    everything(tmp_path)
    for run in choose(list_runs(FILES, str(tmp_path)), keep):
        remove(FILES, run)
    assert states(tmp_path).keys() == left | {"running", "later"}
    assert {"run_id=table", "notes"} <= {path.name for path in tmp_path.iterdir()}


def test_a_run_that_was_taken_up_since_the_listing_is_not_removed(tmp_path: Path) -> None:
    run = abandoned(tmp_path, "a")
    listed = list_runs(FILES, str(tmp_path))
    follower = take(FILES, str(run), "fit")
    (run / "attempt-2").mkdir()
    with pytest.raises(RunHeldError):
        remove(FILES, listed[0])
    follower.require()
    assert (run / "attempt-2").is_dir()


def test_a_linked_directory_is_no_run(tmp_path: Path) -> None:
    elsewhere = complete(tmp_path / "elsewhere", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run_id=a").symlink_to(elsewhere)
    assert list_runs(FILES, str(tmp_path / "out")) == []
    assert find_model(FILES, str(tmp_path / "out")).run_id is None


def test_a_directory_that_cannot_be_read_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(tmp_path, "a")

    def refuse(self: LocalFiles, path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(LocalFiles, "walk", refuse)
    with pytest.raises(PermissionError):  # or pruning would remove it
        list_runs(FILES, str(tmp_path))
    with pytest.raises(ModelFileError, match=r"the runs in .* cannot be read: Permission denied"):
        find_model(FILES, str(tmp_path))
