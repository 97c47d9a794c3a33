"""EM for Gaussian mixtures on numpy arrays. Knows nothing of Spark.

Rows travel as *blocks*: arrays of shape (d, m), one row per feature. The kernels are matrix products over the m rows of
the table, and are fastest if these lie along the contiguous axis.
"""
