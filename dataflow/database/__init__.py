"""Engines, pools, transactions and the drivers behind the hot path."""
