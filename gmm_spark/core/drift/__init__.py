"""Drift: how the rows of a table differ from the rows that a mixture was fitted to."""
