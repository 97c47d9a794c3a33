"""The mixture itself: parameters, covariance structures, densities, sampling, information criteria."""
