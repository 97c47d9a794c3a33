"""Pages about models in memory: of a fit in this process, of a model without one, of two."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.errors import ParameterError
from gmm_spark.report import write_comparison, write_report
from tests.report.pages import require_sound
from tests.tables import three_blobs

NAMES = ["x", "y", "a `b`.c"]


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(pd.DataFrame(three_blobs(600), columns=NAMES)).cache()


@pytest.fixture(scope="module")
def model(table: DataFrame) -> GaussianMixtureModel:
    selector = GaussianMixtureSelector(inputCols=NAMES, ks=[2, 3], seed=1, nInit=2, maxIter=30, portrait=True)
    return selector.fit(table)


def test_the_page_of_a_fit_tells_all_that_its_summary_knows(model: GaussianMixtureModel, tmp_path: Path) -> None:
    write_report(model, tmp_path / "page.html")
    page = require_sound((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "All 600 rows were used." in page.words
    assert "one pass over the table" not in page.words
    assert "2 mixtures tried, 0 of which could not be fitted." in page.words
    assert "that of the fit's sample" in page.words
    assert "maxIter 30 100" in page.words
    assert "model.save('models/mine')" in page.words
    for key in ("model.n_init", "model.max_iter", "model.tol", "`nInit`"):
        assert key not in page.words


def test_a_model_that_was_not_fitted_here_needs_a_table_for_pictures_and_rows(
    model: GaussianMixtureModel, table: DataFrame, tmp_path: Path
) -> None:
    bare = GaussianMixtureModel(model.parameters, NAMES).setReasonsCol("why")._set(inputCols=NAMES)
    write_report(bare, tmp_path / "page.html")
    page = require_sound((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Not judged" in page.words
    assert 'write_report(model, "page.html", table)' in page.words
    write_report(bare, tmp_path / "page.html", table, anomalies=4)
    page = require_sound((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "one pass over the table" not in page.words
    assert "The 4 least likely rows of the table" in page.words
    assert bare.getReasonsCol() == "why"
    assert bare.getHandleInvalid() == "error"


def test_two_models_in_memory_are_compared(model: GaussianMixtureModel, tmp_path: Path) -> None:
    write_comparison(model, model.copy(), tmp_path / "page.html")
    sections = ("verdict", "fitted", "components", "moves", "fit", "checks", "cost")
    assert " Alike " in require_sound((tmp_path / "page.html").read_text(encoding="utf-8"), sections).words


def test_what_cannot_be_written_is_refused_before_a_pass(
    model: GaussianMixtureModel, table: DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="is a folder; name a file in it"):
        write_report(model, tmp_path, table)
    with pytest.raises(ParameterError, match="a folder that is not there"):
        write_report(model, tmp_path / "none" / "page.html", table)
    with pytest.raises(ParameterError, match="anomalies=3 needs a table"):
        write_report(model, tmp_path / "page.html", anomalies=3)
    with pytest.raises(ParameterError, match="from 0 to 100"):
        write_report(model, tmp_path / "page.html", table, anomalies=101)
    assert not list(tmp_path.iterdir())
