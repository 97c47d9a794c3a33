"""The picture of the rows' log-densities."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.plots import draw_log_densities
from gmm_spark.plots.log_densities import share_below
from tests.plots.conftest import marks, parse, texts


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    values = -2 - np.random.default_rng(0).gamma(2.5, 1.0, 50_000)
    values[:20] -= 1e6
    return values


@pytest.fixture(scope="module")
def histogram(values: np.ndarray) -> LogDensityHistogram:
    return LogDensityHistogram(0.0, bin_weights(0.0 - values, np.ones(values.size)))


def test_shares_are_those_of_the_rows(values: np.ndarray, histogram: LogDensityHistogram) -> None:
    table = draw_log_densities(histogram, -12.0).table
    assert table["share"].sum() == pytest.approx(1.0, abs=1e-12)
    for _, bar in table.iterrows():
        inside = np.mean((values >= bar["from"]) & (values < bar["to"]))
        assert bar["share"] == pytest.approx(inside, abs=0.01)
    assert table["from"].iloc[0] == histogram.quantile(0.0)


def test_the_reading_says_what_lies_below_the_threshold(values: np.ndarray, histogram: LogDensityHistogram) -> None:
    threshold, share = histogram.find_edge(0.01)
    assert share_below(histogram, np.array([threshold]))[0] == pytest.approx(share, rel=1e-9)
    figure = draw_log_densities(histogram, threshold)
    assert f"{100 * share:.2g} % of the rows lie below the threshold" in figure.reading
    low, high = np.quantile(values, [0.25, 0.75])
    said = re.search(r"from −([\d.]+) to −([\d.]+) nats", figure.reading)
    assert [-float(one) for one in said.groups()] == pytest.approx([low, high], abs=0.002)
    root = parse(figure)
    assert len(marks(root, "rule")) == 1
    assert any(text.startswith("threshold ") for text in texts(root))


def test_rows_that_are_off_the_picture_are_counted(histogram: LogDensityHistogram) -> None:
    figure = draw_log_densities(histogram)
    (note,) = [text for text in texts(parse(figure)) if "off the picture" in text]
    lower = figure.table["share"].iloc[0]
    assert 20 / 50_000 <= lower <= 0.002
    assert f"{100 * lower:.2g} %" in note
    assert "down to −1,0" in note


@pytest.mark.parametrize("threshold", [None, -3.0, -500.0, 50.0])
def test_rows_that_are_all_alike_are_drawn(threshold: float | None) -> None:
    alike = LogDensityHistogram(0.0, bin_weights(np.full(9, 3.0), np.ones(9)))
    figure = draw_log_densities(alike, threshold)
    assert figure.table["share"].sum() == pytest.approx(1.0)
    parse(figure)
