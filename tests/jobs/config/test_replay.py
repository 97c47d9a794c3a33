"""The command that a page shows gives the configuration that the run had."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.jobs.config.command_line import load
from gmm_spark.jobs.config.jobs import FitConfiguration, SelectConfiguration
from gmm_spark.jobs.config.replay import JOBS, list_given, spell_command, spell_selection

FIT = ["--input.path", "t", "--features.columns", "x", "--output.model", "m"]
# What cannot be seen is written in bash's own way, which shlex does not read.
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=20)


def replay(job: str, arguments: list[str]) -> tuple[Any, Any, list[str]]:
    """Return the configuration of a command line, that of the command again, and the notes."""
    model = JOBS[job]
    first = load(model, arguments)
    line = spell_command(job, first.model_dump(mode="json"))
    assert line is not None
    words = shlex.split(line.text)
    assert words[:2] == ["gmm-spark", job]
    return first, (load(model, words[2:]) if not line.notes else None), line.notes


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--model.k", "7", "--model.tol", "1e-07", "--model.accelerate", "false", "--features.weight", "w"],
        ["--model.variance_floor", "0.1", "--input.where", "a = 'b' AND c < \"d\" -- $HOME `id`"],
        ["--features.columns", "a b", "c'd", "$(rm)", "--run.umask="],
        ["--input.where=-1 < x"],
    ],
)
def test_the_command_again_is_the_same_fit(more: list[str]) -> None:
    first, again, _ = replay("fit", [*FIT, *more])
    assert again == first


def test_the_command_of_select_has_its_grid() -> None:
    grid = ["--selection.ks", "1", "2", "--selection.covariance_types", "full", "diag"]
    first, again, _ = replay("select", [*FIT, *grid])
    assert isinstance(first, SelectConfiguration)
    assert again == first


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_a_fit_is_compared_with_others_by_a_command_that_select_reads(kind: str) -> None:
    given = ["--model.covariance_type", kind, "--model.tol", "1e-6", "--features.handle_invalid", "skip"]
    first = load(FitConfiguration, [*FIT, *given, "--output.portrait", "false"])
    line = spell_selection(first.model_dump(mode="json"), [1, 2, 3])
    again = load(SelectConfiguration, shlex.split(line.text)[2:])
    assert again.selection.ks == [1, 2, 3]
    assert set(again.selection.covariance_types) == {"full", "diag"}
    assert (again.input, again.features, again.model.tol) == (first.input, first.features, 1e-6)
    assert again.output.model == "m-selected"
    assert spell_selection({}, [2]) is None


@given(st.lists(TEXTS, min_size=1, max_size=3, unique=True), TEXTS)
def test_any_name_survives_the_shell(columns: list[str], where: str) -> None:
    configuration = FitConfiguration.model_validate(
        {"input": {"path": "t", "where": where}, "features": {"columns": columns}, "output": {"model": "m"}}
    ).model_dump(mode="json")
    line = spell_command("fit", configuration)
    assert line is not None
    if any(name.startswith("-") for name in columns):
        assert "features" in line.notes[0]
    else:
        again = load(FitConfiguration, shlex.split(line.text)[2:])
        assert (again.features.columns, again.input.where) == (columns, where)


def test_secrets_are_not_in_the_command() -> None:
    options = [
        "--input.options",
        "password=hunter2",
        "--run.spark",
        "spark.x=hunter3",
        "--input.path",
        "s3a://u:hunter4@b/t",
    ]
    model = load(FitConfiguration, [*FIT, *options])
    line = spell_command("fit", model.model_dump(mode="json"))
    assert line is not None
    assert "hunter" not in line.text
    assert "password=..." in line.text
    assert len(line.notes) == 2
    assert "hunter" not in str(list_given("fit", model.model_dump(mode="json")))


def test_keys_of_other_versions_are_left_out() -> None:
    found = list_given("fit", {"input": {"path": "t", "gone": 1}, "model": None, "features": 5, "new": {}})
    assert [one.key.name for one in found] == ["input.path"]
    assert spell_command("sample", {}) is None


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_names_with_signs_that_cannot_be_seen_survive_bash_and_are_shown() -> None:
    columns = ["a\nb\t'c'", "\u202e\\x", "\x7f$(id)", "ü 年"]
    configuration = FitConfiguration.model_validate(
        {"input": {"path": "t"}, "features": {"columns": columns}, "output": {"model": "m"}}
    )
    line = spell_command("fit", configuration.model_dump(mode="json"))
    assert line is not None
    assert line.text.isprintable()
    script = f"printf '%s\\0' {line.text}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    words = done.stdout.decode().split("\0")[:-1]
    assert load(FitConfiguration, words[2:]) == configuration
