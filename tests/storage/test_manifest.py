"""A manifest is read back as it was written; whatever else stands there ends in one of our errors, in few words."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmm_spark.errors import GmmSparkError, ModelFileError
from gmm_spark.storage.documents import LARGEST
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.manifest import (
    MANIFEST,
    ListedFile,
    Manifest,
    find_damage,
    list_files,
    read_manifest,
    require_inner_path,
)

FILES = LocalFiles()
NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


def write_run(run: Path, contents: str = "weights") -> Manifest:
    """Write a small run, and return its manifest."""
    data = run / "attempt-1" / "model" / "data"
    data.mkdir(parents=True)
    (data / "part-0.parquet").write_text(contents)
    (data / "_SUCCESS").write_text("")
    (run / "attempt-1" / "report.json").write_text("{}")
    listed = list_files(FILES, str(run), "attempt-1")
    facts = {"fit": {"k": 2, "lower_bound": float("nan")}}
    manifest = Manifest("a", "fit", NOON, listed, "attempt-1/model", "attempt-1/report.json", facts)
    FILES.create(str(run / MANIFEST), manifest.to_bytes())
    return manifest


def test_a_manifest_is_read_back(tmp_path: Path) -> None:
    manifest = write_run(tmp_path)
    read = read_manifest(FILES, str(tmp_path))
    assert [one.path for one in read.files] == ["attempt-1/model/data/part-0.parquet", "attempt-1/report.json"]
    assert read.files == manifest.files
    assert (read.run_id, read.job, read.finished, read.model) == ("a", "fit", NOON, "attempt-1/model")
    assert read.facts == {"fit": {"k": 2, "lower_bound": None}}
    assert find_damage(FILES, str(tmp_path), read) is None
    assert find_damage(FILES, str(tmp_path), read, "attempt-1/model") is None


@pytest.mark.parametrize(
    ("change", "by_size", "by_contents"),
    [
        ("changed", None, "the contents of attempt-1/model/data/part-0.parquet have changed"),
        ("longer", "part-0.parquet has 8 bytes, not 7", "part-0.parquet has 8 bytes, not 7"),
        ("missing", "part-0.parquet is missing", "part-0.parquet is missing"),
        ("link", "part-0.parquet is missing", "part-0.parquet is missing"),
        ("surplus", "part-1.parquet is not in its manifest", "part-1.parquet is not in its manifest"),
    ],
)
def test_a_run_that_differs_from_its_manifest_is_damaged(
    tmp_path: Path, change: str, by_size: str | None, by_contents: str
) -> None:
    manifest = write_run(tmp_path / "run")
    part = tmp_path / "run" / "attempt-1" / "model" / "data" / "part-0.parquet"
    (tmp_path / "outside").write_text("weights")
    if change == "changed":
        part.write_text("Weights")
    elif change == "longer":
        part.write_text("weights!")
    elif change == "surplus":
        part.with_name("part-1.parquet").write_text("weights")
    else:
        part.unlink()
        if change == "link":
            part.symlink_to(tmp_path / "outside")
    sizes = find_damage(FILES, str(tmp_path / "run"), manifest)
    assert (sizes is None) if by_size is None else by_size in sizes
    assert by_contents in find_damage(FILES, str(tmp_path / "run"), manifest, "attempt-1/model")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "_a/b",
        "a/.b",
        "file:/a",
        "a\\b",
        "a\n",
        "a" * 300,
        "a/" * 600 + "a",
    ],
)
def test_a_path_that_could_lead_out_of_a_run_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a file in a run"):
        require_inner_path(path)


def refuse(folder: Path, data: bytes) -> str:
    """Check that a manifest is refused in one short line, and return that."""
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(ModelFileError) as refused:
        read_manifest(FILES, str(folder))
    said = str(refused.value)
    assert len(said) < 300 + len(str(folder))
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a":' * 100_000, "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b'{"format": 1, "files": NaN}', "NaN is not JSON"),
        (b'{"format": ' + b"1" * 10_000 + b"}", "it is not JSON"),
        (b'"' + b"x" * 1_000_000 + b'"', "not a JSON object"),
        (b'{"format": 2}', "has format 2; this gmm_spark reads format 1"),
        (b'{"format": [[[]]]}', "has format a list"),
        (b'{"format": 1}', "'files' is None, not a list"),
        (b'{"format": 1, "files": ["' + b"x" * 1_000_000 + b'"]}', "a file is listed as"),
        (b" " * (LARGEST + 1), "more than"),
    ],
)
def test_what_is_no_manifest_is_refused_in_few_words(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in refuse(tmp_path, data)


def test_a_manifest_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    whole = (tmp_path / "run" / MANIFEST).read_bytes()
    for end in range(len(whole) - 2):  # without the last line break it is whole
        refuse(tmp_path, whole[:end])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
PATHS = st.text(st.sampled_from("ab/._:\\\n\0é"), max_size=12) | st.sampled_from(["../../secret", "/etc/passwd", "a/b"])
LISTED = st.fixed_dictionaries(
    {}, optional={"path": PATHS | VALUES, "size": st.integers() | VALUES, "sha256": st.just("0" * 64) | VALUES}
)
MANIFESTS = st.fixed_dictionaries(
    {"format": st.just(1) | VALUES},
    optional={
        "run_id": VALUES,
        "job": VALUES,
        "finished": st.datetimes().map(lambda time: time.isoformat() + "+00:00") | VALUES,
        "model": PATHS | VALUES,
        "report": PATHS | VALUES,
        "files": st.lists(LISTED | VALUES, max_size=3) | VALUES,
        "fit": VALUES,
    },
)


class Watched(LocalFiles):
    """Files that fail if a path leads out of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_bytes(self, path: str, limit: int) -> bytes:
        self._require(path)
        return super().read_bytes(path, limit)

    def walk(self, path: str) -> list[Any]:
        self._require(path)
        return super().walk(path)

    def checksum(self, path: str) -> str:
        self._require(path)
        return super().checksum(path)

    def _require(self, path: str) -> None:
        assert Path(path).resolve().is_relative_to(self._folder.resolve()), path


@settings(max_examples=150, deadline=None)
@given(found=MANIFESTS | st.binary(max_size=200))
def test_whatever_stands_in_a_manifest_ends_well_or_in_one_of_our_errors(
    tmp_path_factory: pytest.TempPathFactory, found: dict | bytes
) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / MANIFEST).write_bytes(found if isinstance(found, bytes) else json.dumps(found).encode())
    files = Watched(run)
    try:
        manifest = read_manifest(files, str(run))
        find_damage(files, str(run), manifest)
        if manifest.model is not None:
            find_damage(files, str(run), manifest, manifest.model)
        said = ""
    except GmmSparkError as error:
        said = str(error)
    assert len(said) < 400 + len(str(run))


def test_a_listed_file_twice_is_refused(tmp_path: Path) -> None:
    one = ListedFile("attempt-1/model/a", 1, "0" * 64)
    data = Manifest("a", "fit", NOON, (one, one), "attempt-1/model").to_bytes()
    assert "a file is listed twice" in refuse(tmp_path, data)
