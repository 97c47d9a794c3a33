"""A job's configuration: sections, fields, command line, secrets."""
