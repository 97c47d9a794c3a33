"""Faults: collected, and told in one message, under the code of the gravest."""

from __future__ import annotations

import pytest

from gmm_spark import errors
from gmm_spark.jobs.exits import ExitCode, exit_code
from gmm_spark.jobs.preflight.faults import Faults


def fail(error: Exception) -> None:
    raise error


def test_one_fault_is_raised_as_it_is() -> None:
    faults, error = Faults(), errors.DataError("the table lacks z")
    assert faults.attempt(fail, error) is None
    with pytest.raises(errors.DataError) as raised:
        faults.require_none()
    assert raised.value is error


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((errors.DataError, errors.ConfigurationError), ExitCode.CONFIGURATION),
        ((errors.ResourceError, errors.ModelFileError), ExitCode.DATA),
        ((errors.RunHeldError, errors.ParameterError, errors.DataError), ExitCode.CONFIGURATION),
    ],
)
def test_several_are_told_in_one_message_that_has_the_code_of_the_gravest(
    kinds: tuple[type[errors.GmmSparkError], ...], code: ExitCode
) -> None:
    faults = Faults()
    for kind in kinds:
        faults.add(kind(f"a fault of {kind.__name__}"))
    faults.add(kinds[0](f"a fault of {kinds[0].__name__}"))  # said already
    with pytest.raises(errors.GmmSparkError) as raised:
        faults.require_none()
    assert exit_code(raised.value) is code
    lines = str(raised.value).splitlines()
    assert lines[0] == f"{len(kinds)} faults, found before any work:"
    assert sorted(lines[1:]) == sorted(f"  a fault of {kind.__name__}" for kind in kinds)


def test_errors_of_others_are_not_kept_back() -> None:
    with pytest.raises(ZeroDivisionError):
        Faults().attempt(fail, ZeroDivisionError())


def test_without_a_fault_a_step_gives_its_answer() -> None:
    faults = Faults()
    assert faults.attempt(int, "3") == 3
    assert not faults
    faults.require_none()
