"""The job export: an ONNX file of a run or a saved model, checked, and never over another without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from gmm_spark import Mixture
from gmm_spark.core.formatting import show_number
from gmm_spark.errors import ModelFileError
from gmm_spark.interop.onnx import to_onnx
from gmm_spark.interop.onnx_files import compare_scores
from gmm_spark.jobs.config import exports
from tests.jobs.conftest import Outcome


def test_a_run_is_exported_checked_and_described(run_job: Callable[..., Outcome], model: Path, tmp_path: Path) -> None:
    target = tmp_path / "mixture.onnx"
    done = run_job("export", model, "--onnx", target)
    assert done.code == 0, done.err
    (run,) = model.glob("run_id=*")
    assert done.out.startswith(f"export: run {run.name.removeprefix('run_id=')}, written to {target}, ")
    assert "checked with onnxruntime: the scores are the model's, log-densities " in done.out
    assert "  input   features (rows, 2) float64: x, y\n" in done.out
    assert "  output  label (rows) int64: most probable component" in done.out
    mixture = Mixture.load(model)
    assert f"a row is an anomaly if its log_density is below {show_number(mixture.threshold(), 6)}" in done.out
    rows = np.array([[0.0, 0.5], [6.0, 3.0]])
    (density,) = onnxruntime.InferenceSession(target).run(["log_density"], {"features": rows})
    np.testing.assert_allclose(density, mixture.log_density(rows), rtol=1e-12)


def test_a_file_that_is_there_is_replaced_only_if_asked(
    run_job: Callable[..., Outcome], model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "mixture.onnx"
    target.write_text("precious")
    done = run_job("export", model, "--onnx", target)
    assert done.code == 2
    assert "is there already; name another file, or set overwrite to replace it" in done.err
    assert target.read_text() == "precious"
    done = run_job("export", model, "--onnx", target, "--overwrite", "true", "--columns", "true")
    assert done.code == 0, done.err
    assert "  input   x (rows, 1) float64\n  input   y (rows, 1) float64\n" in done.out
    assert len(onnx.load(target).graph.input) == 2
    done = run_job("export", model, "--onnx", model / "mixture.onnx")
    assert done.code == 2
    assert "name a file beside" in done.err
    done = run_job("export", model, "--onnx", tmp_path / "other.onnx", "--dry-run")
    assert (done.code, done.out.startswith("export: would write run ")) == (0, True)
    assert not (tmp_path / "other.onnx").exists()


def test_without_onnx_the_extra_is_named_before_spark_starts(
    run_job: Callable[..., Outcome], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    done = run_job("export", model, "--onnx", tmp_path / "mixture.onnx")
    assert done.code == 2
    assert "pip install 'gmm-spark[onnx]'" in done.err


def test_a_graph_of_another_mixture_is_found_out(model: Path) -> None:
    mixture = Mixture.load(model)
    graph = to_onnx(mixture.parameters)
    assert compare_scores(graph.SerializeToString(), mixture.parameters) < 1e-9
    with pytest.raises(ModelFileError, match="not those of the model"):
        compare_scores(graph.SerializeToString(), mixture.parameters.shifted(np.array([0.01, 0.0])))
    with pytest.raises(ModelFileError, match="cannot run the graph"):
        compare_scores(graph.SerializeToString()[:-100], mixture.parameters)
