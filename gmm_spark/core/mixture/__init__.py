"""The mixture itself: parameters, covariance structures, densities, draws, criteria."""
