"""What turns rows into sums: log-densities, accumulators, moments, histograms."""
