"""Saved models read without Spark: by a process that cannot import it, from plain folders and from runs."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gmm_spark import Mixture
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import GmmSparkError, ModelFileError, ParameterError
from gmm_spark.storage import models
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.manifest import MANIFEST, Manifest, list_files
from tests.local.test_mixture import NAMES, mixture_of

WITHOUT_SPARK = """
import importlib.abc, sys

class NoSpark(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyspark", "py4j", "pandas"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NoSpark())
import gmm_spark
mixture = gmm_spark.Mixture.load(sys.argv[1])
print(mixture.predict([[0.0, 0.0, 0.0]])[0], mixture.log_density({name: 1.0 for name in mixture.feature_names}))
loaded = {"pyspark", "py4j", "pandas", "pydantic", "sklearn"} & sys.modules.keys()
assert not loaded, loaded
try:
    gmm_spark.GaussianMixture
except ImportError:
    print("and no Spark")
"""


def write(path: Path, parameters: MixtureParameters, edit: dict[str, object] | None = None) -> Path:
    """Write the files of a model as Spark does."""
    (path / "metadata").mkdir(parents=True)
    (path / "data").mkdir()
    known = mixture_of(parameters.covariance_type)
    metadata = {
        "class": models.MODEL_CLASS,
        "formatVersion": 1,
        "covarianceType": parameters.covariance_type,
        "featureNames": NAMES,
        "logDensities": known.log_densities.to_dict(),
        "trainingProfile": None,
        "paramMap": {"inputCols": NAMES, "seed": 5},
        "defaultParamMap": {"handleInvalid": "keep", "anomalyFraction": 0.25, "featuresCol": "features"},
    }
    (path / "metadata" / "part-00000").write_text(json.dumps(metadata | (edit or {})) + "\n")
    pq.write_table(models.to_table(parameters), path / "data" / "part-00000.snappy.parquet")
    for folder in ("metadata", "data"):
        (path / folder / "_SUCCESS").touch()
        (path / folder / ".part-00000.crc").write_bytes(b"crc")
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return write(tmp_path / "model", mixture_of().parameters)


def publish(output: Path, run_id: str, day: int, covariance_type: str = "diag") -> Path:
    """Write a complete run with a model, as the job fit does."""
    run = output / f"run_id={run_id}"
    write(run / "attempt-1" / "model", mixture_of(covariance_type).parameters)
    listed = list_files(LocalFiles(), str(run), "attempt-1/model")
    finished = datetime(2026, 1, day, tzinfo=timezone.utc)
    (run / MANIFEST).write_bytes(Manifest(run_id, "fit", finished, listed, "attempt-1/model").to_bytes())
    return run


def test_a_model_is_read_and_scores_where_there_is_no_spark(saved: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAVA_HOME": "/nowhere", "PATH": "/nowhere"}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_SPARK, saved], env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    mixture = mixture_of()
    expected = mixture.predict([[0.0, 0.0, 0.0]])[0], mixture.log_density([1.0, 1.0, 1.0])
    assert found.stdout == f"{expected[0]} {expected[1]}\nand no Spark\n"


def test_all_that_a_model_was_saved_with_comes_back(tmp_path: Path, covariance_type: str) -> None:
    parameters = mixture_of(covariance_type, k=11).parameters
    loaded = Mixture.load(write(tmp_path / "model", parameters))
    for name in ("weights", "means", "covariances"):
        assert getattr(loaded, name).tobytes() == getattr(parameters, name).tobytes(), name
    assert loaded.parameters.covariance_type == covariance_type
    assert (loaded.feature_names, loaded.handle_invalid, loaded.anomaly_fraction, loaded.seed) == (
        NAMES,
        "keep",
        0.25,
        5,
    )
    assert loaded.log_densities.to_dict() == mixture_of(covariance_type).log_densities.to_dict()
    assert Mixture.load(str(tmp_path / "model") + "/", handle_invalid="error").handle_invalid == "error"
    assert Mixture.load(f"file://{tmp_path}/model").weights.tobytes() == parameters.weights.tobytes()


def test_columns_that_the_model_read_last_are_those_that_are_picked(tmp_path: Path) -> None:
    columns = ["a", "b", "c"]
    loaded = Mixture.load(write(tmp_path / "model", mixture_of().parameters, {"paramMap": {"inputCols": columns}}))
    assert loaded.feature_names == columns
    unnamed = Mixture.load(write(tmp_path / "other", mixture_of().parameters, {"paramMap": {"featuresCol": "f"}}))
    assert unnamed.feature_names == NAMES
    rows = np.ones((2, 3))
    np.testing.assert_array_equal(unnamed.predict(pa.table({"f": rows.tolist()})), unnamed.predict(rows))


def test_of_several_runs_the_newest_complete_one_is_read(tmp_path: Path) -> None:
    publish(tmp_path, "b", 1)
    named = publish(tmp_path, "a", 2, "tied")
    (tmp_path / "run_id=z").mkdir()  # at work, or ended without a word
    (tmp_path / "run_id=z" / "_claim-1.json").write_text("{}")
    assert Mixture.load(tmp_path).parameters.covariance_type == "tied"
    assert Mixture.load(named).parameters.covariance_type == "tied"
    assert Mixture.load(tmp_path / "run_id=b").parameters.covariance_type == "diag"


def test_a_run_whose_newest_model_was_changed_is_refused_and_no_older_one_is_taken(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    newest = publish(tmp_path, "b", 2)
    file = newest / "attempt-1" / "model" / "metadata" / "part-00000"
    file.write_text(file.read_text().replace("keep", "skip"))
    with pytest.raises(ModelFileError, match=r"run b .* is damaged: the contents of attempt-1/model/metadata"):
        Mixture.load(tmp_path)
    file.unlink()
    with pytest.raises(ModelFileError, match="is missing"):
        Mixture.load(tmp_path)


def test_runs_of_which_none_is_complete_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run_id=a").mkdir()
    (tmp_path / "run_id=a" / "_claim-1.json").write_text("{}")
    with pytest.raises(ModelFileError, match="has no complete run"):
        Mixture.load(tmp_path)


def test_a_model_behind_links_and_in_a_compressed_file_is_read(saved: Path, tmp_path: Path) -> None:
    file = saved / "metadata" / "part-00000"
    (saved / "metadata" / "part-00000.txt.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    shutil.move(saved / "data" / "part-00000.snappy.parquet", tmp_path / "blob")
    (saved / "data" / "part-00000.snappy.parquet").symlink_to(tmp_path / "blob")
    (tmp_path / "latest").symlink_to(saved)
    assert Mixture.load(tmp_path / "latest").feature_names == NAMES


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/nowhere/at/all", ModelFileError, "no model at /nowhere/at/all: .*give the folder that save"),
        ("s3a://bucket/model", ParameterError, r"no path of this machine; .*GaussianMixtureModel.load\(path\).local"),
        ("", ParameterError, "need the path of a saved model"),
        (None, ParameterError, "need the path of a saved model"),
        ("nul\0byte", ModelFileError, "no model at"),
        (__file__, ModelFileError, "no model at"),
    ],
)
def test_a_path_without_a_model_is_refused(path: Any, error: type[GmmSparkError], said: str) -> None:
    with pytest.raises(error, match=said):
        Mixture.load(path)


@pytest.mark.parametrize(
    "edit",
    [
        {"paramMap": {"inputCols": ["a"]}},
        {"paramMap": {"inputCols": "abc"}},
        {"paramMap": {"inputCols": [1, 2, 3]}},
        {"paramMap": {"handleInvalid": ["x" * 10**6]}},
        {"paramMap": {"handleInvalid": "x" * 10**6}},
        {"paramMap": {"anomalyFraction": "half"}},
        {"paramMap": {"anomalyFraction": 7}},
        {"paramMap": {"featuresCol": 3, "inputCols": None}},
        {"paramMap": {"seed": "x" * 10**6}},
        {"paramMap": None},
        {"paramMap": ["x" * 10**6] * 3},
        {"defaultParamMap": 3},
        {"featureNames": ["x" * 10**6] * 2},
        {"featureNames": {"a": 1}},
        {"covarianceType": "x" * 10**6},
        {"covarianceType": ["full"]},
        {"logDensities": ["x" * 10**6]},
        {"trainingProfile": "x" * 10**6},
        {"formatVersion": "x" * 10**6},
        {"class": "x" * 10**6},
    ],
    ids=lambda edit: str(edit)[:60],
)
def test_metadata_that_nobody_saved_are_refused_in_few_words(tmp_path: Path, edit: dict[str, object]) -> None:
    path = write(tmp_path / "model", mixture_of().parameters, edit)
    with pytest.raises(ModelFileError) as raised:
        Mixture.load(path)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 1500


def test_data_of_a_size_that_no_mixture_has_are_not_decoded(saved: Path) -> None:
    (file,) = saved.glob("data/*.parquet")
    long = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros((1 << 20) + 1)), 1)
    table = pa.table(
        {"component": np.arange(len(long)), "weight": np.zeros(len(long)), "mean": long, "covariance": long}
    )
    pq.write_table(table, file)
    with pytest.raises(ModelFileError, match="damaged: data has 1,048,577 rows"):
        Mixture.load(saved)


def test_metadata_that_are_too_long_are_not_read_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmm_spark.local.files.LONGEST", 100)
    with pytest.raises(ModelFileError, match="more than 100 characters"):
        Mixture.load(saved)
