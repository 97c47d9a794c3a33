"""The suites of ``jobs/benchmark.py``."""
