"""Configuration of the jobs: TOML files and flags, read and checked."""
