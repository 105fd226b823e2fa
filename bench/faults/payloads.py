"""Texts that end a literal, a name or a path where they are not kept apart from SQL."""

from __future__ import annotations

__all__ = ["PAYLOADS"]

PAYLOADS: tuple[str, ...] = (
    # quotes and what ends a statement
    "'", '"', "''", '""', "`", "'; DROP TABLE secrets; --", '"; DROP TABLE secrets; --',
    "x' OR '1'='1", 'x" OR "1"="1', "1; DELETE FROM secrets", "') OR 1=1 --", "'))--",
    "' UNION SELECT word FROM secrets --", "(SELECT word FROM secrets)", "];--", "x'||'y",
    # comments
    "--", "-- x", "/*", "*/", "/* x */", "#",
    # parameters of drivers and of SQLAlchemy
    ":x", "::text", ":1", "?", "??", "$1", "$2", "@x", "%", "%s", "%(x)s", "%%", "%(w0)s",
    # dollar quotes, variables and operators of MongoDB
    "$$", "$$ROOT", "$$NOW", "$x$ y $x$", "$name", "$where", "$ne", "$expr",
    # braces of str.format
    "{0}", "{all}", "{", "}", "{{}}", "{name}", "{0.__class__}",
    # backslashes, patterns
    "\\", "\\'", '\\"', "\\\\", "a\\", "_", "*", "^$", "(", "[", "a{5", "\\b",
    # fragments of jsonpath and of JSON
    "$.a", "$[*]", "@.a", 'a" == 1)', '") || (1 == 1', "? (@ > 1)", "a.b", "..", "a..b",
    '{"a": 1}', "null", "true", "1e5", "-1",
    # controls and Unicode
    "\0", "a\0b", "\x01", "\n", "\t", "\x7f", "\u2028", "\ufeff", "\u00df", "\u0130", "\u202e",
    "\uff41\uff07", "\u2019", "\U0001f984", "e\u0301", "\ud800", "x" * 2_000,
    # empty, blank, and names that mean something to somebody
    "", " ", "id", "name ", "NAME", "__class__", "rowid", "ctid", "c0", "s1", "\0place", "w0",
)  # fmt: skip
