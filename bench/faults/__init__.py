"""Faults and load, with what must hold; run with `python -m bench.faults`."""
