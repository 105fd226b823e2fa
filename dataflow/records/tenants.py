"""Whose records a call may see: the rule of a model that tenants share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from dataflow.context import ALL_TENANTS, session_tenant, tenant
from dataflow.errors import ParameterError, TenantRequiredError, shown
from dataflow.models.spec import FieldSpec, ModelSpec

__all__ = ["TenantRule"]


class TenantRule:
    """Reads the tenant of the running call, and refuses where there is none."""

    def __init__(self, spec: ModelSpec, field: FieldSpec) -> None:
        """Keep the field; its type is checked at first use."""
        self.column = field.column
        self.name = field.name
        self.names = frozenset({field.name, field.column.key, str(field.column.name)})
        self._model = spec.name
        self._field = field
        self._adapter: TypeAdapter[Any] | None = None
        self._known: dict[Any, Any] = {}
        self._parameter = sa.bindparam(
            f"dataflow_tenant_of_{spec.table.name}",
            callable_=self.value,
            type_=field.column.type,
        )

    def value(self) -> Any:
        """Return the tenant of the running call in the field's type.

        Raises:
            TenantRequiredError: If none was set, or all of them.
            ParameterError: If it does not fit the field.
        """
        return self._one(tenant.get())

    def _one(self, current: Any) -> Any:
        try:
            return self._known[current]
        except (KeyError, TypeError):
            pass
        if current is None or current is ALL_TENANTS:
            raise TenantRequiredError(model=self._model, everyone=current is not None)
        return self._checked(current)

    def _checked(self, current: Any) -> Any:
        if self._adapter is None:
            self._adapter = TypeAdapter(self._field.annotation)
        if self._field.declared is str and isinstance(current, int | UUID):
            current = str(current)
        try:
            value = self._adapter.validate_python(current)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise ParameterError(
                problem=f"the tenant {shown(current)} does not fit "
                f"{self._model}.{self.name}: {reason}."
            ) from None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[current] = value
        return value

    def of_session(self) -> Any:
        """Return the tenant of the session whose statement is being executed.

        Raises:
            TenantRequiredError: If it has none, or all of them.
            ParameterError: If it does not fit the field.
        """
        return self._one(session_tenant.get())

    def require(self) -> None:
        """Refuse a call without a tenant; all of them will do for reads.

        Raises:
            TenantRequiredError: Before any statement is sent.
        """
        if tenant.get() is not ALL_TENANTS:
            self.value()

    def condition(self) -> sa.ColumnElement[bool] | None:
        """Return what holds for the call's records; None where it may see all."""
        if tenant.get() is ALL_TENANTS:
            return None
        return self.column == self._parameter


_KNOWN = 10_000
