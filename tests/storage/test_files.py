"""Files of this machine: exclusive, whole, and never outside the directory that was named."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gmm_spark.errors import ConfigurationError
from gmm_spark.storage.files import LocalFiles

FILES = LocalFiles()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_of_many_writers_of_one_new_file_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"

    def write(number: int) -> bool:
        try:
            FILES.create(str(path), bytes([number]) * 1000)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(40)))
    assert sum(written) == 1
    assert path.read_bytes() == bytes([written.index(True)]) * 1000
    assert names(path.parent) == ["file"], "no partial file is left"


def test_a_file_is_replaced_whole_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("kept")
    path.symlink_to(victim)
    FILES.write_bytes(str(path), b"new")
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("kept", "new", False)
    with pytest.raises(FileExistsError):
        FILES.create(str(path), b"again")
    assert names(tmp_path) == ["file", "victim"]


@pytest.mark.parametrize("write", [FILES.write_bytes, FILES.create])
def test_a_link_planted_at_a_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[str, bytes], None]
) -> None:
    known = uuid.UUID(int=7)
    monkeypatch.setattr("gmm_spark.storage.files.uuid.uuid4", lambda: known)  # as if it could be guessed
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / f".report.json.{known.hex}").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(str(tmp_path / "report.json"), b"new")
    assert victim.read_text() == "kept"
    assert not (tmp_path / "report.json").exists()


def test_listings_leave_out_links_and_walks_also_what_spark_skips(tmp_path: Path) -> None:
    inner = tmp_path / "folder" / "inner"
    inner.mkdir(parents=True)
    for file in (inner / "a", inner / "_SUCCESS", inner / ".a.crc", tmp_path / "folder" / "b"):
        file.write_text("12345")
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    (inner / "link").symlink_to(inner / "a")
    listed = FILES.list_folder(str(tmp_path / "folder"))
    assert [(one.name, one.is_directory) for one in listed] == [("b", False), ("inner", True)]
    assert [(one.name, one.size) for one in FILES.walk(str(tmp_path / "folder"))] == [("b", 5), ("inner/a", 5)]
    assert FILES.checksum(str(inner / "a")) == hashlib.sha256(b"12345").hexdigest()


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("")
    (tmp_path / "link").symlink_to(kept)
    FILES.delete(str(tmp_path / "link"))
    FILES.delete(str(tmp_path / "nothing"))
    assert names(tmp_path) == ["kept"]
    assert names(kept) == ["file"]


def test_a_url_is_refused_without_a_session_that_can_resolve_it() -> None:
    with pytest.raises(ConfigurationError, match="over Spark Connect this can only be on the client's own disk"):
        FILES.exists("s3a://bucket/key")
