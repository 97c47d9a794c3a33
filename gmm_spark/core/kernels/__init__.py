"""From blocks of rows to sums: log-densities, accumulators, moments, histograms."""
