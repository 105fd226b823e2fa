"""Pages of any SQLAlchemy query, for those who write their own statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Query, Session

from dataflow.errors import ParameterError, UnknownFieldError
from dataflow.models.declare import spec_for
from dataflow.query.cursor import decode_cursor, encode_cursor
from dataflow.repositories.options import PaginationParams, PaginationResult

__all__ = ["DatabasePaginator", "PaginationHelper", "PerformancePaginator"]

Select = Any  # a select() of one model, or a Query of one


class _Estimate(sa.Executable, sa.ClauseElement):
    """A statement whose plan is asked for instead of its rows."""

    inherit_cache = False

    def __init__(self, statement: Any) -> None:
        self.statement = statement


@compiles(_Estimate)
def _compile_nothing(element: Any, compiler: Any, **options: Any) -> str:
    del element, compiler, options
    return "SELECT NULL"


@compiles(_Estimate, "postgresql")
def _compile_estimate(element: Any, compiler: Any, **options: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + str(compiler.process(element.statement, **options))


class PaginationHelper:
    """Cursors for own statements: opaque texts, signed against tampering."""

    def __init__(self, secret: str | bytes, scope: str = "") -> None:
        """Keep the key.

        Args:
            secret: Signs the cursors; whoever knows it can make some.
            scope: What the cursors are for; those of another scope are refused.
        """
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._scope = scope

    def encode_cursor(self, values: Sequence[Any]) -> str:
        """Return a cursor for the JSON values of a place in an order."""
        return encode_cursor(self._secret, self._scope, values)

    def decode_cursor(self, cursor: str, count: int = 1) -> list[Any]:
        """Return the values of a cursor.

        Raises:
            CursorError: If it was altered, or is for something else.
        """
        return decode_cursor(self._secret, self._scope, cursor, count)


class DatabasePaginator:
    """Pages by number of a query in a session."""

    def __init__(self, session: Session) -> None:
        """Keep the session."""
        self.session = session

    def paginate(
        self, query: Select, params: PaginationParams | None = None
    ) -> PaginationResult[Any]:
        """Return a page with its total.

        Args:
            query: A `select()` of one model, or a `Query`.
            params: Which page; None: the first.
        """
        page, statement = params or PaginationParams(), _statement(query)
        limited = statement.offset(page.offset).limit(page.per_page + 1)
        found = list(self.session.scalars(limited).unique())
        return PaginationResult(
            items=found[: page.per_page],
            total=_count(self.session, statement) if page.count else None,
            page=page.page,
            per_page=page.per_page,
            has_next=len(found) > page.per_page,
        )


class PerformancePaginator:
    """Pages of large tables: with an estimated total, or deep inside."""

    @staticmethod
    def paginate_with_count_estimate(
        session: Session, query: Select, page: int = 1, per_page: int = 20,
        count_threshold: int = 10_000,
    ) -> tuple[list[Any], int]:  # fmt: skip
        """Return a page, and about how many records there are.

        Args:
            session: Where.
            query: A `select()` of one model, or a `Query`.
            page: From 1.
            per_page: From 1.
            count_threshold: Below this estimate the records are counted. Databases
                without estimates, such as SQLite, always count.
        """
        params, statement = PaginationParams(page, per_page), _statement(query)
        limited = statement.offset(params.offset).limit(params.per_page)
        items = list(session.scalars(limited).unique())
        estimate = _estimate(session, statement)
        if estimate is None or estimate < count_threshold:
            return items, _count(session, statement)
        return items, estimate

    @staticmethod
    def deep_pagination_optimize(
        session: Session, query: Select, page: int = 1, per_page: int = 20,
        cursor_field: str = "created_at",
    ) -> tuple[list[Any], int]:  # fmt: skip
        """Return a page far inside, and the total.

        Only the keys of the records before it are passed over, not the records: they
        are found in an index first and joined back. A cursor is faster still, where the
        page before is known.

        Args:
            session: Where.
            query: A `select()` of one model, or a `Query`.
            page: From 1.
            per_page: From 1.
            cursor_field: What the records are ordered by; the key decides among equals.

        Raises:
            UnknownFieldError: If the model has no such field.
        """
        params, statement = PaginationParams(page, per_page), _statement(query)
        model = _model(statement)
        spec = spec_for(model)
        if cursor_field not in spec.fields:
            raise UnknownFieldError(name=cursor_field, model=spec.name, known=tuple(spec.fields))
        keys = [spec.fields[name].column for name in spec.key]
        order = [spec.fields[cursor_field].column, *keys]
        inner = statement.with_only_columns(*keys, maintain_column_froms=True)
        inner = inner.order_by(None).order_by(*order)
        chosen = inner.offset(params.offset).limit(params.per_page).subquery()
        joined = sa.and_(*(chosen.c[key.key] == key for key in keys))
        rows = session.scalars(sa.select(model).join(chosen, joined).order_by(*order))
        return list(rows.unique()), _count(session, statement)


def _statement(query: Select) -> Any:
    statement: Any = query.statement if isinstance(query, Query) else query
    if not isinstance(statement, sa.Select):
        raise ParameterError(
            problem=f"a page is made of a select() or a Query, not of {type(query).__name__}."
        )
    return statement


def _model(statement: Any) -> Any:
    found = statement.column_descriptions
    if len(found) != 1 or found[0].get("entity") is not found[0]["expr"]:
        raise ParameterError(problem="the query must return one model: select(User).")
    return found[0]["entity"]


def _count(session: Session, statement: Any) -> int:
    counted = statement.order_by(None).subquery()
    return int(session.scalar(sa.select(sa.func.count()).select_from(counted)) or 0)


def _estimate(session: Session, statement: Any) -> int | None:
    """Return the planner's estimate, or None where there is none."""
    plan = session.connection().execute(_Estimate(statement)).scalar_one()
    if plan is None:
        return None
    return int((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"])
