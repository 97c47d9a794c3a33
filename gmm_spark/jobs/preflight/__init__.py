"""What is checked before a job works, all of it before anything is said; and the plan that ``--dry-run`` prints."""
