"""A mixture without Spark: saved models are read, and rows in memory scored, by numpy, scipy and pyarrow alone."""
