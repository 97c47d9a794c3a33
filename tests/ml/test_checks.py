"""Checks of a fit through Spark: what they are told, and whom they warn."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.checks.check import Check
from gmm_spark.core.checks.registry import run_checks
from gmm_spark.jobs.config.jobs import FitConfiguration, SelectConfiguration
from gmm_spark.jobs.config.parameter_keys import KEYS
from tests.core.checks.tables import FIRING, clusters
from tests.tables import array_table, scalar_table


def of_code(model: GaussianMixtureModel, code: str) -> list[Check]:
    return [check for check in model.summary.checks if check.code == code]


def test_a_code_for_missing_values_is_named_in_the_summary_and_a_warning(spark: SparkSession) -> None:
    rows = clusters().T
    rows[:12, 1] = -999.0
    with pytest.warns(RuntimeWarning, match=r"column 'income' is exactly -999 in 12 of 600 sample rows"):
        model = GaussianMixture(inputCols=["age", "income"], k=3).fit(scalar_table(spark, rows, ["age", "income"]))
    (check,) = of_code(model, "missing-value-code")
    assert model.summary.checks[0] is check
    assert (check.column, check.severity, check.figures["rows"]) == ("income", "serious", 12)


def test_many_checks_of_one_code_make_one_warning(spark: SparkSession) -> None:
    rows = clusters(d=5).T
    rows[:12] = -999.0
    with pytest.warns(RuntimeWarning, match=r"'features\[0\]'.*'features\[2\]'.*And 2 more") as caught:
        model = GaussianMixture(k=2).fit(array_table(spark, rows))
    assert len([one for one in caught if "-999" in str(one.message)]) == 1
    assert len(of_code(model, "missing-value-code")) == 5


def test_a_good_fit_has_nothing_to_say(spark: SparkSession) -> None:
    table = array_table(spark, clusters().T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GaussianMixture(k=2).fit(table).summary.checks == []
        assert GaussianMixtureSelector(ks=[1, 2, 3]).fit(table).summary.checks == []


def test_rounded_whole_numbers_are_checked_and_warned_of_once(spark: SparkSession) -> None:
    table = spark.range(50).selectExpr("(1L << 60) + id * (1L << 50) as account", "rand(1) as x")
    with pytest.warns(RuntimeWarning) as caught:
        model = GaussianMixture(inputCols=["account", "x"], k=1).fit(table)
    assert [(check.column, check.figures["values"]) for check in of_code(model, "column-rounded")] == [("account", 50)]
    assert len([one for one in caught if "2**53" in str(one.message) or "2^53" in str(one.message)]) == 1


def test_skipped_rows_and_weights_are_checked(spark: SparkSession) -> None:
    rows = clusters()
    x = [None if i % 8 == 0 else value for i, value in enumerate(rows[0].tolist())]
    table = spark.createDataFrame(pa.table({"x": x, "y": rows[1], "w": np.full(600, 1 / 600)})).repartition(2)
    estimator = GaussianMixture(inputCols=["x", "y"], weightCol="w", k=2, handleInvalid="skip")
    codes = {check.code: check for check in estimator.fit(table).summary.checks}
    assert codes["rows-skipped"].figures == {"skipped": 75, "share": 0.125}
    assert codes["weights-against-kind"].figures["rows"] == 525


def test_a_selector_checks_the_edge_of_its_grid_and_names_its_own_parameters(spark: SparkSession) -> None:
    model = GaussianMixtureSelector(ks=[1, 2], covarianceTypes=["full", "tied"]).fit(array_table(spark, clusters().T))
    (check,) = of_code(model, "k-at-edge")
    assert check.figures == {"k": 2, "smallest": 1, "largest": 2}
    assert "`ks`" in check.remedy


def test_a_share_held_out_that_is_not_what_was_asked_is_told(spark: SparkSession) -> None:
    """Rows that are zero in all columns are one value: they are fitted or held out together."""
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((4000, 3)) < 0.9, 0.0, rng.normal(size=(4000, 3)))
    model = GaussianMixtureSelector(ks=[1], validationFraction=0.2).fit(array_table(spark, rows))
    (check,) = of_code(model, "held-out-share")
    share = model.summary.selection.heldOutRows / 4000
    assert abs(share - 0.2) > 0.02
    assert check.figures["share"] == pytest.approx(share)
    assert f"{share:.1%} of the rows were held out, not 20.0%" in check.meaning
    spread = GaussianMixtureSelector(ks=[1], validationFraction=0.2).fit(array_table(spark, rng.normal(size=(4000, 3))))
    assert spread.summary.checks == []


def test_every_parameter_that_a_remedy_names_exists_and_has_a_key(spark: SparkSession) -> None:
    known = {param.name for one in (GaussianMixture(), GaussianMixtureSelector()) for param in one.params}
    named = {
        name
        for tables in FIRING.values()
        for table in tables
        for check in run_checks(table())
        for name in re.findall("`(\\w+)`", check.remedy)
    }
    assert named
    assert named <= known
    assert named <= KEYS.keys()
    for key in KEYS.values():
        section, name = key.split(".")
        sections = [kind.model_fields.get(section) for kind in (FitConfiguration, SelectConfiguration)]
        assert any(name in one.annotation.model_fields for one in sections if one is not None), key
