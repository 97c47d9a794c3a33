"""The EM loop over a table: runs, their steps, acceleration and reseeding."""
