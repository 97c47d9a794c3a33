from __future__ import annotations

import numpy as np

from gmm_spark.core.kernels.statistics import SufficientStatistics


def test_the_lower_bound_is_the_mean_log_likelihood_and_nan_without_weight():
    zero = np.zeros((2, 3))
    some = SufficientStatistics("diag", zero, 5.0, 4.0, -10.0, resp_sum=np.zeros(2), first=zero, second=zero)
    assert some.lower_bound == -2.5
    none = SufficientStatistics("diag", zero, 0.0, 0.0, 0.0, resp_sum=np.zeros(2), first=zero, second=zero)
    assert np.isnan(none.lower_bound)
