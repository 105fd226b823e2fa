"""Filters, sorts and cursors, turned into SQLAlchemy expressions; pure, no I/O."""
