"""The job sample says how many of its rows have values that no training row has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gmm_spark import GaussianMixtureModel
from gmm_spark.jobs.sample import describe_overreach
from tests.core.drift.profiles import MIXTURE, draw, profile_of


def test_drawn_rows_beyond_the_training_rows_are_told_by_the_columns_names() -> None:
    known = profile_of(draw(4000, seed=1))
    assert known.lows is not None
    cut = replace(known, lows=np.array([0.0, known.lows[1]]))
    told = "34 % with delay below 0, the least value of any row"
    assert describe_overreach(GaussianMixtureModel(MIXTURE, ["delay", "height"], None, cut)) == told
    numbered = GaussianMixtureModel(MIXTURE, None, None, cut)
    assert describe_overreach(numbered) == told.replace("delay", "feature 0")


def test_a_model_that_reaches_no_further_or_knows_no_training_rows_says_nothing() -> None:
    inside = GaussianMixtureModel(MIXTURE, ["a", "b"], None, profile_of(draw(4000, seed=1)))
    assert describe_overreach(inside) == ""
    assert describe_overreach(GaussianMixtureModel(MIXTURE)) == ""
