"""Each check fires where it should, and is silent on a table like it; friendly tables fire nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from gmm_spark.core.checks.check import SEVERITIES, Check
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.checks.registry import RULES, run_checks
from gmm_spark.core.settings import Settings
from tests import examples
from tests.core.checks.tables import FIRING, SILENT, clusters, examine, with_code

CODES = [rule.code for rule in RULES]


def cases(tables: dict[str, list[Callable[[], Evidence]]]) -> list[tuple[str, Callable[[], Evidence]]]:
    return [(code, table) for code, of_code in tables.items() for table in of_code]


def found(evidence: Evidence, code: str) -> list[Check]:
    return [check for check in run_checks(evidence) if check.code == code]


def test_every_code_has_tables_that_fire_it_and_that_do_not() -> None:
    assert set(CODES) == FIRING.keys() == SILENT.keys()
    assert all(FIRING.values())
    assert all(SILENT.values())


def test_codes_are_stable_words_and_none_comes_twice() -> None:
    assert len(set(CODES)) == len(CODES)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code) for code in CODES)
    assert {rule.severity for rule in RULES} == set(SEVERITIES)


@pytest.mark.parametrize(("code", "table"), cases(FIRING))
def test_a_check_fires_and_its_sentence_has_its_figures(code: str, table: Callable[[], Evidence]) -> None:
    evidence = table()
    checks = found(evidence, code)
    assert checks
    for check in checks:
        assert check.figures
        assert all(isinstance(value, float) for value in check.figures.values())
        assert re.search(r"\d", check.meaning)
        assert check.meaning.endswith(".")
        assert check.remedy.endswith(".")
        assert check.column is None or check.column in evidence.names
        assert check.component is None or 0 <= check.component < evidence.parameters.n_components


@pytest.mark.parametrize(("code", "table"), cases(SILENT))
def test_a_check_is_silent(code: str, table: Callable[[], Evidence]) -> None:
    assert found(table(), code) == []


@pytest.mark.parametrize("name", sorted(examples.TABLES.keys() - {"Spark's univariate", "Spark's bivariate", "wine"}))
def test_a_friendly_table_fires_nothing(name: str) -> None:
    k = 2 if name == "faithful" else 3
    assert run_checks(examine(examples.TABLES[name](), settings=Settings(k=k))) == []


def test_checks_come_worst_first() -> None:
    evidence = examine(with_code(-999.0, 6), skipped={"null": 900}, settings=Settings(max_iter=1))
    ranks = [SEVERITIES.index(check.severity) for check in run_checks(evidence)]
    assert len(set(ranks)) > 1
    assert ranks == sorted(ranks)


def test_a_code_is_told_with_its_rows_and_the_nearest_other_value() -> None:
    rows = clusters()
    rows[1, 5:17] = 9999.0
    (check,) = found(examine(rows, names=["x", "age"]), "missing-value-code")
    assert (check.column, check.figures["value"], check.figures["rows"]) == ("age", 9999.0, 12.0)
    assert "column 'age' is exactly 9999 in 12 of 600 sample rows" in check.meaning
    assert f"the nearest other value is {rows[1][rows[1] < 9999].max():g}." in check.meaning


def test_a_shared_covariance_at_the_floor_is_told_once() -> None:
    rows = np.where(np.arange(600) % 3, clusters(apart=0.0), np.array([[0.0], [7.0]]))
    rows[1] = rows[0]  # along one direction there is no variance at all
    evidence = examine(rows, settings=Settings(k=3, covariance_type="tied"))
    (check,) = found(evidence, "component-at-floor")
    assert check.component is None
    assert check.meaning.startswith("the shared covariance is at the floor along")


def test_a_value_is_told_with_all_its_digits() -> None:
    rows = clusters()
    rows[1, :300] = 1234567.25
    (check,) = found(examine(rows), "column-atom")
    assert "exactly 1234567.25 in 50% of 600 sample rows" in check.meaning


def test_a_component_at_the_floor_is_told_with_the_rows_that_share_its_value() -> None:
    rows = np.random.default_rng(5).normal(size=(1, 1000))
    rows[0, :312] = 0.0
    (check,) = found(examine(rows, names=["amount"]), "component-at-floor")
    assert check.column == "amount"
    assert "312 of 1,000 sample rows are exactly 0" in check.meaning
