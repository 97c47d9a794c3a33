"""The same code over Spark Connect: the client has no SparkContext, no RDD and no JVM."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.programs import outcome_of

pytestmark = pytest.mark.connect


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return outcome_of("fit_over_connect.py", str(tmp_path_factory.mktemp("model") / "m"))


def test_the_session_is_a_connect_client(outcome: dict[str, Any]) -> None:
    assert outcome["session"] == "pyspark.sql.connect.session"


def test_the_fit_reaches_the_known_likelihood(outcome: dict[str, Any]) -> None:
    assert outcome["log_likelihood"] == pytest.approx(-180.1855, abs=1e-3)  # iris, full, k=3


def test_a_saved_model_reads_back_bit_for_bit_and_can_be_overwritten(outcome: dict[str, Any]) -> None:
    assert outcome["read_back"] is True


def test_a_selection_finds_its_starts_on_executors(outcome: dict[str, Any]) -> None:
    assert outcome["chosen"] == [2, "full"]  # iris, by BIC, as scikit-learn


def test_scoring_sampling_and_pipelines_work(outcome: dict[str, Any]) -> None:
    assert outcome["scored"] == ["a", "b", "c", "d", "probability", "prediction", "density", "odd"]
    assert outcome["scored_rows"] == 150
    assert abs(outcome["anomalies"] - 15) <= 1
    assert outcome["anomalies_read_back"] == outcome["anomalies"]
    assert outcome["sampled_rows"] == 1000
    assert outcome["pipeline_rows"] == 150
