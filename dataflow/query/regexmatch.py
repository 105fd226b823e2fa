"""Regular expressions on text columns, in each database's words."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator

from dataflow.database.sqlite_text import regex_matcher
from dataflow.query.regex import Regex, posix_of

__all__ = ["RegexMatch"]


class _Pattern(TypeDecorator[Any]):
    """A `Regex`: with embedded options on PostgreSQL, the bare pattern elsewhere."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        return _embedded if dialect.name == "postgresql" else _checked


class _Flags(TypeDecorator[Any]):
    """The options of a `Regex`."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        del dialect
        return lambda regex: ("i" if regex.ignore_case else "") + ("s" if regex.dot_all else "")


def _embedded(regex: Regex) -> str:
    return f"{'(?i)' if regex.ignore_case else ''}{posix_of(regex)}"


def _checked(regex: Regex) -> str:
    """Return a pattern that the engine takes; inside SQLite its refusal would be lost."""
    regex_matcher(regex.body, ignore_case=regex.ignore_case, dot_all=regex.dot_all)
    return regex.body


class RegexMatch(sa.ColumnElement[bool]):
    """Whether a pattern is found in a text; unknown for null."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("column", InternalTraversal.dp_clauseelement),
        ("pattern", InternalTraversal.dp_clauseelement),
        ("flags", InternalTraversal.dp_clauseelement),
    ]
    type = sa.Boolean()

    def __init__(self, column: sa.ColumnElement[Any], pattern: str, flags: str) -> None:
        """Search a column for the regex bound under both names."""
        self.column = column
        self.pattern: sa.BindParameter[Any] = sa.bindparam(pattern, type_=_Pattern())
        self.flags: sa.BindParameter[Any] = sa.bindparam(flags, type_=_Flags())


@compiles(RegexMatch)
def _search(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    parts = (element.pattern, element.flags, element.column)
    return f"dataflow_regexp({', '.join(compiler.process(part, **options) for part in parts)})"


@compiles(RegexMatch, "postgresql")
def _search_posix(element: RegexMatch, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    return f"({column} ~ {compiler.process(element.pattern, **options)})"
