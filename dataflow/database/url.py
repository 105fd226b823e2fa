"""Database URLs: read, checked, and shown without their password."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from dataflow.errors import ConfigurationError

__all__ = ["Address", "parse_url"]

_BACKENDS = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+asyncpg": "postgresql",
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
}


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """A database URL with the backend that serves it."""

    backend: str
    url: URL

    def __str__(self) -> str:
        """Return the URL with the password masked."""
        hidden = {key: "***" for key in self.url.query if "pass" in key.lower()}
        shown = self.url.update_query_dict(hidden) if hidden else self.url
        return shown.render_as_string(hide_password=True).replace("%3Amemory%3A", ":memory:")

    def __repr__(self) -> str:
        """Return the URL with the password masked."""
        return str(self)


def parse_url(text: str) -> Address:
    """Return the address of a database.

    Raises:
        ConfigurationError: For a malformed URL or a database that is not supported.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            problem="the database URL cannot be read.",
            advise="write postgresql://user:password@host/name or sqlite:///file.db; "
            "in a password write '@' as %40, '/' as %2F and ':' as %3A",
        ) from None
    backend = _BACKENDS.get(url.drivername)
    if backend is None:
        raise ConfigurationError(
            problem=f"there is no driver for {url.drivername!r} databases.",
            advise="use postgresql://… or sqlite:///…",
        )
    return Address(backend, url)
