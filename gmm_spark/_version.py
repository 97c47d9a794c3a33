"""The version, written once: the build reads it from here, and a zip shipped by ``--py-files`` has it too."""

__version__ = "0.1.0"
