"""Answers beside a run: what was written is found again, and what is damaged is left out."""

import hashlib
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmm_spark.storage.answers import FOLDER, KeptAnswers
from gmm_spark.storage.files import LocalFiles


def key(i: int) -> bytes:
    return hashlib.sha256(b"%d" % i).digest()


def make(path: Path, number: int, every: float = 0.0) -> KeptAnswers:
    return KeptAnswers(LocalFiles(), str(path), number, every)


def test_a_later_holder_finds_what_earlier_ones_have_written_in_any_order(tmp_path: Path) -> None:
    first = make(tmp_path, 1)
    for i in range(12):
        first.keep(key(i), b"%d" % i * i)
    second = make(tmp_path, 2)
    second.keep(key(12), b"twelve")
    third = make(tmp_path, 3)
    order = [3, 0, 12, 11, 5]
    assert [third.recall(key(i)) for i in order] == [b"333", b"", b"twelve", b"11" * 11, b"55555"]
    assert third.recall(key(99)) is None
    assert third.recalled == 5
    third.remove()
    assert make(tmp_path, 4).recall(key(1)) is None
    assert list(tmp_path.iterdir()) == []


def test_an_answer_waits_until_its_time_and_is_written_when_asked(tmp_path: Path) -> None:
    answers = make(tmp_path, 1, every=1e9)
    answers.keep(key(1), b"one")
    answers.keep(key(2), b"two")
    assert make(tmp_path, 2).recall(key(1)) is None
    answers.write()
    answers.write()
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    assert make(tmp_path, 2).recall(key(2)) == b"two"


def test_a_file_that_is_cut_or_changed_is_left_out_and_no_other(tmp_path: Path) -> None:
    answers = make(tmp_path, 1)
    for i in range(4):
        answers.keep(key(i), b"answer")
    paths = sorted((tmp_path / FOLDER).iterdir())
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"R")
    paths[2].write_bytes(b"")
    (tmp_path / FOLDER / "1-000009.answers.tmp").write_bytes(b"half")
    again = make(tmp_path, 2)
    assert [again.recall(key(i)) for i in range(4)] == [None, None, None, b"answer"]


def test_a_disk_that_takes_nothing_stops_the_keeping_and_not_the_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("a file in the place of the folder")
    answers = make(tmp_path, 1)
    with caplog.at_level(logging.WARNING):
        answers.keep(key(1), b"one")
        answers.keep(key(2), b"two")
    assert len(caplog.records) == 1
    assert "if this process dies, the run begins anew" in caplog.text


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_whatever_stands_in_a_file_is_no_answer_to_another_question(content: bytes, signed: bool) -> None:
    class OneFile(LocalFiles):
        def list_folder(self, path: str) -> list:
            from gmm_spark.storage.files import Entry

            return [Entry("1-000001.answers", False, len(content), 0.0)]

        def read_bytes(self, path: str, limit: int) -> bytes:
            return b"gmmansw1" + hashlib.sha256(content).digest() + content if signed else content

    assert KeptAnswers(OneFile(), "/run", 2).recall(key(1)) is None
