"""Measurements against the raw driver; run with `python -m bench`."""
