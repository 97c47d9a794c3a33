"""The pages that are made from the code say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.ml.param import Param, Params, TypeConverters

from gmm_spark import GaussianMixture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["docs/parameters.md", "docs/job-keys.md", "docs/checks.md", "docs/drop-in.md", "CONTRIBUTING.md"]
)
def test_a_generated_page_is_what_the_code_would_give_now(generate: ModuleType, name: str) -> None:
    path = ROOT / name
    assert path.read_text(encoding="utf-8") == generate.pages()[path], "run `make docs`"


def test_a_parameter_without_a_description_is_refused(generate: ModuleType) -> None:
    class Undocumented(GaussianMixture):
        __doc__ = GaussianMixture.__doc__
        surplus: Param[int] = Param(Params._dummy(), "surplus", "Not in the docstring.", TypeConverters.toInt)

    with pytest.raises(ValueError, match=r"Undocumented: Params \['surplus'\] are not in the docstring"):
        generate.parameter_table(Undocumented())
