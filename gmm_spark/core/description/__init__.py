"""What a fitted mixture means and how well it fits, in figures and sentences; no pass over a table."""
