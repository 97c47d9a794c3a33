"""Fixtures of the tests that need no Spark."""

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.examples import covariance_type

__all__ = ["covariance_type", "rng"]


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh stream of a fixed seed for every test, so that none depends on which ran before."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread() -> Iterator[None]:
    """As in a Spark task; and on tables this small threads cost more than they give, most of all on a busy machine."""
    with threadpool_limits(1):
        yield
