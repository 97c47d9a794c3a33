"""Many starts, few passes: one mixture, or a grid of them."""
