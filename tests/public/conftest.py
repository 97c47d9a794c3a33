"""Fixtures of the cases that come from other libraries' public tests."""

from tests.core.conftest import one_blas_thread
from tests.examples import covariance_type

__all__ = ["covariance_type", "one_blas_thread"]
