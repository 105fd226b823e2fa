"""How types, defaults and values are written in a revision file: portable and importable.

Loads Alembic; import this module at use only.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate.render import _repr_type

from dataflow.models.columntypes import (
    Converted,
    CurrentInstant,
    EnumValue,
    ExactDecimal,
    JsonValue,
    TextKey,
)
from dataflow.models.sqltext import sql_text

__all__ = ["literal_text", "render_item", "render_type", "render_value"]

_MODULES = (dt, decimal, uuid)


def render_item(kind: str, item: Any, context: Any) -> str | Literal[False]:
    """Write a type or a default, for Alembic's option of this name.

    Returns:
        The Python text; False where Alembic's own is right.
    """
    if kind == "type":
        return _type(item, context)
    if kind == "server_default":
        return _default(getattr(item, "arg", None), context)
    return False


def _type(kind: Any, context: Any) -> str | Literal[False]:
    if isinstance(kind, EnumValue):
        text = "sa.String().with_variant(sa.Text(), 'sqlite')"  # as the type itself compiles
        return "sa.BigInteger()" if kind.numeric else text
    if isinstance(kind, Converted):
        context.imports.add("from dataflow.models import columntypes")
        bounds = _bounds(kind)
        given = "" if set(bounds) <= {None} else ", ".join(map(repr, bounds))
        return f"columntypes.{type(kind).__name__}({given})"
    module = type(kind).__module__
    if not module.startswith("sqlalchemy."):
        context.imports.add(f"import {module}")
    return False


def _bounds(kind: Converted) -> tuple[int | None, ...]:
    if isinstance(kind, ExactDecimal):
        return kind.precision, kind.scale
    return (getattr(kind.impl_instance, "length", None),) if isinstance(kind, TextKey) else ()


def _default(default: Any, context: Any) -> str | Literal[False]:
    if isinstance(default, str):
        return repr(default)
    if isinstance(default, sa.True_ | sa.False_):
        return f"sa.{str(default).lower()}()"
    if isinstance(default, sa.TextClause):
        return f"sa.text({literal_text(default).text!r})"
    if isinstance(default, CurrentInstant):
        context.imports.add("from dataflow.models import columntypes")
        return "columntypes.CurrentInstant()"
    if isinstance(default, sa.BindParameter):
        value = render_value(default.value, default.type, context)
        return f"sa.literal({value}, {render_type(default.type, context)})"
    return False


def render_type(kind: Any, context: Any) -> str:
    """Write a type as Alembic and `render_item` do."""
    return str(_repr_type(kind, context))


def literal_text(clause: sa.TextClause) -> sa.TextClause:
    """Return SQL that was read from a database without the parameters that it seems to have."""
    return sql_text(clause.text) if clause._bindparams else clause  # noqa: SLF001 - told nowhere else


def render_value(value: Any, kind: Any, context: Any) -> str:
    """Write a value so that the type stores the same on every database."""
    if isinstance(kind, JsonValue):
        return repr(json.loads(kind.encode(value)))
    if isinstance(value, enum.Enum):
        value = value.value
    for module in _MODULES:
        if type(value).__module__ == module.__name__:
            context.imports.add(f"import {module.__name__}")
            text = repr(value)
            return text if text.startswith(module.__name__) else f"{module.__name__}.{text}"
    return repr(value)
