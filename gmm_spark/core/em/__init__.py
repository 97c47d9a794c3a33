"""The EM loop over a table, and what makes it take fewer passes."""
