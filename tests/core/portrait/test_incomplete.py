"""A portrait of rows with missing values: each row counts where it has values, and is compared with its like."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gmm_spark.core.description.densities import compare_densities
from gmm_spark.core.description.expected import expect_histograms
from gmm_spark.core.description.fit import judge_features
from gmm_spark.core.description.regions import find_regions
from gmm_spark.core.missing.density import log_density, responsibilities
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.patterns import count_patterns, write_pattern
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import Frame
from gmm_spark.core.portrait.incomplete import IncompletePortraitSums
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import DataError, ParameterError
from tests.core.portrait.test_portrait import ARRAYS, assert_same
from tests.examples import draw_rows, random_mixture


def take(parameters, rows, weight=None, precision="float64", parts=1, patterns=None):
    """Take a portrait by the sums of passes, over several parts of the rows."""
    patterns = tuple(count_patterns(rows)) if patterns is None else patterns
    names = [f"x{i}" for i in range(len(rows))]
    sums = IncompletePortraitSums(Marginals(parameters, precision), Frame.of(parameters), names, patterns)
    total = np.zeros(sums.length)
    for part in np.array_split(np.arange(rows.shape[1]), parts):
        fold = sums.accumulator()
        fold.add(rows[:, part], None if weight is None else weight[part])
        total += fold.vector()
    return sums.read(sums.rescale(sums.rescale(total, 0.25), 4.0))


def with_holes(rows, rng, share=0.2):
    """Rows with a share of their values missing, of which each keeps one at least."""
    missing = rng.random(rows.shape) < share
    missing[rng.integers(0, len(rows), rows.shape[1]), np.arange(rows.shape[1])] = False
    return np.where(missing, np.nan, rows)


def add_noise(parameters, weight=0.2):
    low, high = parameters.means.min(axis=0) - 4.0, parameters.means.max(axis=0) + 4.0
    return MixtureParameters(
        parameters.weights * (1 - weight),
        parameters.means,
        parameters.covariances,
        parameters.covariance_type,
        Noise(weight, low, high),
    )


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_sums_of_passes_make_the_portrait_that_the_definitions_make(covariance_type, weighted, noise, rng):
    mixture = random_mixture(covariance_type, 4, 3, rng)
    rows = with_holes(draw_rows(mixture, 2000, rng)[0], rng)
    mixture = add_noise(mixture) if noise else mixture
    weight = rng.uniform(0, 3, 2000) if weighted else None
    found, expected = take(mixture, rows, weight, parts=3), Portrait.of(mixture, rows, weight)
    assert_same(found, expected)
    order = [found.observed.patterns.index(one) for one in expected.observed.patterns]
    np.testing.assert_allclose(found.observed.shares[order], expected.observed.shares, rtol=1e-9)
    assert found.log_densities.ceiling == pytest.approx(expected.log_densities.ceiling)


def test_a_row_counts_in_the_histograms_of_what_it_has_and_by_its_own_density(rng):
    mixture = random_mixture("full", 3, 2, rng)
    rows = with_holes(draw_rows(mixture, 1500, rng)[0], rng, 0.4)
    found = take(mixture, rows)
    has = ~np.isnan(rows)
    assert found.histograms.sum(axis=1).tolist() == has.sum(axis=1).tolist()
    assert found.pair_histograms.sum() == has.all(axis=0).sum()
    assert found.component_histograms.sum(axis=(1, 2)).tolist() == has.sum(axis=1).tolist()
    np.testing.assert_allclose(found.means, np.nanmean(rows, axis=1))
    np.testing.assert_allclose(found.spreads, np.nanstd(rows, axis=1))
    np.testing.assert_allclose(found.observed.missing, 1 - has.mean(axis=1))
    assert found.observed.incomplete == pytest.approx(1 - has.all(axis=0).mean())
    shares, densities = responsibilities(mixture, rows), log_density(mixture, rows)
    np.testing.assert_allclose(found.confusion, shares @ shares.T)
    assert found.log_densities.quantile(0.3) == pytest.approx(np.quantile(densities, 0.3), abs=0.04)
    assert found.least_likely == (has.all(axis=0) & (densities < found.frame.threshold)).sum()
    np.testing.assert_allclose(
        found.observed.weigh_classes([1]), shares[:, has[1]].sum(axis=1) / has[1].sum(), rtol=1e-9
    )


def test_a_single_precision_portrait_is_the_same_but_for_rounding(rng):
    mixture = random_mixture("full", 3, 2, rng)
    rows = with_holes(draw_rows(mixture, 2000, rng)[0], rng).astype(np.float32)
    found, expected = take(mixture, rows, precision="float32"), Portrait.of(mixture, rows)
    assert np.array_equal(found.histograms, expected.histograms)
    np.testing.assert_allclose(found.confusion, expected.confusion, atol=0.01)


def test_a_portrait_survives_json_and_older_versions_refuse_it(rng):
    mixture = random_mixture("tied", 3, 2, rng)
    rows = with_holes(draw_rows(mixture, 300, rng)[0], rng)
    portrait = take(mixture, rows)
    values = json.loads(json.dumps(portrait.to_dict(), allow_nan=False))
    assert values["format"] == 2
    assert Portrait.of(mixture, draw_rows(mixture, 50, rng)[0]).to_dict().keys() == values.keys() - {"observed"}
    again = Portrait.from_dict(values)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(again, name), getattr(portrait, name), rtol=1e-15, err_msg=name)
    assert again.observed.patterns == portrait.observed.patterns
    assert np.array_equal(again.observed.shares, portrait.observed.shares)


@pytest.mark.parametrize(
    "observed",
    [
        None,
        {"missing": [[0]], "shares": [[1.0, 2.0], [1.0, 2.0]]},
        {"missing": [[2]], "shares": [[1.0, 2.0]]},
        {"missing": [[0]], "shares": [[1.0, 2.0, 3.0]]},
        {"missing": [[0]], "shares": [[-1.0, 2.0]]},
        {"missing": [["a"]], "shares": [[1.0, 2.0]]},
    ],
)
def test_what_is_no_portrait_is_refused(observed, rng):
    mixture = random_mixture("diag", 2, 2, rng)
    values = take(mixture, with_holes(draw_rows(mixture, 50, rng)[0], rng)).to_dict()
    with pytest.raises(ParameterError, match=r"portrait|patterns|sums of responsibilities"):
        Portrait.from_dict(values | {"observed": observed})


def test_rows_of_a_pattern_that_was_not_there_before_are_refused(rng):
    mixture = random_mixture("diag", 2, 2, rng)
    with pytest.raises(DataError, match="is it changing"):
        take(mixture, np.array([[0.0, 1.0], [np.nan, 1.0]]), patterns=(write_pattern(np.zeros(2, bool)),))


def test_values_missing_more_often_in_one_component_do_not_make_a_right_mixture_look_wrong(rng):
    """The mixture's own rows: it describes them well, whatever is missing, and so says the portrait."""
    mixture = random_mixture("full", 3, 3, rng)
    means = 9.0 * np.array([[-1, 0, 1], [0, 1, -1], [1, -1, 0]])  # any feature tells which component a row is of
    mixture = MixtureParameters(mixture.weights, means, mixture.covariances)
    rows, components = draw_rows(mixture, 60_000, rng)
    rates = np.array([[0.9, 0.0, 0.1], [0.0, 0.5, 0.0], [0.2, 0.0, 0.8]])[:, components]
    rows[(rng.random(rows.shape) < rates) & (np.arange(3)[:, None] != rng.integers(0, 3, 60_000))] = np.nan
    portrait = Portrait.of(mixture, rows)
    fits = judge_features(mixture, portrait)
    assert [one.verdict for one in fits] == ["good"] * 3
    assert max(one.misplaced - one.by_chance for one in fits) < 0.01
    assert "It is missing in" in fits[0].sentence
    assert fits[0].missing == pytest.approx(np.isnan(rows[0]).mean())
    assert not find_regions(mixture, portrait)
    like = compare_densities(mixture, portrait.log_densities, observed=portrait.observed)
    assert (like.verdict, like.gap < 0.02) == ("good", True)
    # Without what is missing it would look wrong: that this test can fail.
    plain = expect_histograms(mixture, portrait.frame)[0]
    assert np.abs(portrait.histograms[0] / portrait.histograms[0].sum() - plain).sum() / 2 > 0.1
    assert compare_densities(mixture, portrait.log_densities).verdict == "poor"


def test_a_mixture_that_is_wrong_about_what_was_observed_still_looks_wrong(rng):
    mixture = random_mixture("full", 2, 2, rng)
    rows = with_holes(rng.exponential(3.0, (2, 20_000)), rng)
    portrait = Portrait.of(mixture, rows)
    assert {one.verdict for one in judge_features(mixture, portrait)} == {"poor"}
    assert compare_densities(mixture, portrait.log_densities, observed=portrait.observed).verdict == "poor"
    assert find_regions(mixture, portrait)


def test_a_feature_that_no_row_has_is_left_out_of_the_judgement(rng):
    mixture = random_mixture("full", 2, 3, rng)
    rows, _ = draw_rows(mixture, 2000, rng)
    rows[1] = np.nan
    portrait = take(mixture, rows)
    assert [one.feature for one in judge_features(mixture, portrait)] == [0, 2]
    assert np.isnan(portrait.means[1])
    assert not find_regions(mixture, portrait)
