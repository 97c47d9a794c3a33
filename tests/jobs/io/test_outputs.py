"""Outputs are tried before the work: what cannot be written is refused, and nothing is left where they were tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.io.outputs import require_writable_file, require_writable_folder
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.hadoop import has_directories

FILES = LocalFiles()


class Recording(LocalFiles):
    """Files of this machine that keep the names of those that were created."""

    def __init__(self) -> None:
        self.created: list[str] = []

    def create(self, path: str, data: bytes) -> None:
        self.created.append(path)
        if "://" not in path:
            super().create(path, data)

    def exists(self, path: str) -> bool:
        return "://" not in path and super().exists(path)

    def delete(self, path: str) -> None:
        if "://" not in path:
            super().delete(path)


@pytest.mark.parametrize("place", ["there", "new/below/new"])
def test_trying_a_folder_or_a_file_leaves_nothing(tmp_path: Path, place: str) -> None:
    (tmp_path / "there").mkdir()
    files = Recording()
    require_writable_folder(files, "output.model", f"{tmp_path / place}/")
    require_writable_file(files, "output.report", f"{tmp_path / place}/r.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    tried = tmp_path / "there" if place == "there" else tmp_path
    assert [Path(one).parent for one in files.created] == [tried, tried]


def test_a_table_is_tried_beside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    files = Recording()
    require_writable_folder(files, "output.path", str(tmp_path / "table"), beside=True)
    assert [Path(one).parent for one in files.created] == [tmp_path]


def test_object_stores_are_tried_at_the_place_itself() -> None:
    files = Recording()
    require_writable_folder(files, "output.model", "s3a://bucket/models/a")
    (tried,) = files.created
    assert tried.startswith("s3a://bucket/models/a/.")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("/data/m", True), ("file:/data/m", True), ("hdfs://name/m", True), ("s3a://b/m", False), ("gs://b/m", False)],
)
def test_which_file_systems_have_directories(name: str, expected: bool) -> None:
    assert has_directories(name) is expected


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in ("/proc/no/m", str(tmp_path / "file" / "m")):
        with pytest.raises(ConfigurationError, match=r"output\.model: got .*, which cannot be written: "):
            require_writable_folder(FILES, "output.model", path)
    with pytest.raises(ConfigurationError, match="which is a directory; name a file"):
        require_writable_file(FILES, "output.report", str(tmp_path))


def test_names_without_a_folder_are_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require_writable_file(FILES, "output.report", "r.json")
    require_writable_folder(FILES, "output.model", "m")
    assert list(tmp_path.iterdir()) == []
