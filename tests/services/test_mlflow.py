"""Mixtures in MLflow: logged to a server's database and loaded again, without pickle and without Spark.

MLflow takes seconds to import and to make its database, so all of this runs with the slow tests, on one database.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel, Mixture
from gmm_spark.errors import DataError, ModelFileError
from tests.tables import mixture, three_blobs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:mlflow.*"),
]
NAMES = ["a", "b", "c"]
ROWS = pd.DataFrame(three_blobs(400), columns=NAMES)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow with a database and a directory of artifacts of its own."""
    import mlflow

    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("mixtures", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("mixtures")
    yield mlflow
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def model(spark: SparkSession) -> GaussianMixtureModel:
    return GaussianMixture(inputCols=NAMES, k=3, nInit=1, maxIter=9, anomalyFraction=0.02).fit(
        spark.createDataFrame(ROWS)
    )


@pytest.fixture(scope="module")
def logged(tracking: Any, model: GaussianMixtureModel) -> Any:
    """The model, logged in a run and registered."""
    from gmm_spark.mlflow import log_model

    with tracking.start_run():
        return log_model(model, "flights", registered_model_name="flights")


def files_of(tracking: Any, uri: str) -> Path:
    return Path(tracking.artifacts.download_artifacts(uri))


def test_a_model_comes_back_from_the_registry_as_it_was(logged: Any, model: GaussianMixtureModel) -> None:
    from gmm_spark.mlflow import load_model

    for uri in (logged.model_uri, "models:/flights/1", f"runs:/{logged.run_id}/flights"):
        found = load_model(uri)
        assert isinstance(found, Mixture)
        for name in ("weights", "means", "covariances"):
            np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
        assert (found.feature_names, found.anomaly_fraction) == (NAMES, 0.02)
        assert found.threshold() == model.logDensityQuantile(0.02)


def test_nothing_that_is_logged_is_pickled(tracking: Any, logged: Any) -> None:
    folder = files_of(tracking, logged.model_uri)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {"", ".json", ".yaml", ".txt", ".parquet"}
    for path in files:
        assert path.suffix == ".parquet" or path.read_text(encoding="utf-8")
    assert (folder / "requirements.txt").read_text().splitlines()[-1].startswith("gmm-spark==")


def test_what_is_logged_is_a_directory_that_spark_reads_too(
    tracking: Any, logged: Any, model: GaussianMixtureModel, spark: SparkSession
) -> None:
    again = GaussianMixtureModel.load(str(files_of(tracking, logged.model_uri) / "data" / "model"))
    np.testing.assert_array_equal(again.covariances, model.covariances)
    assert (again.uid, again.getInputCols(), again.getMaxIter()) == (model.uid, NAMES, 9)
    assert again.trainingProfile.to_dict() == model.trainingProfile.to_dict()


def test_the_python_function_scores_pandas_as_the_mixture_does(tracking: Any, logged: Any) -> None:
    from gmm_spark.mlflow import load_model

    function = tracking.pyfunc.load_model(logged.model_uri)
    own = load_model(logged.model_uri)
    table = ROWS.iloc[::-1].assign(extra="x")[["extra", "c", "a", "b"]]
    found = function.predict(table)
    assert list(found.columns) == ["prediction", "probability", "log_density", "anomaly"]
    assert list(found.index) == list(table.index)
    np.testing.assert_array_equal(found["prediction"], own.predict(ROWS)[::-1])
    np.testing.assert_array_equal(np.stack(found["probability"].tolist()), own.predict_proba(ROWS)[::-1])
    np.testing.assert_array_equal(found["log_density"], own.log_density(ROWS)[::-1])
    np.testing.assert_array_equal(found["anomaly"], own.is_anomaly(ROWS)[::-1])
    assert found["anomaly"].any()


def test_the_python_function_scores_a_batch_once(logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmm_spark.core.kernels.scorer import Scorer
    from gmm_spark.mlflow import MixtureFunction, load_model

    sizes, score = [], Scorer.score

    def count(scorer: Scorer, rows: Any, **wanted: bool) -> Any:
        sizes.append(rows.shape)
        return score(scorer, rows, **wanted)

    monkeypatch.setattr(Scorer, "score", count)
    MixtureFunction(load_model(logged.model_uri)).predict(ROWS)
    assert sizes == [(3, 400)]


def test_the_signature_names_the_columns_and_refuses_tables_without_them(tracking: Any, logged: Any) -> None:
    function = tracking.pyfunc.load_model(logged.model_uri)
    schema = function.metadata.signature
    assert schema.inputs.input_names() == NAMES
    assert schema.outputs.input_names() == ["prediction", "probability", "log_density", "anomaly"]
    with pytest.raises(tracking.exceptions.MlflowException, match="missing inputs"):
        function.predict(ROWS[["a", "b"]])


def test_the_example_is_the_heaviest_components_and_can_be_scored(tracking: Any, logged: Any) -> None:
    function = tracking.pyfunc.load_model(logged.model_uri)
    example = function.input_example
    assert list(example.columns) == NAMES
    found = function.predict(example)
    np.testing.assert_array_equal(found["prediction"], np.argsort(-function.get_raw_model().weights)[:2])


def test_a_mixture_without_names_takes_arrays(tracking: Any, tmp_path: Path) -> None:
    from gmm_spark.mlflow import load_model, save_model

    parameters = mixture("diag")
    save_model(Mixture(parameters), tmp_path / "saved")
    function = tracking.pyfunc.load_model(str(tmp_path / "saved"))
    rows = np.random.default_rng(0).normal(size=(5, 2))
    found = function.predict(rows)
    assert list(found.columns) == ["prediction", "probability", "log_density"]  # anomalies are not known
    np.testing.assert_array_equal(found["prediction"], Mixture(parameters).predict(rows))
    np.testing.assert_array_equal(load_model(str(tmp_path / "saved")).means, parameters.means)


def test_a_bad_row_is_an_error_that_names_it(tracking: Any, logged: Any) -> None:
    table = ROWS.head(2).copy()
    table.loc[table.index[0], "b"] = np.nan
    with pytest.raises(DataError, match="b"):
        tracking.pyfunc.load_model(logged.model_uri).predict(table)


def test_a_model_of_another_flavor_is_refused(tracking: Any, tmp_path: Path) -> None:
    from gmm_spark.mlflow import load_model

    (tmp_path / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
    with pytest.raises(ModelFileError, match=r"is a model of sklearn; need one that gmm_spark.mlflow.log_model"):
        load_model(str(tmp_path))


def test_loading_needs_neither_spark_nor_pickle(tracking: Any, logged: Any, tmp_path: Path) -> None:
    folder = files_of(tracking, logged.model_uri)
    # In a process of its own, in which pyspark cannot be imported and pickle cannot be read.
    code = (
        "import pickle, sys\n"
        "sys.modules['pyspark'] = None\n"
        "def refuse(*a, **k): raise AssertionError('unpickled')\n"
        "import gmm_spark.mlflow, mlflow.pyfunc\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refuse\n"
        "import pandas as pd\n"
        f"rows = pd.DataFrame({ROWS.head(3).to_dict('list')!r})\n"
        f"print(gmm_spark.mlflow.load_model({str(folder)!r}).predict(rows).tolist())\n"
        f"print(mlflow.pyfunc.load_model({str(folder)!r}).predict(rows)['prediction'].tolist())\n"
        "wanted = {'sklearn.mixture', 'onnx', 'torch', 'gmm_spark.ml'} & sys.modules.keys()\n"
        "print(sorted(wanted))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, imported = done.stdout.splitlines()
    assert first == second == str(Mixture.load(folder / "data" / "model").predict(ROWS.head(3)).tolist())
    assert imported == "[]"


def test_a_missing_mlflow_is_named_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        "try:\n    import gmm_spark.mlflow\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.startswith("MissingExtraError gmm_spark.mlflow needs mlflow, which cannot be imported (")
    assert said.endswith("): run pip install 'gmm-spark[mlflow]'\n")
