"""Pictures of a table's rows beside a mixture: a feature, two features, all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gmm_spark.core.description.fit import judge_features
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.plots import draw_histogram, draw_pair, draw_pairs
from gmm_spark.plots.components import Colours
from gmm_spark.plots.ellipses import find_inside, take_plane, trace
from gmm_spark.plots.shading import shade
from tests.plots.conftest import make_mixture, marks, parse, texts

NAMES = ["dep_delay", "arr_delay", "air_time", "distance", "hour"]


def draw_rows(mixture: MixtureParameters, n: int = 20_000) -> np.ndarray:
    """Draw rows (d, n) of a mixture."""
    rng = np.random.default_rng(1)
    drawn = rng.choice(mixture.n_components, n, p=mixture.weights)
    factors = np.linalg.cholesky(mixture.dense_covariances)[drawn]
    noise = rng.normal(size=(n, mixture.n_features))
    return (mixture.means[drawn] + np.einsum("nij,nj->ni", factors, noise)).T


def draw_portrait(mixture: MixtureParameters, names: list[str] | None = None) -> Portrait:
    return Portrait.of(mixture, draw_rows(mixture), feature_names=names)


def draw_all(mixture: MixtureParameters, portrait: Portrait, feature: int) -> None:
    parse(draw_histogram(mixture, portrait, feature))
    parse(draw_pair(mixture, portrait, 0, 1))
    parse(draw_pairs(mixture, portrait))


@pytest.fixture(scope="module")
def portrait(mixture: MixtureParameters) -> Portrait:
    return draw_portrait(mixture, NAMES)


def test_a_histogram_has_the_rows_and_what_each_component_expects(
    mixture: MixtureParameters, portrait: Portrait
) -> None:
    rows = draw_rows(mixture)
    table = draw_histogram(mixture, portrait, "arr_delay").table
    assert len(table) == 66
    for _, one in table.iterrows():
        assert one["observed"] == pytest.approx(np.mean((rows[1] >= one["from"]) & (rows[1] < one["to"])), abs=1e-12)
        for i in range(4):
            normal = stats.norm(mixture.means[i, 1], np.sqrt(mixture.covariances[i, 1, 1]))
            expected = mixture.weights[i] * (normal.cdf(one["to"]) - normal.cdf(one["from"]))
            assert one[f"component {i}"] == pytest.approx(expected, abs=1e-12)
    assert table["modelled"].sum() == pytest.approx(1.0, abs=1e-12)


def test_a_histogram_is_judged_as_the_report_judges_it(mixture: MixtureParameters, portrait: Portrait) -> None:
    assert draw_histogram(mixture, portrait, 0).reading == judge_features(mixture, portrait)[0].sentence
    rows = draw_rows(mixture)
    rows[0, :6000] = 0.5
    other = Portrait.of(mixture, rows, feature_names=NAMES)
    figure = draw_histogram(mixture, other, 0)
    assert figure.reading == judge_features(mixture, other)[0].sentence
    assert "describes it poorly" in figure.reading
    # The one bar does not press all others to the ground.
    assert any("▴" in text for text in texts(parse(figure)))


def test_each_component_has_a_curve_with_its_number(mixture: MixtureParameters, portrait: Portrait) -> None:
    root = parse(draw_histogram(mixture, portrait, "hour"))
    assert {"0", "1", "2", "3"} <= set(texts(root))
    assert len(marks(root, "line")) == 4 + 1


def test_many_components_are_six_curves_and_one_of_the_others() -> None:
    mixture = make_mixture(50, 3)
    portrait = draw_portrait(mixture)
    root = parse(draw_histogram(mixture, portrait, 1))
    assert len(marks(root, "line")) == 6 + 1 + 1
    assert "grey: 44 others" in texts(root)
    assert "grey: 44 others" in texts(parse(draw_pair(mixture, portrait, 0, 1)))
    assert Colours.of(mixture.weights).coloured == tuple(np.argsort(-mixture.weights)[:6])


def test_an_ellipse_holds_its_share_of_a_components_rows() -> None:
    mixture = make_mixture(1, 2)
    means, covariances = take_plane(mixture, 0, 1)
    rows = draw_rows(mixture, 100_000).T
    for share in (0.5, 0.9):
        assert find_inside(means, covariances, rows, share).mean() == pytest.approx(share, abs=0.005)
        edge = trace(means[0], covariances[0], share)
        distances = np.einsum("ni,ij,nj->n", edge - means, np.linalg.inv(covariances[0]), edge - means)
        np.testing.assert_allclose(distances, stats.chi2(2).ppf(share), rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_a_plane_is_the_mixtures_marginal(kind: str) -> None:
    mixture = make_mixture(3, 4, covariance_type=kind)
    means, covariances = take_plane(mixture, 3, 1)
    dense = mixture.dense_covariances
    np.testing.assert_allclose(means, mixture.means[:, [3, 1]])
    np.testing.assert_allclose(covariances, dense[:, [3, 1]][:, :, [3, 1]])


def test_a_pair_is_an_image_of_all_rows_under_two_ellipses_a_component(
    mixture: MixtureParameters, portrait: Portrait
) -> None:
    figure = draw_pair(mixture, portrait, "air_time", "hour")
    root = parse(figure)
    assert len(marks(root, "image")) == 2  # and the scale of shades
    assert len(marks(root, "line")) == 2 * 4
    np.testing.assert_allclose(figure.table["sd hour"], np.sqrt(mixture.covariances[:, 4, 4]))
    for i in range(4):
        spread = np.sqrt(np.diagonal(mixture.covariances[i]))
        expected = mixture.covariances[i, 2, 4] / (spread[2] * spread[4])
        assert figure.table["correlation"][i] == pytest.approx(expected)


def test_the_reading_of_a_pair_counts_the_rows_in_ellipses(mixture: MixtureParameters, portrait: Portrait) -> None:
    rows = draw_rows(mixture)[[2, 4]].T
    held = find_inside(*take_plane(mixture, 2, 4), rows, 0.9).mean()
    reading = draw_pair(mixture, portrait, 2, 4).reading
    assert abs(float(reading.split()[1]) / 100 - held) < 0.02
    assert "fewer than there should be" not in reading
    elsewhere = Portrait.of(mixture, draw_rows(mixture) + 4.0)
    assert "fewer than there should be" in draw_pair(mixture, elsewhere, 2, 4).reading


def test_components_that_two_features_do_not_tell_apart_are_named() -> None:
    mixture = MixtureParameters(
        [0.4, 0.3, 0.3], [[0.0, 0.0, 0.0], [0.1, 0.0, 9.0], [7.0, 0.0, 0.0]], np.ones((3, 3)), "diag"
    )
    portrait = draw_portrait(mixture)
    assert "components look alike: 0 and 1." in draw_pair(mixture, portrait, 0, 1).reading
    assert "alike" not in draw_pair(mixture, portrait, 0, 2).reading


def test_the_order_of_two_features_only_turns_the_picture(mixture: MixtureParameters, portrait: Portrait) -> None:
    one, other = (draw_pair(mixture, portrait, *pair).reading for pair in ((0, 3), (3, 0)))
    assert one == other


def test_shades_are_empty_where_no_row_is_and_rise_with_the_count() -> None:
    shades = shade(np.array([[0.0, 1.0], [1e4, 1e6]]))
    assert shades[0, 0] == 0
    assert 0.05 < shades[0, 1] < shades[1, 0] < shades[1, 1] < 1
    assert not shade(np.zeros((2, 2))).any()


def test_the_matrix_has_each_pair_once_and_the_mixtures_correlations(
    mixture: MixtureParameters, portrait: Portrait
) -> None:
    figure = draw_pairs(mixture, portrait)
    assert len(figure.table) == 10
    correlations = np.corrcoef(draw_rows(mixture, 200_000))
    for _, one in figure.table.iterrows():
        assert one["correlation"] == pytest.approx(correlations[NAMES.index(one["x"]), NAMES.index(one["y"])], abs=0.02)
    root = parse(figure)
    assert len(marks(root, "image")) == 10
    assert set(NAMES) <= set(texts(root))
    strongest = figure.table.iloc[figure.table["correlation"].abs().argmax()]
    assert f"of {strongest['x']} and {strongest['y']}." in figure.reading


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 2), (50, 40), (3, 12)])
def test_few_and_many_components_and_features_are_drawn(k: int, d: int) -> None:
    mixture = make_mixture(k, d)
    portrait = Portrait.of(mixture, draw_rows(mixture, 2000))
    shown = portrait.frame.shown
    figure = draw_pairs(mixture, portrait)
    size = min(d, 5)
    assert len(marks(parse(figure), "image")) == size * (size - 1) / 2
    parse(draw_histogram(mixture, portrait, d - 1))
    if d > 1:
        parse(draw_pair(mixture, portrait, shown[0], shown[-1]))


def test_a_feature_that_is_constant_is_drawn() -> None:
    mixture = MixtureParameters([0.6, 0.4], [[0.0, 5.0], [3.0, 5.0]], [[1.0, 1e-12], [1.0, 1e-12]], "diag")
    rows = draw_rows(mixture)
    rows[1] = 5.0
    portrait = Portrait.of(mixture, rows)
    assert np.isfinite(log_density(mixture, rows)).all()
    draw_all(mixture, portrait, 1)


def test_a_component_without_weight_and_one_far_off_are_drawn() -> None:
    mixture = MixtureParameters([0.7, 0.3, 0.0], [[0.0, 0.0], [1e6, 0.0], [0.0, 5.0]], np.ones((3, 2)), "diag")
    portrait = draw_portrait(mixture)
    draw_all(mixture, portrait, 0)


def test_features_that_are_not_there_are_named(portrait: Portrait, mixture: MixtureParameters) -> None:
    with pytest.raises(ParameterError, match="got feature 'delay'; need one of 'dep_delay', 'arr_delay'"):
        draw_histogram(mixture, portrait, "delay")
    with pytest.raises(ParameterError, match="no pair of dep_delay and dep_delay; need two of dep_delay"):
        draw_pair(mixture, portrait, 0, 0)
    with pytest.raises(ParameterError, match="one at least"):
        draw_pairs(mixture, portrait, [])


def test_pictures_show_the_rows_that_have_the_features_and_say_how_many_do_not(mixture: MixtureParameters) -> None:
    rows = draw_rows(mixture)
    lacking = np.arange(rows.shape[1]) % 4 == 0
    rows[0, lacking], rows[1, ~lacking] = np.nan, np.nan
    portrait = Portrait.of(mixture, rows, feature_names=NAMES)
    figure = draw_histogram(mixture, portrait, 0)
    assert figure.table["observed"].sum() == pytest.approx(1.0)
    assert figure.table["modelled"].sum() == pytest.approx(1.0)
    assert "It is missing in 25 % of the rows, which are left out here." in figure.reading
    assert "25 % of all rows lack one of the two, and are left out" in draw_pair(mixture, portrait, 0, 2).reading
    assert "lack one" not in draw_pair(mixture, portrait, 2, 3).reading
    parse(draw_pairs(mixture, portrait))  # one of the planes is empty
    with pytest.raises(ParameterError, match="no row of the portrait has both dep_delay and arr_delay"):
        draw_pair(mixture, portrait, 0, 1)
    rows[4] = np.nan
    with pytest.raises(ParameterError, match="no row of the portrait has hour"):
        draw_histogram(mixture, Portrait.of(mixture, rows, feature_names=NAMES), "hour")
