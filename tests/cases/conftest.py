"""Fixtures of the cases from public reports."""

from tests.core.conftest import one_blas_thread, rng
from tests.examples import covariance_type

__all__ = ["covariance_type", "one_blas_thread", "rng"]
