"""Files as Spark sees them, and the runs that jobs keep in them: claims, manifests, which run is read."""
