"""Yesterday and today: a mixture follows its table day by day, without reading yesterday's rows again."""
