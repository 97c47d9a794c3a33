"""The frame that every job runs in: session, progress, report, exit code."""
