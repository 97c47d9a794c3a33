"""The covariance structures, a file each, and what the axis-aligned and the general ones share."""
