"""Files by Hadoop's FileSystem do what those of Python do. Here both have the local disk to show it on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from gmm_spark.errors import RunHeldError
from gmm_spark.storage import hadoop
from gmm_spark.storage.claims import look_at, take
from gmm_spark.storage.files import Files, LocalFiles
from gmm_spark.storage.hadoop import HadoopFiles
from gmm_spark.storage.replacing import begin, complete, leave, name_workshop, plan


@pytest.fixture(params=["python", "java, by rename", "java, by put"])
def files(request: pytest.FixtureRequest, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Files of the session: of a local disk, of one that is taken for HDFS, and of one taken for an object store."""
    if request.param != "python":
        monkeypatch.setattr(hadoop, "_local_path", lambda *arguments: None)
        monkeypatch.setattr(hadoop, "_RENAMING", {"file"} if "rename" in request.param else set())
    return HadoopFiles(spark)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if not one.name.endswith(".crc"))


def test_every_operation_does_what_it_says(files: Files, tmp_path: Path) -> None:
    place = f"{tmp_path}/a [place] with % signs"
    files.create(f"{place}/x=1/first", b"first")
    with pytest.raises(FileExistsError):
        files.create(f"{place}/x=1/first", b"second")
    assert files.read_bytes(f"{place}/x=1/first", 100) == b"first"
    assert files.read_bytes(f"{place}/x=1/first", 2) == b"fir"
    assert files.checksum(f"{place}/x=1/first") == hashlib.sha256(b"first").hexdigest()
    files.write_bytes(f"{place}/x=1/first", b"replaced")
    files.write_bytes(f"{place}/x=1/_hidden", b"")
    files.write_bytes(f"{place}/_x=1/odd", b"1")
    assert names(Path(place) / "x=1") == ["_hidden", "first"], "nothing else is left"

    listed, expected = files.list_folder(place), LocalFiles().list_folder(place)
    assert [(one.name, one.is_directory) for one in listed] == [(one.name, one.is_directory) for one in expected]
    assert [(one.name, one.size) for one in files.walk(place)] == [("_x=1/odd", 1), ("x=1/first", 8)]
    (inner,) = (one for one in files.list_folder(f"{place}/x=1") if one.name == "first")
    assert inner.modified == pytest.approx((Path(place) / "x=1" / "first").stat().st_mtime, abs=1.1)

    files.move(f"{place}/x=1/first", f"{place}/y=2/z=3/moved")
    with pytest.raises(FileExistsError):
        files.move(f"{place}/_x=1/odd", f"{place}/y=2/z=3/moved")
    assert files.read_bytes(f"{place}/y=2/z=3/moved", 100) == b"replaced"
    files.delete_if_empty(f"{place}/y=2")
    assert files.exists(f"{place}/y=2/z=3/moved")
    files.delete(f"{place}/y=2/z=3/moved")
    files.delete(f"{place}/y=2/z=3/moved")
    files.delete(f"{place}/x=1")
    assert names(Path(place)) == ["_x=1", "y=2"]


@pytest.mark.parametrize("operation", ["list_folder", "walk", "checksum"])
def test_what_is_not_there_is_told_as_python_tells_it(files: Files, tmp_path: Path, operation: str) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        getattr(files, operation)(f"{tmp_path}/nothing")
    with pytest.raises(OSError, match="no-such-scheme"):
        getattr(files, operation)("no-such-scheme://nothing")


def test_claims_and_replacements_work_on_it(files: Files, tmp_path: Path) -> None:
    table = f"{tmp_path}/table"
    files.create(f"{table}/day=mon/old", b"a")
    files.create(f"{table}/day=tue/old", b"b")
    workshop = name_workshop(table)
    claim = take(files, workshop, "score")
    assert look_at(files, workshop).lives
    with pytest.raises(RunHeldError):
        take(files, workshop, "score")
    files.create(f"{workshop}/{claim.folder}/day=mon/new", b"c")
    begin(files, workshop, claim, plan(files, table, workshop, claim.folder, replace=True, run_id=""))
    assert complete(files, table, workshop)
    leave(files, workshop, claim)
    assert [one.name for one in files.walk(table)] == ["day=mon/new", "day=tue/old"]
    assert names(tmp_path) == ["table"]
