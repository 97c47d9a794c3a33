"""Files, tables and parameter files in and out of a job."""
