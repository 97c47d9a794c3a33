"""Rows with missing values: exact EM on what was observed, pattern of missingness by pattern."""
