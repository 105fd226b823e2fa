"""Repositories and sessions: the data layer of applications written with SQLAlchemy."""
