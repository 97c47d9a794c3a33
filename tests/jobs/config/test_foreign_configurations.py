"""Whatever stands in a configuration file or on the command line ends in a configuration, or in one short message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.config.command_line import load
from gmm_spark.jobs.config.files import LARGEST
from gmm_spark.jobs.config.jobs import FitConfiguration, JobConfiguration, SampleConfiguration, ScoreConfiguration
from gmm_spark.jobs.config.jobs import SelectConfiguration as Select

JOBS: tuple[type[JobConfiguration], ...] = (FitConfiguration, Select, ScoreConfiguration, SampleConfiguration)
PASSWORD = "hunter2"


def read(model: type[JobConfiguration], *arguments: str) -> str:
    """Read a configuration; return the message that refuses it, which is short, or an empty text."""
    try:
        load(model, arguments)
    except ConfigurationError as error:
        said = str(error)
        assert len(said) < 4_000
        assert len(said.splitlines()) < 20
        assert all(sign.isprintable() or sign == "\n" for sign in said)
        assert PASSWORD not in said
        return said
    return ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 100_000, "nest"),
        ("a = " + "[" * 200 + "]" * 200, "nests deeper than 8 levels"),
        ("a = " + "{b = " * 50_000, "nest"),
        (".".join("a" * 2_000) + " = 1", "nests deeper than 8 levels"),
        ("[" + ".".join("a" * 2_000) + "]", "nests deeper than 8 levels"),
        ("\n".join(f"key{i} = 1" for i in range(5_000)), "and 4986 more"),
        ("x" * 900_000 + " = 1", "xxx...: unknown key"),
        (f"model = '{'x' * 900_000}'", "model: got a text, needs a section"),
        (f"[model]\nk = '{'x' * 900_000}'", "model.k: got 'xxx"),
        (f"[model]\nk = 0x{'f' * 5_000}", "model.k: got a very large number"),
        (f"[model]\nk = {'9' * 5_000}", "4300 digits"),
        (f"[model]\ntol = 0x{'f' * 5_000}", "model.tol: got a very large number"),
        ("[model]\nk = 9223372036854775808", "model.k: got 9223372036854775808, needs to be less than or equal"),
        (f"[run]\nspark.a = 0x{'f' * 5_000}", "run.spark.a"),
        ("#" * (LARGEST + 1), "more than 1,048,576 bytes"),
        ("\0", "needs a readable TOML file"),
    ],
    ids=lambda text: text[:12],
)
def test_a_file_that_is_no_configuration_is_refused_in_few_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "job.toml"
    path.write_text(text)
    assert message in read(FitConfiguration, "--config", str(path))


@pytest.mark.parametrize(
    "text",
    [
        f'[[input]]\noptions = {{password = "{PASSWORD}"}}',
        f'input = "url=jdbc:x password={PASSWORD}"',
        f'run = ["spark.secret={PASSWORD}"]',
        f'[input]\noptions = "password={PASSWORD}"',
        f'[input]\npath = {{password = "{PASSWORD}"}}',
        f'[input.options]\npassword = ["{PASSWORD}"]',
        f'[input.options.url]\npassword = "{PASSWORD}"',
        f'[run.spark]\n"spark.secret" = {{value = "{PASSWORD}"}}',
        f'[output]\nmode = "s3a://key:{PASSWORD}@bucket/{"x" * 100}"',
    ],
)
def test_a_secret_in_the_wrong_shape_is_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.toml"
    path.write_text(text)
    assert read(FitConfiguration, "--config", str(path))


@pytest.mark.parametrize("arguments", [["-p", PASSWORD], [f"-p{PASSWORD}"], ["--password", PASSWORD]])
def test_a_secret_after_a_flag_that_is_unknown_is_not_repeated(arguments: list[str]) -> None:
    assert "unknown flag" in read(FitConfiguration, *arguments)


@pytest.mark.parametrize("path", ["a\0b", "x" * 100_000, "/", "\ud800"])
def test_a_file_that_cannot_be_named_is_refused(path: str) -> None:
    assert "needs a readable TOML file" in read(FitConfiguration, "--config", path)


SECTIONS = ("input", "features", "model", "output", "run", "selection", "drift", "surplus")
KEYS = ("path", "table", "options", "columns", "k", "ks", "tol", "seed", "model", "spark", "where", "id", "n", "plot")
NUMBERS = st.integers().map(str) | st.floats().map(repr) | st.sampled_from(["true", "0xffffffffffffffffffff", "1e999"])
QUOTED = st.text(st.sampled_from("ab/.:@=\\é ,-"), max_size=12).map(lambda text: f"'{text}'")
VALUES = st.recursive(
    NUMBERS | QUOTED | st.sampled_from(["1979-05-27T07:32:00Z", "07:32:00"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
            lambda parts: "{" + ", ".join(f"{key} = {part}" for key, part in parts.items()) + "}"
        )
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.sampled_from(SECTIONS).map(lambda name: f"[{name}]"),
    st.sampled_from(SECTIONS).map(lambda name: f"[[{name}]]"),
    st.tuples(st.sampled_from(SECTIONS + KEYS), VALUES).map(" = ".join),
    st.tuples(st.sampled_from(SECTIONS), st.sampled_from(KEYS), VALUES).map(lambda parts: "{}.{} = {}".format(*parts)),
)
FILES = st.lists(LINES, max_size=8).map("\n".join) | st.text(max_size=40)
WORDS = st.one_of(
    st.tuples(st.sampled_from(SECTIONS), st.sampled_from(KEYS)).map(lambda parts: "--{}.{}".format(*parts)),
    st.text(max_size=10),
    st.text(max_size=10).map(lambda text: f"--{text}"),
    st.sampled_from(["--config", "--run-id", "--verbose", "--", "-1", "nan", "k=v", "=", ""]),
    # These two end a process by design.
).filter(lambda word: not word.startswith(("-h", "--help")))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(JOBS), FILES, st.lists(WORDS, max_size=6))
@example(FitConfiguration, "a = 1", ["--config"])
def test_any_file_and_any_flags_end_in_a_configuration_or_one_short_message(
    tmp_path_factory: pytest.TempPathFactory, model: type[JobConfiguration], text: str, words: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "foreign.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    read(model, "--config", str(path), *words)
