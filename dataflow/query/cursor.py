"""Keyset cursors: where the next page begins, signed against tampering."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from dataflow.errors import CursorError
from dataflow.models.columntypes import comparable
from dataflow.models.spec import ModelSpec
from dataflow.query.sort import Sort

__all__ = ["condition_after", "decode_cursor", "encode_cursor"]

_SIGNATURE_BYTES = 12


def _sign(secret: bytes, scope: str, body: bytes) -> bytes:
    digest = hmac.new(secret, scope.encode() + b"\0" + body, hashlib.sha256).digest()
    return digest[:_SIGNATURE_BYTES]


def encode_cursor(secret: bytes, scope: str, values: Sequence[Any]) -> str:
    """Return a token for a place in an order.

    Args:
        secret: Signing key.
        scope: What the cursor is valid for: model, order and filter.
        values: JSON values of the sort fields of the last record.
    """
    body = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sign(secret, scope, body) + body).decode().rstrip("=")


def decode_cursor(secret: bytes, scope: str, token: Any, count: int) -> list[Any]:
    """Return the values of a token made for the same scope.

    Raises:
        CursorError: If it was altered or made for another query.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise CursorError(problem="is not a cursor") from None
    signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == token
    if not canonical or not hmac.compare_digest(signature, _sign(secret, scope, body)):
        raise CursorError(problem="was altered, or belongs to another query")
    values: list[Any] = json.loads(body)
    if len(values) != count:
        raise CursorError(problem="belongs to another query")
    return values


def condition_after(
    spec: ModelSpec, sort: Sort, nulls: Sequence[bool], names: Sequence[str]
) -> sa.ColumnElement[bool]:
    """Return the condition for records that follow a place in the order.

    Args:
        spec: The model.
        sort: The order, ending with the key.
        nulls: Which of the place's values are null.
        names: Parameter names of the place's values.
    """
    columns = [spec.fields[name].column for name, _ in sort]
    binds = [
        sa.bindparam(name, type_=comparable(column.type))
        for name, column in zip(names, columns, strict=True)
    ]
    directions = {descending for _, descending in sort}
    nullable = any(spec.fields[name].nullable for name, _ in sort)
    if len(directions) == 1 and not nullable:
        left, right = sa.tuple_(*columns), sa.tuple_(*binds)
        return left < right if directions == {True} else left > right
    return _lexicographic(columns, binds, [descending for _, descending in sort], nulls)


def _lexicographic(
    columns: Sequence[sa.Column[Any]],
    binds: Sequence[sa.BindParameter[Any]],
    descending: Sequence[bool],
    nulls: Sequence[bool],
) -> sa.ColumnElement[bool]:
    """Compare column by column; null is below every value."""
    branches = []
    same: list[sa.ColumnElement[bool]] = []
    for column, bind, down, null in zip(columns, binds, descending, nulls, strict=True):
        branches.append(sa.and_(*same, _beyond(column, bind, down=down, null=null)))
        same.append(column.is_(None) if null else column == bind)
    return sa.or_(*branches)


def _beyond(
    column: sa.Column[Any], bind: sa.BindParameter[Any], *, down: bool, null: bool
) -> sa.ColumnElement[bool]:
    if down:
        if null:
            return sa.false()
        below = column < bind
        return sa.or_(below, column.is_(None)) if column.nullable else below
    return column.is_not(None) if null else column > bind
