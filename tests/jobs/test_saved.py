"""A path that is no model's is refused by one sentence that names the key; no Spark is needed for that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gmm_spark import Mixture, MixtureParameters
from gmm_spark.errors import ModelFileError
from gmm_spark.jobs.saved import locate_model
from gmm_spark.storage.files import LocalFiles


def test_a_path_without_a_model_is_refused_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table" / "month=1").mkdir(parents=True)
    (tmp_path / "score.json").write_text("{}")
    for name, said in {
        "nowhere": "where there is nothing",
        "empty": "which holds no run and no saved model, but nothing",
        "table": "which holds no run and no saved model, but month=1",
        "score.json": "which is a file",
    }.items():
        with pytest.raises(ModelFileError) as raised:
            locate_model(LocalFiles(), "before", str(tmp_path / name))
        assert str(raised.value).startswith(f"before: got {str(tmp_path / name)!r}, {said}; name a directory of runs")


def test_a_saved_model_is_found_even_through_links(tmp_path: Path) -> None:
    Mixture(MixtureParameters([1.0], [[0.0]], np.ones(1), "spherical")).save(tmp_path / "model")
    assert locate_model(LocalFiles(), "path", f"{tmp_path}/model/").path == str(tmp_path / "model")
    (tmp_path / "linked").mkdir()
    for part in ("metadata", "data"):
        (tmp_path / "linked" / part).symlink_to(tmp_path / "model" / part)
    assert locate_model(LocalFiles(), "path", str(tmp_path / "linked")).run_id is None
