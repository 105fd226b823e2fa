"""What every statement of every verb carries: tenant, soft delete, versions, timestamps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from dataflow.context import actor
from dataflow.errors import AppendOnlyError
from dataflow.models.columns import utc_now
from dataflow.models.spec import ModelSpec
from dataflow.records.tenants import TenantRule

__all__ = ["Scope"]


class Scope:
    """The rules of one model that no caller can forget."""

    def __init__(self, spec: ModelSpec) -> None:
        """Find the columns that the model's options maintain."""
        self.spec = spec
        self._name = spec.name
        self._append_only = spec.options.append_only
        fields = spec.fields
        self.tenant = None if spec.tenant is None else TenantRule(spec, spec.tenant)
        own = {name: field for name, field in fields.items() if field.generated == "dataflow"}
        self.live = fields["deleted_at"].column if spec.options.soft_delete else None
        self.version = fields["version"].column if spec.options.versioned else None
        self._created = tuple(name for name in ("created_at", "updated_at") if name in own)
        self._updated = tuple(name for name in ("updated_at",) if name in own)
        self._actors = spec.options.actors
        self._onupdate = {
            name: _maker(field.column.onupdate)
            for name, field in fields.items()
            if name not in own and _is_made_here(field.column.onupdate)
        }
        self._deleter = "deleted_by" in fields and self.live is not None

    def visible(self, *, include_deleted: bool = False) -> sa.ColumnElement[bool] | None:
        """Return the condition that hides deleted and other tenants' records, or None."""
        conditions = []
        if self.tenant is not None:
            conditions.append(self.tenant.condition())
        if self.live is not None and not include_deleted:
            conditions.append(self.live.is_(None))
        given = [condition for condition in conditions if condition is not None]
        return sa.and_(*given) if given else None

    def owns(self, table: Any) -> bool:
        """Whether a table is the model's own, and not one of the same name."""
        return getattr(table, "metadata", None) is self.spec.table.metadata

    def created(self) -> dict[str, Any]:
        """Return the values that a new record gets where the caller gives none."""
        now = utc_now()
        values: dict[str, Any] = dict.fromkeys(self._created, now)
        if self.version is not None:
            values["version"] = 1
        if self.live is not None:
            values["deleted_at"] = None
        if self._actors:
            values["created_by"] = values["updated_by"] = actor.get()
        return values | self.owned()

    def owned(self) -> dict[str, Any]:
        """Return the value that says whose record it is, if tenants share the table."""
        return {} if self.tenant is None else {self.tenant.name: self.tenant.value()}

    def updated(self) -> dict[str, Any]:
        """Return the values that a changed record gets where the caller gives none."""
        values: dict[str, Any] = dict.fromkeys(self._updated, utc_now())
        for name, make in self._onupdate.items():
            values[name] = make()
        if self._actors:
            values["updated_by"] = actor.get()
        return values

    @property
    def stamps(self) -> tuple[str, ...]:
        """Names of the fields that a new and a changed record get the same value for."""
        return (*self._updated, "updated_by") if self._actors else self._updated

    def deleted(self) -> dict[str, Any]:
        """Return the values that mark a record as deleted."""
        values = {**self.updated(), "deleted_at": utc_now()}
        if self._deleter:
            values["deleted_by"] = actor.get()
        return values

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of the fields that a soft delete sets."""
        return ("deleted_at", "deleted_by") if self._deleter else ("deleted_at",)

    def increments(self) -> Mapping[str, Any]:
        """Return assignments computed by the database, by column name."""
        if self.version is None:
            return {}
        return {self.version.name: self.version + 1}

    def refuse_change(self, verb: str) -> None:
        """Refuse updates and deletes of append-only models, and without one tenant.

        Raises:
            AppendOnlyError: Naming the verb.
            TenantRequiredError: If tenants share the table and none was set.
        """
        if self.tenant is not None:
            self.tenant.value()
        self.refuse_append_only(verb)

    def refuse_append_only(self, verb: str) -> None:
        """Refuse updates and deletes of append-only models.

        Raises:
            AppendOnlyError: Naming the verb.
        """
        if self._append_only:
            raise AppendOnlyError(model=self._name, verb=verb)


def _is_made_here(onupdate: Any) -> bool:
    """Whether SQLAlchemy would work out in Python what an update sets a column to."""
    return onupdate is not None and (onupdate.is_callable or onupdate.is_scalar)


def _maker(onupdate: Any) -> Callable[[], Any]:
    return partial(onupdate.arg, None) if onupdate.is_callable else lambda: onupdate.arg
