"""What a model, a summary and a selection say of themselves."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.ml.comparison import Selection, SelectionRow
from tests.report.pages import Page
from tests.report.subjects import HOSTILE, build_parameters

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def model(spark: SparkSession) -> GaussianMixtureModel:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(0.0, 1.0, (300, 2)), rng.normal(9.0, 2.0, (100, 2))])
    table = spark.createDataFrame(pd.DataFrame(rows, columns=["x", "<b>y</b>"]))
    return GaussianMixture(inputCols=["x", "<b>y</b>"], k=2).fit(table)


def test_a_model_lists_its_components_by_name(model: GaussianMixtureModel) -> None:
    found = model.describe()
    assert list(found) == ["weight", "rows", "mean of x", "sd of x", "mean of <b>y</b>", "sd of <b>y</b>"]
    assert found.index.name == "component"
    np.testing.assert_array_equal(found["weight"], model.weights)
    assert sorted(found["rows"]) == [100, 300]
    np.testing.assert_array_equal(found["mean of <b>y</b>"], model.means[:, 1])
    np.testing.assert_allclose(found["sd of x"] ** 2, model.covariances[:, 0, 0])


def test_a_summary_describes_the_fit(model: GaussianMixtureModel) -> None:
    summary = model.summary
    found = summary.describe()["value"]
    assert found["rows used"] == 400
    assert found["bic"] == summary.bic
    assert found["rows of component 0"] == summary.clusterSizes[0]
    assert repr(summary).startswith("GaussianMixtureSummary: k=2, 400 rows used, 0 skipped, converged after ")
    assert f"{summary.bic:.4f}"[:6] in summary._repr_html_().replace(",", "")


def test_a_selection_lists_the_best_first_and_failures_last() -> None:
    rows = (
        SelectionRow(1, "full", 5, bic=9.0, heldout=-3.0),
        SelectionRow(2, "full", 11, failure="too <few> rows"),
        SelectionRow(3, "full", 17, bic=7.0, heldout=-4.0),
    )
    assert Selection("bic", rows).describe()["k"].tolist() == [3, 1, 2]
    found = Selection("heldout", rows).describe()
    assert found["k"].tolist() == [1, 3, 2]
    assert found["difference"].tolist()[:2] == [0.0, -1.0]
    assert repr(Selection("bic", rows)) == "Selection: k=3 full is the best of 3 by bic, 1 failed"
    assert "too &lt;few&gt; rows" in Selection("bic", rows)._repr_html_()
    nothing = Selection("bic", rows[1:2])
    assert "none could be fitted" in repr(nothing)
    Page(nothing._repr_html_())


def test_a_notebook_shows_foreign_names_as_text(model: GaussianMixtureModel) -> None:
    for shown in (model._repr_html_(), model.summary._repr_html_()):
        page: HTMLParser = Page(shown)
        assert "b" not in page.tags  # type: ignore[attr-defined]
    hostile = GaussianMixtureModel(build_parameters(2, 5), HOSTILE)
    page = Page(hostile._repr_html_())
    assert "script" not in page.tags
    assert HOSTILE[2] in page.text


def test_a_notebook_says_what_it_leaves_out_of_a_large_mixture() -> None:
    large = GaussianMixtureModel(build_parameters(30, 15, "diag"))
    page = Page(large._repr_html_())
    assert "20 of 30 components, 12 of 15 features" in page.text
    assert large.describe().shape == (30, 31)


def test_a_model_that_knows_no_rows_lists_none() -> None:
    model = GaussianMixtureModel(MixtureParameters([1.0], [[0.0]], [1.0], "spherical"))
    assert list(model.describe()) == ["weight", "mean of feature 0", "sd of feature 0"]
