"""Whatever the files of a model hold, loading ends in a sound model or in a short ModelFileError."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession

from gmm_spark import GaussianMixtureModel
from gmm_spark.errors import ModelFileError
from gmm_spark.ml import persistence
from gmm_spark.ml.model import GaussianMixtureModel as Model
from tests.core.drift.profiles import draw, profile_of
from tests.ml.test_persistence import log_densities
from tests.tables import mixture

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def pristine(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One saved model of two features, with all that a model can have."""
    path = tmp_path_factory.mktemp("models") / "pristine"
    GaussianMixtureModel(mixture("full"), ["a", "b"], log_densities(), profile_of(draw(50, seed=1))).save(str(path))
    return path


def require_sound(model: GaussianMixtureModel) -> None:
    """Check that a model that was loaded can be one, whatever its files hold."""
    k, d = model.means.shape
    assert model.weights.min() >= 0
    np.testing.assert_allclose(model.weights.sum(), 1, atol=1e-5)
    assert np.isfinite(model.means).all()
    assert np.isfinite(model.parameters.precisions_cholesky).all()
    assert model.covariances.shape == (k, d, d)
    np.testing.assert_allclose(model.covariances, np.swapaxes(model.covariances, 1, 2), rtol=1e-6)
    names = model.featureNames
    assert names is None or (len(names) == d and all(isinstance(name, str) for name in names))
    for param in model.params:
        if model.isDefined(param):
            assert isinstance(model.getOrDefault(param), (str, int, float, bool, list)), param.name
    if model.trainingProfile is not None:
        model.trainingProfile.require_fits(k, d)


def load(read: Callable[[], GaussianMixtureModel]) -> str:
    """Load a model; return the message that refuses it, or an empty text."""
    try:
        require_sound(read())
        said = ""
    except ModelFileError as error:
        said = str(error)
    assert len(said) < 1_500
    assert "\n" not in said
    return said


# What the files hold once Spark has read them


@pytest.fixture(scope="module")
def stored(spark: SparkSession, pristine: Path) -> Iterator[Callable[[Any, list[Any]], str]]:
    """Load a model from metadata and rows that are given: Spark reads nothing, so that there may be many."""
    data = spark.read.parquet(str(pristine / "data"))
    session: Any = SimpleNamespace(read=SimpleNamespace(parquet=lambda path: data))
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persistence, "files_of", lambda spark: None)
        patch.setattr(persistence, "find_model", lambda files, path: SimpleNamespace(path=path))
        patch.setattr(persistence, "read_metadata", lambda *_: given["metadata"])
        patch.setattr(persistence, "collect", lambda rows: given["rows"])

        def read(metadata: Any, rows: list[Any]) -> str:
            given.update(metadata=metadata, rows=rows)
            return load(lambda: persistence.ModelReader(Model).session(session).load("model"))

        yield read


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("x" * 2_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("covarianceType", "featureNames", "logDensities", "trainingProfile", "uid", "paramMap")
INNER = ("ceiling", "bins", "weights", "rows", "shares", "means", "quartiles", "k", "anomalyFraction", "predictionCol")


def edit_somewhere(metadata: dict[str, Any], key: str, inner: str | None, value: Any) -> None:
    """Put a value, or nothing, in a place of the metadata."""
    if inner is None or not isinstance(metadata.get(key), dict):
        metadata[key] = value
    else:
        metadata[key][inner] = value


EDITS = st.lists(
    st.tuples(st.sampled_from((*KEYS, "defaultParamMap")), st.none() | st.sampled_from(INNER), VALUES), max_size=3
)
NUMBERS = st.sampled_from([0.0, -1.0, 1.0, NAN, INF, -INF, 1e308, 5e-324, None, "x", []]) | st.floats(-2, 2)
PLACES = st.tuples(st.integers(0, 2), st.sampled_from(["component", "weight", "mean", "covariance"]), st.integers(0, 3))


def edit_row(rows: list[dict[str, Any]], place: tuple[int, str, int], number: Any) -> None:
    """Put a number in a place of the rows."""
    row, column, at = rows[place[0]], place[1], place[2]
    if isinstance(row[column], list):
        row[column][at % len(row[column])] = number
    else:
        row[column] = number


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(EDITS, st.lists(st.tuples(PLACES, NUMBERS), max_size=2))
def test_any_metadata_and_any_numbers_end_in_a_sound_model_or_a_short_error(
    pristine: Path,
    stored: Callable[[Any, list[Any]], str],
    edits: list[tuple[str, str | None, Any]],
    numbers: list[tuple[tuple[int, str, int], Any]],
) -> None:
    (file,) = pristine.glob("metadata/part-*")
    metadata = json.loads(file.read_text())
    rows = pq.read_table(pristine / "data").to_pylist()
    for edit in edits:
        edit_somewhere(metadata, *edit)
    for place, number in numbers:
        edit_row(rows, place, number)
    stored(metadata, [Row(**row) for row in rows])


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([("featureNames", None, [1, None])], "feature"),
        ([("featureNames", None, ["x" * 100_000])], "feature"),
        ([("paramMap", "predictionCol", [1])], "predictionCol"),
        ([("paramMap", "x" * 100_000, 1)], "damaged"),
        ([("defaultParamMap", "anomalyFraction", "x")], "anomalyFraction"),
        ([("covarianceType", None, ["full"])], "damaged"),
        ([("logDensities", "bins", [10**30])], "damaged"),
        ([("trainingProfile", "rows", 10**400)], "damaged"),
    ],
)
def test_metadata_that_cannot_be_a_models_is_refused(
    pristine: Path, stored: Callable[[Any, list[Any]], str], edits: list[tuple[str, str | None, Any]], message: str
) -> None:
    (file,) = pristine.glob("metadata/part-*")
    metadata = json.loads(file.read_text())
    for edit in edits:
        edit_somewhere(metadata, *edit)
    rows = [Row(**row) for row in pq.read_table(pristine / "data").to_pylist()]
    assert message in stored(metadata, rows)


# Files that Spark reads


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 2):
        data[at] ^= 0xFF
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(3_000))


def a_foreign_table(path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "name": ["a", "b"]}), path)


def text_for_numbers(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "weight", pa.array(["a", "b", "c"])), path)


def weights_below_zero(path: Path) -> None:
    pq.write_table(pq.read_table(path).set_column(1, "weight", pa.array([-0.5, 0.5, 1.0])), path)


def an_asymmetric_covariance(path: Path) -> None:
    pq.write_table(pq.read_table(path).set_column(3, "covariance", pa.array([[2.0, 0.5, -0.5, 2.0]] * 3)), path)


def an_indefinite_covariance(path: Path) -> None:
    pq.write_table(pq.read_table(path).set_column(3, "covariance", pa.array([[1.0, 2.0, 2.0, 1.0]] * 3)), path)


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        flip,
        empty,
        noise,
        a_foreign_table,
        text_for_numbers,
        weights_below_zero,
        an_asymmetric_covariance,
        an_indefinite_covariance,
    ],
)
def test_a_data_file_of_another_kind_is_refused(pristine: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    shutil.copytree(pristine, tmp_path / "model")
    (file,) = (tmp_path / "model").glob("data/part-*")
    for checksum in (tmp_path / "model").glob("data/.*.crc"):
        checksum.unlink()
    spoil(file)
    assert "damaged" in load(lambda: GaussianMixtureModel.load(str(tmp_path / "model")))
