"""The portrait of a run is the one that was written, or it is refused."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ModelFileError
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.manifest import Manifest, list_files
from gmm_spark.storage.portraits import PORTRAIT, read_portrait, write_portrait
from tests.examples import draw_rows, random_mixture


@pytest.fixture
def portrait(tmp_path: Path) -> Portrait:
    rng = np.random.default_rng(4)
    mixture = random_mixture("full", 3, 2, rng)
    portrait = Portrait.of(mixture, draw_rows(mixture, 400, rng)[0])
    (tmp_path / "attempt-1").mkdir()
    write_portrait(LocalFiles(), str(tmp_path / "attempt-1"), portrait)
    return portrait


def list_run(run: Path) -> Manifest:
    listed = list_files(LocalFiles(), str(run), "attempt-1")
    return Manifest("a", "fit", datetime.now(timezone.utc), listed, None, None, {})


def test_a_portrait_that_was_written_is_read(portrait: Portrait, tmp_path: Path) -> None:
    found = read_portrait(LocalFiles(), str(tmp_path), list_run(tmp_path))
    assert found is not None
    assert np.array_equal(found.pair_histograms, portrait.pair_histograms)
    assert np.array_equal(found.confusion, portrait.confusion)


def test_a_run_without_a_portrait_has_none(portrait: Portrait, tmp_path: Path) -> None:
    (tmp_path / "attempt-1" / PORTRAIT).unlink()
    (tmp_path / "attempt-1" / "other").write_text("")
    assert read_portrait(LocalFiles(), str(tmp_path), list_run(tmp_path)) is None


@pytest.mark.parametrize("change", ["changed", "gone", "of another kind"])
def test_a_portrait_that_is_not_what_the_manifest_says_is_refused(
    portrait: Portrait, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "attempt-1" / PORTRAIT
    if change == "of another kind":
        path.write_text('{"format": 1}')
    manifest = list_run(tmp_path)
    if change == "changed":
        path.write_bytes(path.read_bytes()[:-3] + b"1}\n")
    if change == "gone":
        path.unlink()
    with pytest.raises(ModelFileError, match=r"portrait\.json"):
        read_portrait(LocalFiles(), str(tmp_path), manifest)
