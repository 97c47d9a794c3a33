"""The fixture that runs a test on all covariance structures."""

from tests.examples import covariance_type

__all__ = ["covariance_type"]
