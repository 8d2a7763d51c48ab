"""Which audio embedding serves your music best? Measure it, then search with it."""

__version__ = "0.1.0"
