"""Pages of a repository: by number, and by cursor."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python

from dataflow.errors import ParameterError
from dataflow.models.columntypes import is_bytes
from dataflow.query.cursor import condition_after, decode_cursor, encode_cursor
from dataflow.query.sort import Sort, order_for, parse_sort, total_order
from dataflow.repositories.operations import Operations
from dataflow.repositories.options import (
    CursorPaginationParams,
    CursorResult,
    PaginationParams,
    PaginationResult,
    QueryOptions,
)

__all__ = ["cursor_page", "numbered_page", "ordered"]

T = TypeVar("T")


def ordered(records: Operations[Any], statement: Any, sorts: Any) -> Any:
    """Return a statement in a total order: the key decides among equals."""
    sort = total_order(records.spec, parse_sort(records.spec, sorts))
    return statement.order_by(*order_for(records.spec, sort))


def _refuse_window(options: QueryOptions, instead: str) -> None:
    if options.skip or options.limit is not None:
        raise ParameterError(
            problem="skip and limit are for lists without pages "
            f"(got skip={options.skip}, limit={options.limit}).",
            advise=f"pass QueryOptions({instead})",
        )


def numbered_page(records: Operations[T], options: QueryOptions) -> PaginationResult[T]:
    """Return a page by number; one record more than asked for tells whether one follows.

    Raises:
        ParameterError: If `skip` or `limit` are asked for, too.
    """
    _refuse_window(options, 'pagination={"page": …, "per_page": …}')
    page = options.page or PaginationParams()
    where = records.where(options.filters)
    statement = records.select(where, include_deleted=options.include_deleted)
    statement = records.loading(ordered(records, statement, options.order()), options.include)
    statement = statement.offset(page.offset).limit(page.per_page + 1)
    found: list[T] = records.fetched(statement, where.parameters)
    total = None
    if page.count:
        total = records.count(options.filters, include_deleted=options.include_deleted)
    return PaginationResult(
        items=found[: page.per_page],
        total=total,
        page=page.page,
        per_page=page.per_page,
        has_next=len(found) > page.per_page,
    )


def cursor_page(records: Operations[T], options: QueryOptions) -> CursorResult[T]:
    """Return a page by cursor.

    Raises:
        CursorError: If the cursor was altered or belongs to another query.
        ParameterError: If another order, `skip` or `limit` are asked for, too.
    """
    _refuse_window(options, 'cursor_pagination={"limit": …}')
    if options.sorts:
        raise ParameterError(
            problem="pages by cursor are ordered by their cursor_field, not by sorts."
        )
    page = options.after or CursorPaginationParams()
    asked = [(page.cursor_field, page.direction)]
    sort = total_order(records.spec, parse_sort(records.spec, asked))
    where = records.where(options.filters)
    scope = f"{records.spec.table.fullname} {sort!r} {where!r} {records.owner()!r}"
    secret = _secret(records)
    statement = records.select(where, include_deleted=options.include_deleted)
    values = dict(where.parameters)
    if page.cursor is not None:
        place = decode_cursor(secret, scope, page.cursor, len(sort))
        names = [f"after_{number}" for number in range(len(sort))]
        values |= dict(zip(names, _restored(records, sort, place), strict=True))
        nulls = [value is None for value in place]
        statement = statement.where(condition_after(records.spec, sort, nulls, names))
    statement = statement.order_by(*order_for(records.spec, sort)).limit(page.limit + 1)
    statement = records.loading(statement, options.include)
    found: list[T] = records.fetched(statement, values)
    items = found[: page.limit]
    following = None
    if len(found) > page.limit:
        following = encode_cursor(secret, scope, _place(sort, items[-1]))
    return CursorResult(items, following)


def _restored(records: Operations[Any], sort: Sort, place: Sequence[Any]) -> list[Any]:
    """Return a cursor's values in the types of their fields."""
    restored = []
    for (name, _), value in zip(sort, place, strict=True):
        field = records.spec.fields[name]
        plain = bytes.fromhex(value) if value and is_bytes(field.column.type) else value
        known = None if plain is None else records.validator.comparisons.value(field, plain)
        restored.append(known)
    return restored


def _place(sort: Sort, record: Any) -> list[Any]:
    values = [getattr(record, name) for name, _ in sort]
    plain: list[Any] = to_jsonable_python([v.hex() if isinstance(v, bytes) else v for v in values])
    return plain


def _secret(records: Operations[Any]) -> bytes:
    """Return the key that signs cursors: known to whoever may connect, and to no one else."""
    url = records.session.get_bind(records.model).engine.url.render_as_string(hide_password=False)
    return hashlib.sha256(f"cursor {url}".encode()).digest()
