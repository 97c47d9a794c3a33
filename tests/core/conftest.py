"""Fixtures of the tests that need no Spark."""

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from gmm_spark.core.kernels import plan
from tests.examples import covariance_type

__all__ = ["covariance_type", "gate", "rng"]


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh stream of a fixed seed for every test, so that none depends on which ran before."""
    return np.random.default_rng(0)


@pytest.fixture(params=["shut", "open"])
def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Send every component to the expanded kernel (shut) or to the accurate one (open)."""
    tolerance = np.inf if request.param == "shut" else -1.0  # no bound exceeds infinity, every one exceeds -1
    for precision in plan.GATE_TOLERANCE:
        monkeypatch.setitem(plan.GATE_TOLERANCE, precision, tolerance)
    return str(request.param)


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread() -> Iterator[None]:
    """As in a Spark task; and on tables this small threads cost more than they give, most of all on a busy machine."""
    with threadpool_limits(1):
        yield
