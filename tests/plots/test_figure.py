"""What all figures have in common: files, pages, notebooks, and the extra that they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gmm_spark import plots
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import MissingExtraError, ParameterError
from gmm_spark.plots import draw_means, draw_weights
from tests.plots.conftest import make_mixture, parse


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")])
def test_a_figure_is_saved_in_the_format_of_its_name(
    mixture: MixtureParameters, tmp_path: Path, ending: str, start: bytes
) -> None:
    path = tmp_path / f"weights.{ending.upper()}"
    draw_weights(mixture).save(path)
    assert path.read_bytes().startswith(start)


def test_a_format_that_is_none_is_refused(mixture: MixtureParameters, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="ends in 'gif'; need png, svg or pdf"):
        draw_weights(mixture).save(tmp_path / "weights.gif")


def test_a_picture_in_a_file_has_its_title_and_reading(mixture: MixtureParameters) -> None:
    figure = draw_weights(mixture)
    picture = figure.render("svg").decode()
    assert figure.title in picture
    assert all(word in picture for word in figure.reading.split())


def test_figures_of_two_mixtures_share_no_id_in_a_page(mixture: MixtureParameters) -> None:
    roots = [parse(draw_means(one)) for one in (mixture, make_mixture(4, 5, seed=1))]
    first, second = ({element.attrib["id"] for element in root.iter() if "id" in element.attrib} for root in roots)
    assert first
    assert second
    assert not first & second


def test_a_notebook_shows_picture_reading_and_table(mixture: MixtureParameters) -> None:
    figure = draw_weights(mixture)
    page = figure._repr_html_()
    assert "<svg" in page
    assert figure.reading in page
    assert "<table" in page


def test_names_are_text_not_markup() -> None:
    figure = draw_means(make_mixture(2, 2), ["<b>&'\"\\", "y"])
    assert "<b>" not in figure.svg()
    assert "<b>&" not in figure._repr_html_().replace("<b>Means", "")
    parse(figure)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    for module in [name for name in sys.modules if name.startswith("gmm_spark.plots.")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingExtraError, match=r"a picture needs altair.*pip install 'gmm-spark\[plot\]'"):
        _ = plots.draw_weights


def test_pictures_need_no_spark() -> None:
    code = "import sys; from gmm_spark.plots import *; import gmm_spark.ml.comparison; print('pyspark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
