"""Fixtures of the tests of interop: they need no Spark."""

from tests.examples import covariance_type

__all__ = ["covariance_type"]
