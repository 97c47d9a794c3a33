"""Progress of a verbose fit: lines for those who set up logging and for those who did not, a bar in notebooks."""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.ml.progress import show_fit
from tests.tables import array_table
from tests.tables import mixture as some_mixture

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT, OURS = logging.getLogger(), logging.getLogger("gmm_spark")


@contextmanager
def no_logging() -> Iterator[None]:
    """Logging as in a program that has not set it up, and as it was afterwards. Within a test: pytest sets it up."""
    handlers, ROOT.handlers = ROOT.handlers, []
    try:
        yield
    finally:
        ROOT.handlers = handlers


def set_up() -> tuple[object, ...]:
    return OURS.level, tuple(OURS.handlers), ROOT.level, tuple(ROOT.handlers)


def say(text: str) -> None:
    logging.getLogger("gmm_spark.core").info(text)


def test_without_handlers_the_lines_go_to_stderr_and_only_for_the_fit(capsys: pytest.CaptureFixture[str]) -> None:
    with no_logging():
        before = set_up()
        say("before")
        with show_fit(True, 10, None):
            say("within")
        say("after")
        assert set_up() == before
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[9:] for line in err.splitlines()] == ["within"]  # after a time


def test_a_fit_that_is_not_verbose_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with no_logging(), show_fit(False, 10, None):
        say("within")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("logger", [ROOT, OURS])
def test_the_programs_own_handlers_write_the_lines_and_nothing_else_does(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    kept: list[str] = []
    handler = Kept()
    with no_logging():
        logger.addHandler(handler)
        before = set_up()
        with show_fit(True, 10, None):
            say("within")
        assert set_up() == before
        logger.removeHandler(handler)
    assert kept == ["within"]
    assert capsys.readouterr() == ("", "")


def test_lines_are_shown_until_the_last_of_several_fits_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    before, has_begun, may_end = set_up(), threading.Event(), threading.Event()

    def long_fit() -> None:
        with show_fit(True, 10, None):
            has_begun.set()
            may_end.wait(60)
            say("the longer fit")

    other = threading.Thread(target=long_fit)
    with no_logging():
        with show_fit(True, 10, None):
            other.start()
            has_begun.wait(60)
            say("the shorter fit")
        may_end.set()
        other.join()
    assert [line[9:] for line in capsys.readouterr().err.splitlines()] == ["the shorter fit", "the longer fit"]
    assert set_up() == before


def test_logging_is_as_before_after_a_fit_that_fails() -> None:
    before = set_up()
    with no_logging(), pytest.raises(RuntimeError), show_fit(True, 10, None):
        raise RuntimeError
    assert set_up() == before


class Bar:
    """Stands for tqdm's."""

    drawn: list[Bar]

    def __init__(self, total: int, **options: Any) -> None:
        self.total, self.n, self.options, self.texts = total, 0, options, [options["desc"]]
        Bar.drawn.append(self)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.texts.append("closed")

    def set_description_str(self, text: str, refresh: bool = True) -> None:
        self.texts.append(text)

    def set_postfix_str(self, text: str) -> None:
        self.texts.append(text)

    def refresh(self) -> None:
        pass


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook, as far as this process can tell."""
    Bar.drawn = []
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr("tqdm.auto.tqdm", Bar)


RECORDS = [PassRecord(1, -3.0, math.nan, 0.5), PassRecord(2, -2.5, 0.5, 0.25)]


@pytest.mark.usefixtures("notebook")
def test_a_notebook_has_a_bar_in_place_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[PassRecord] = []
    with no_logging(), show_fit(True, 10, heard.append) as callback:
        say("no line")
        for record in RECORDS:
            callback(record)
    (bar,) = Bar.drawn
    assert heard == RECORDS
    assert bar.n == bar.total == 2  # it converged before its tenth pass
    assert bar.texts[-2:] == ["lower bound -2.500000, change +5.00e-01, 0.25 s", "closed"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("notebook")
def test_a_notebook_whose_log_has_the_lines_anyway_has_no_bar() -> None:
    before = OURS.level
    OURS.setLevel(logging.INFO)
    try:
        with no_logging(), show_fit(True, 10, None) as callback:
            assert callback is None
    finally:
        OURS.setLevel(before)
    assert not Bar.drawn


@pytest.mark.usefixtures("notebook")
def test_a_notebook_without_tqdm_has_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with no_logging(), show_fit(True, 10, None):
        say("within")
    assert capsys.readouterr().err.endswith("within\n")


@pytest.mark.parametrize("given", [True, 1, 2, np.True_])
def test_verbose_takes_what_scikit_learn_takes(given: Any) -> None:
    assert GaussianMixture(verbose=given).getVerbose() is True
    assert GaussianMixtureSelector(ks=[2]).setVerbose(given).getVerbose() is True
    assert GaussianMixture(verbose=False).getVerbose() is False


@pytest.mark.parametrize("given", ["yes", 0.5, -1, []])
def test_verbose_takes_nothing_else(given: Any) -> None:
    with pytest.raises(TypeError, match=r"verbose.*need True or False"):
        GaussianMixture(verbose=given)


def test_a_model_has_no_verbose() -> None:
    assert not GaussianMixtureModel(some_mixture()).hasParam("verbose")


@pytest.mark.parametrize("kind", ["alone", "selector", "tuning"])
def test_a_verbose_fit_has_a_line_for_each_pass(
    spark: SparkSession, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(5).normal(size=(300, 2)) + np.repeat([[0.0], [6.0]], 150, axis=0)
    table = array_table(spark, rows)
    heard: list[PassRecord] = []
    mixture = GaussianMixture(k=2, verbose=True).setCallback(heard.append)
    with no_logging():
        before = set_up()
        if kind == "alone":
            mixture.fit(table)
        elif kind == "selector":
            GaussianMixtureSelector(ks=[1, 2], verbose=True).setCallback(heard.append).fit(table)
        else:
            list(mixture.fitMultiple(table, [{mixture.k: k} for k in (1, 2)]))
        assert set_up() == before
    lines = [line[9:] for line in capsys.readouterr().err.splitlines()]
    passes = [line for line in lines if line.startswith("pass ")]
    assert heard
    assert [line.split()[1] for line in passes] == [str(record.iteration) for record in heard]
    assert any(line.startswith("pack: ends") for line in lines)
