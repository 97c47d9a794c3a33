"""Files of a table's partitions are replaced by a journal: what it has begun is completed, wherever a process dies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmm_spark.errors import GmmSparkError, ModelFileError, ResourceError
from gmm_spark.storage.claims import Claim, take
from gmm_spark.storage.files import LocalFiles, is_hidden
from gmm_spark.storage.replacing import begin, complete, leave, name_workshop, plan

FILES = LocalFiles()
OLD = {"day=mon/old-0": "a", "day=mon/old-1": "b", "day=tue/old-0": "c"}
NEW = {"day=mon/new-0": "A", "day=wed/new-0": "D"}
REPLACED = {"day=mon/new-0": "A", "day=tue/old-0": "c", "day=wed/new-0": "D"}


class Killed(BaseException):
    """The process dies."""


class Dying(LocalFiles):
    """Files of a process that dies before its n-th change."""

    def __init__(self, changes: int) -> None:
        self._left = changes

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed

    def create(self, path: str, data: bytes) -> None:
        self._count()
        super().create(path, data)

    def write_bytes(self, path: str, data: bytes) -> None:
        self._count()
        super().write_bytes(path, data)

    def move(self, source: str, target: str) -> None:
        self._count()
        super().move(source, target)

    def delete(self, path: str) -> None:
        self._count()
        super().delete(path)


def write(folder: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read(table: Path) -> dict[str, str]:
    """Return the files that a reader of the table sees."""
    return {one.name: (table / one.name).read_text() for one in FILES.walk(str(table))}


def replace(
    files: LocalFiles,
    table: Path,
    new: dict[str, str],
    claim: Claim | None = None,
    keep: bool = False,
    run_id: str = "",
) -> None:
    """Do what a job does."""
    workshop = name_workshop(str(table))
    claim = claim or take(files, workshop, "score")
    complete(files, str(table), workshop)
    write(Path(workshop) / claim.folder, new)
    begin(files, workshop, claim, plan(files, str(table), workshop, claim.folder, replace=not keep, run_id=run_id))
    complete(files, str(table), workshop)
    leave(files, workshop, claim)


def give_up(table: Path) -> None:
    """Let the holder of the latest claim have ended."""
    for claim in Path(name_workshop(str(table))).glob("_claim-*.json"):
        claim.write_text(json.dumps({**json.loads(claim.read_text()), "process": "1"}))


def test_only_the_partitions_that_are_written_are_replaced_and_nothing_is_left_beside(tmp_path: Path) -> None:
    write(tmp_path / "table", OLD)
    replace(FILES, tmp_path / "table", NEW)
    assert read(tmp_path / "table") == REPLACED
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_without_partitions_all_files_are_replaced_and_hidden_ones_stay(tmp_path: Path) -> None:
    write(tmp_path / "table", {"old-0": "a", "old-1": "b", "_SUCCESS": ""})
    replace(FILES, tmp_path / "table", {"new-0": "A"})
    assert read(tmp_path / "table") == {"new-0": "A"}
    assert (tmp_path / "table" / "_SUCCESS").exists()


def test_files_can_be_added_and_partitions_may_begin_with_an_underscore(tmp_path: Path) -> None:
    write(tmp_path / "table", {"_day=mon/old": "a"})
    replace(FILES, tmp_path / "table", {"_day=mon/new": "A"}, keep=True)
    assert read(tmp_path / "table") == {"_day=mon/old": "a", "_day=mon/new": "A"}


def spark_name(write: int) -> str:
    """The end of a name that Spark gives a file: every write has an id of its own."""
    return f"00000-{write:08x}-4567-89ab-cdef-0123456789ab.c000.snappy.parquet"


def test_names_hold_the_run_and_what_the_same_run_has_added_before_goes(tmp_path: Path) -> None:
    table = tmp_path / "table"
    for write_number, run_id in enumerate(("a", "a-00000", "_b", "a")):
        new = {f"day=mon/part-{spark_name(write_number)}": str(write_number)}
        replace(FILES, table, new, keep=True, run_id=run_id)
    expected = {"a-00000": 1, "_b": 2, "a": 3}
    assert read(table) == {f"day=mon/part-{run_id}-{spark_name(n)}": str(n) for run_id, n in expected.items()}
    replace(FILES, table, {f"day=mon/part-{spark_name(4)}": "4"}, run_id="c")
    assert read(table) == {f"day=mon/part-c-{spark_name(4)}": "4"}


@pytest.mark.parametrize(
    ("name", "beside"), [("scored", "_scored.writing"), ("dt=2024-01-01", "_dt-2024-01-01.writing")]
)
def test_what_lies_beside_a_table_is_skipped_by_readers_of_the_folder(name: str, beside: str) -> None:
    assert name_workshop(f"a/b/{name}/") == f"a/b/{beside}"
    assert name_workshop(name) == beside
    assert is_hidden(beside)
    assert name_workshop(f"s3a://bucket/{name}") == f"s3a://bucket/{beside}"
    assert name_workshop("s3a://bucket/") == "s3a://bucket/_table.writing"


def test_wherever_a_process_dies_nothing_is_missing_and_the_next_completes_it(tmp_path: Path) -> None:
    ends = set()
    for changes in range(30):
        table = tmp_path / str(changes) / "table"
        write(table, OLD)
        try:
            replace(Dying(changes), table, NEW)
        except Killed:
            left = read(table)
            # New files arrive before old ones go: each partition is old, new, or both, and the other day is untouched.
            assert left["day=tue/old-0"] == "c"
            assert OLD.items() <= left.items() or NEW.items() <= left.items()
            give_up(table)
            begun = list(table.parent.glob("_table.writing/_journal-*"))
            ends.add("begun" if begun else "not begun" if left == OLD else "completed")
            workshop = name_workshop(str(table))
            claim = take(FILES, workshop, "score")
            assert complete(FILES, str(table), workshop) is bool(begun)
            leave(FILES, workshop, claim)
            assert read(table) == (REPLACED if begun or left != OLD else OLD)
            assert [path.name for path in table.parent.iterdir()] == ["table"]
        else:
            ends.add("whole")
    assert ends == {"not begun", "begun", "completed", "whole"}


def test_the_next_run_completes_an_earlier_one_before_its_own(tmp_path: Path) -> None:
    table = tmp_path / "table"
    write(table, OLD)
    for changes in (3, 4, 5):
        with pytest.raises(Killed):
            replace(Dying(changes), table, {"day=mon/half": "h", "day=tue/half": "h"})
        give_up(table)
    replace(FILES, table, NEW)
    assert read(table) == {"day=mon/new-0": "A", "day=tue/half": "h", "day=wed/new-0": "D"}


def test_more_files_than_a_journal_can_be_read_back_with_are_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "table", OLD)
    monkeypatch.setattr("gmm_spark.storage.replacing.LARGEST", 100)
    with pytest.raises(ResourceError, match="2 new files and 2 old ones are too many to replace at once"):
        replace(FILES, tmp_path / "table", NEW)
    assert read(tmp_path / "table") == OLD
    assert list(tmp_path.glob("_table.writing/_journal*")) == []


def test_a_new_file_that_is_nowhere_is_told_and_no_old_one_goes(tmp_path: Path) -> None:
    table = tmp_path / "table"
    write(table, OLD)
    workshop = name_workshop(str(table))
    claim = take(FILES, workshop, "score")
    write(Path(workshop) / claim.folder, NEW)
    begin(FILES, workshop, claim, plan(FILES, str(table), workshop, claim.folder, replace=True, run_id=""))
    (Path(workshop) / claim.folder / "day=mon" / "new-0").unlink()
    with pytest.raises(ModelFileError, match=r"_journal-1.json is damaged: day=mon/new-0 is neither there nor in"):
        complete(FILES, str(table), workshop)
    assert read(table) == OLD


def test_what_a_journal_needs_stays_if_the_next_process_cannot_complete_it_either(tmp_path: Path) -> None:
    class Full(LocalFiles):
        def move(self, source: str, target: str) -> None:
            raise OSError(28, "No space left on device")

    table = tmp_path / "table"
    write(table, OLD)
    with pytest.raises(Killed):
        replace(Dying(3), table, NEW)
    workshop = name_workshop(str(table))
    for _ in range(2):
        give_up(table)
        claim = take(FILES, workshop, "score")
        with pytest.raises(OSError, match="No space left"):
            complete(Full(), str(table), workshop)
        claim.give_up("failed")
        leave(FILES, workshop, claim)
    replace(FILES, table, {"day=tue/next": "n"})
    assert read(table) == {**NEW, "day=tue/next": "n"}
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_leaving_does_not_touch_a_process_that_followed(tmp_path: Path) -> None:
    workshop = name_workshop(str(tmp_path / "table"))
    slow = take(FILES, workshop, "score")
    give_up(tmp_path / "table")
    follower = take(FILES, workshop, "score")
    write(Path(workshop) / follower.folder, NEW)
    leave(FILES, workshop, slow)
    follower.require()
    assert read(Path(workshop) / follower.folder) == NEW


VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["../kept", "/etc", "a/../../kept"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(
    found=st.fixed_dictionaries(
        {"format": st.just(1) | VALUES},
        optional={"folder": st.just("attempt-1") | VALUES, "added": VALUES, "removed": VALUES},
    )
    | st.binary(max_size=50)
)
def test_whatever_stands_in_a_journal_nothing_outside_the_table_changes(
    tmp_path_factory: pytest.TempPathFactory, found: dict | bytes
) -> None:
    folder = tmp_path_factory.mktemp("place")
    write(folder, {"kept/file": "k", "table/part": "a", "_table.writing/attempt-1/part": "b"})
    journal = folder / "_table.writing" / "_journal-1.json"
    journal.write_bytes(found if isinstance(found, bytes) else json.dumps(found).encode())
    try:
        complete(FILES, str(folder / "table"), str(folder / "_table.writing"))
        said = ""
    except GmmSparkError as error:
        said = str(error)
    assert (folder / "kept" / "file").read_text() == "k"
    assert len(said) < 600 + 2 * len(str(folder))
