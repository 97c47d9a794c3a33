"""Log-densities by pattern, written for a file and read again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.missing.known import from_list, incomplete, to_list
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.errors import ParameterError

HISTOGRAM = LogDensityHistogram(2.0, bin_weights(np.array([1.0, 3.0]), np.array([5.0, 2.0])))


@pytest.mark.parametrize("d", [2, 9])
def test_histograms_by_pattern_survive_a_file(d: int) -> None:
    patterns = [write_pattern(np.arange(d) == i) for i in range(d)]
    found = from_list(json.loads(json.dumps(to_list(dict.fromkeys(patterns, HISTOGRAM), d))), d)
    assert list(found) == patterns
    for one in found.values():
        assert one.ceiling == HISTOGRAM.ceiling
        np.testing.assert_array_equal(one.weights, HISTOGRAM.weights)


def test_complete_rows_are_not_among_them() -> None:
    whole, other = write_pattern(np.zeros(3, bool)), write_pattern(np.array([True, False, False]))
    assert list(incomplete({whole: HISTOGRAM, other: HISTOGRAM})) == [other]


@pytest.mark.parametrize("missing", [None, [], [0, 1, 2], [3], [-1], [0, 0], [True], "0", [0.0], {"0": 1}])
def test_what_is_no_pattern_is_refused(missing: object) -> None:
    with pytest.raises(ParameterError, match="by pattern"):
        from_list([{"missing": missing, **HISTOGRAM.to_dict()}], 3)
    with pytest.raises(ParameterError, match=r"by pattern|histogram"):
        from_list(["x"], 3)
