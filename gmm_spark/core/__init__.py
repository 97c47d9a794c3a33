"""EM for Gaussian mixtures on numpy arrays. Knows nothing of Spark.

Rows travel as *blocks*: arrays of shape (d, m), one row per feature, because every kernel here is a
matrix product over the m rows of the table and wants them along the contiguous axis.
"""
