"""Tables that tenants share: keys, unique values and foreign keys stay within one tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from dataflow.context import ALL_TENANTS, tenant
from dataflow.errors import OptionError, ParameterError, shown
from dataflow.models.naming import index_name

__all__ = [
    "TENANT",
    "add_tenant_key",
    "as_stored",
    "checked_tenant",
    "keep_within_tenant",
    "make_unique_within_tenant",
    "tenant_default",
    "without_tenant",
]

TENANT = "tenant_id"
"""Name of the field that says whose record it is."""


def add_tenant_key(table: sa.Table, tenant: sa.Column[str]) -> None:
    """Make tenant and key together a target of foreign keys, where they are not the key."""
    if tenant.primary_key:
        return
    _unique_index(table, (tenant, *table.primary_key.columns), {})


def make_unique_within_tenant(table: sa.Table, tenant: sa.Column[str]) -> None:
    """Let each tenant have its own unique values: what others have cannot be told."""
    for constraint in list(table.constraints):
        if isinstance(constraint, sa.UniqueConstraint) and tenant.name not in constraint.columns:
            table.constraints.discard(constraint)
            _unique_index(table, (tenant, *constraint.columns), {})
    for index in list(table.indexes):
        if index.unique and tenant.name not in index.columns:
            table.indexes.discard(index)
            _unique_index(table, (tenant, *index.columns), dict(index.dialect_kwargs))


def _unique_index(table: sa.Table, columns: tuple[Any, ...], options: dict[str, Any]) -> None:
    names = tuple(str(column.name) for column in columns)
    sa.Index(index_name("uq", str(table.name), names), *columns, unique=True, **options)


def keep_within_tenant(tables: Mapping[str, sa.Table], tenants: Iterable[str]) -> None:
    """Let the database refuse foreign keys from one tenant's record to another's.

    A foreign key between two tables of tenants leads to tenant and key. SQLAlchemy's
    relationships go on to see the key as it was declared, so that they join on what
    their author wrote; only the database sees the wider one.

    Args:
        tables: All tables by full name.
        tenants: The names of those that tenants share.
    """
    shared = set(tenants)
    for name in shared:
        for constraint in list(tables[name].foreign_key_constraints):
            target = constraint.elements[0].target_fullname.rpartition(".")[0]
            if target in shared and len(constraint.elements) == 1:
                _widen(tables[name], tables[target], constraint)


def checked_tenant(tenant_id: Any) -> Any:
    """Return what names a tenant: a text, a whole number or a UUID.

    Raises:
        ParameterError: For anything else, an empty text among it.
    """
    named = isinstance(tenant_id, str | int | UUID) and not isinstance(tenant_id, bool)
    if not named or tenant_id == "":
        raise ParameterError(problem=f"{shown(tenant_id)} names no tenant.")
    return tenant_id


def as_stored(tenant_id: Any, column: sa.Column[Any]) -> Any:
    """Return a tenant as a column holds it: as its text, where it holds texts."""
    return str(tenant_id) if issubclass(column.type.python_type, str) else tenant_id


def tenant_default(context: Any) -> Any:
    """Return the tenant of the session, or else of the call, for a record without one.

    Sessions of ours say it on their connection; anyone else's connection says nothing.
    """
    options = context.connection.get_execution_options()
    current = options["dataflow_tenant"] if "dataflow_tenant" in options else tenant.get()
    if current is None or current is ALL_TENANTS:
        return None
    return as_stored(current, context.current_column)


def without_tenant(columns: Sequence[str]) -> Sequence[str]:
    """Return the columns of a constraint as its author wrote them."""
    return [name for name in columns if name != TENANT] or columns


def _widen(table: sa.Table, target: sa.Table, narrow: sa.ForeignKeyConstraint) -> None:
    (key,) = narrow.elements
    column, referred = key.parent, key.column
    if TENANT in (column.name, referred.name):
        return
    action = narrow.ondelete
    if action != "SET NULL":
        table.constraints.discard(narrow)
    elif _is_key_alone(target, referred):
        action = None  # both stand: the narrow one forgets the key, but not the tenant
    else:
        raise OptionError(
            model=str(table.name),
            problem=f"on_delete='set_null' of {column.name!r} would forget the tenant, too.",
            advise="take on_delete='cascade', or a key that the database generates",
        )
    names = (TENANT, str(column.name))
    wide = sa.ForeignKeyConstraint(
        names,
        (f"{target.fullname}.{TENANT}", f"{target.fullname}.{referred.name}"),
        name=index_name("fk", str(table.name), names),
        ondelete=action,
    )
    if wide.name in {constraint.name for constraint in table.constraints}:
        return
    table.append_constraint(wide)
    for element in wide.elements:
        element.parent.foreign_keys.discard(element)
        table.foreign_keys.discard(element)


def _is_key_alone(table: sa.Table, column: sa.Column[str]) -> bool:
    """Whether a column alone tells records of all tenants apart."""
    return list(table.primary_key.columns) == [column]
