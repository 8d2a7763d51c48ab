"""Dagster, and nothing else: assets of a few lines that call the floors below."""
