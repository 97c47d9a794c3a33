"""The report of a fitted mixture, and the comparison of two: one HTML page each, that needs no network."""
