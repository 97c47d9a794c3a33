"""What surrounds the work of a job: session, progress bar, run report, exit code."""
