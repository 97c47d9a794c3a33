"""From a table and a sample of it to a fitted mixture, or a grid of them: many starts, few passes."""
