"""Whatever stands in a run's small files, readers take it for less than it is, or raise one of our errors."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gmm_spark.errors import GmmSparkError, ModelFileError
from gmm_spark.storage.answers import FOLDER, KeptAnswers
from gmm_spark.storage.claims import look_at, take
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.runs import describe_time, find_model, find_model_if_any, holds_runs, list_runs

FILES = LocalFiles()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.sampled_from([0, 1e10, 1e11, -1, 10**400]) | st.floats() | VALUES
CLAIMS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("job", "host", "machine", "process", "pid"), VALUES) | {"began": TIMES},
)
LIVES = st.fixed_dictionaries({}, optional={"at": TIMES, "failure": VALUES})
DEEP = st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"x" * 100_000 + b'"', b"1" * 10_000])


def written(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Draw the bytes of a file: a document, one that was cut, or something else."""
    documents = values.map(lambda value: json.dumps(value).encode())
    cut = st.tuples(documents, st.integers(0, 60)).map(lambda parts: parts[0][: -parts[1] or None])
    return documents | cut | st.binary(max_size=60) | DEEP


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(written(CLAIMS), written(LIVES), written(st.fixed_dictionaries({}, optional={"format": VALUES})) | st.none())
@example(b'{"began": 1' + b"0" * 400 + b"}", b"{}", None)
@example(b'{"began": 1e10}', b'{"at": 99999999999}', None)
def test_claims_and_signs_of_life_of_any_content_are_told_of_in_few_words(
    tmp_path_factory: pytest.TempPathFactory, claim: bytes, life: bytes, manifest: bytes | None
) -> None:
    output = tmp_path_factory.mktemp("output")
    run = output / "run_id=a"
    run.mkdir()
    (run / "_claim-1.json").write_bytes(claim)
    (run / "_life-1.json").write_bytes(life)
    if manifest is not None:
        (run / "_manifest.json").write_bytes(manifest)
    (found,) = list_runs(FILES, str(output))
    assert len(describe_time(found.at)) == 19
    assert holds_runs(FILES, str(output))
    said = [found.about, look_at(FILES, str(run)).about]
    for act in (lambda: find_model(FILES, str(output)), lambda: find_model_if_any(FILES, str(output))):
        try:
            act()
        except GmmSparkError as error:
            said.append(str(error))
    try:
        assert take(FILES, str(run), "fit").number == 2
    except GmmSparkError as error:
        said.append(str(error))
    assert max(map(len, said)) < 800 + 2 * len(str(run))
    assert not any("\n" in text for text in said)


NUMBERS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1])
ENTRIES = st.tuples(st.sampled_from([b"k" * 32, b"l" * 32]), NUMBERS, st.binary(max_size=20))
BODIES = st.lists(ENTRIES, max_size=3).map(lambda parts: b"".join(k + n.to_bytes(8, "little") + d for k, n, d in parts))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(BODIES | st.binary(max_size=80), st.booleans(), st.integers(0, 80))
@example(b"k" * 32 + (2).to_bytes(8, "little") + b"a", True, 0)
def test_a_file_of_answers_of_any_content_gives_whole_answers_or_none(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, sealed: bool, cut: int
) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / FOLDER).mkdir()
    mark = b"gmmansw1" + hashlib.sha256(body).digest() if sealed else b""
    (run / FOLDER / "1-000001.answers").write_bytes((mark + body)[: -cut or None])
    kept = KeptAnswers(FILES, str(run), 2)
    answer = kept.recall(b"k" * 32)
    if answer is not None:
        assert sealed
        assert not cut
        at = body.index(b"k" * 32)
        length = int.from_bytes(body[at + 32 : at + 40], "little")
        assert len(answer) == length or body.count(b"k" * 32) > 1


@pytest.mark.parametrize("name", ["_claim-1.json", "_life-1.json", "_manifest.json", FOLDER])
def test_a_directory_or_a_broken_link_in_place_of_a_file_is_no_crash(tmp_path: Path, name: str) -> None:
    for run_id, place in (("a", Path.mkdir), ("b", lambda path: path.symlink_to(tmp_path / "nowhere"))):
        run = tmp_path / f"run_id={run_id}"
        take(FILES, str(run), "fit")
        (run / name).unlink(missing_ok=True)
        place(run / name)
    for found in list_runs(FILES, str(tmp_path)):
        assert found.at is None or math.isfinite(found.at)
        assert KeptAnswers(FILES, found.path, 9).recall(b"k" * 32) is None
    if name == "_manifest.json":
        with pytest.raises(ModelFileError, match="it is a directory"):
            find_model(FILES, str(tmp_path / "run_id=a"))
