"""Checks: what speaks against a fitted mixture, each under a stable code. They read what a fit knows, and no table."""
