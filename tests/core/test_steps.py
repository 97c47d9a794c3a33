"""Steps are logged at both ends, also if they fail, and timed for whoever asks."""

from __future__ import annotations

import logging

import pytest

from gmm_spark.core.steps import step, timing


def test_a_step_is_told_of_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gmm_spark"), step("pack") as told:
        told["rows"] = 12_000
    first, last = caplog.records
    assert first.getMessage() == "pack: begins"
    assert last.getMessage().startswith("pack: ends after ")
    assert last.getMessage().endswith(", rows 12,000")
    assert (vars(last)["step"], vars(last)["rows"]) == ("pack", 12_000)


def test_a_step_that_fails_says_so_and_lets_the_error_pass(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gmm_spark"), pytest.raises(ZeroDivisionError), step("pack"):
        _ = 1 / 0
    assert caplog.records[-1].getMessage().startswith("pack: failed after ")


def test_seconds_of_equal_names_are_added_up_and_others_are_kept_apart() -> None:
    with timing() as outer, step("fit"):
        with timing() as inner, step("pack"):
            pass
        with step("pack"):
            pass
    assert set(outer) == {"fit", "pack"}
    assert set(inner) == {"pack"}
    assert outer["fit"] >= outer["pack"] > inner["pack"] > 0
    with step("later"):
        pass
    assert "later" not in outer
