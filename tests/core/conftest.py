"""Fixtures of the tests that need no Spark."""

import numpy as np
import pytest
from examples import covariance_type

__all__ = ["covariance_type", "rng"]


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh stream of a fixed seed for every test, so that none depends on which ran before."""
    return np.random.default_rng(0)
