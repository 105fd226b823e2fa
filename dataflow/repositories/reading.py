"""What repositories read: one model's records in a SQLAlchemy session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, selectinload

from dataflow.context import ALL_TENANTS, tenant
from dataflow.database.sqlite_foreign import teach
from dataflow.errors import (
    DataFlowError,
    FilterError,
    MultipleRecordsError,
    ParameterError,
    RecordNotFoundError,
    TenantRequiredError,
    UnknownFieldError,
    shown,
)
from dataflow.models.declare import spec_for
from dataflow.models.spec import ModelSpec
from dataflow.models.tenancy import as_stored
from dataflow.query.conditions import condition_for
from dataflow.query.filters import Filter, Shape, parse_filter
from dataflow.query.foreignjson import is_document
from dataflow.records.flushing import ScopedSession
from dataflow.records.objectvalues import validator_of
from dataflow.records.related import parse_names
from dataflow.records.scoped_sql import with_deleted
from dataflow.records.unreadable import unreadable
from dataflow.repositories.options import Filters, filter_document

__all__ = ["Reading"]

T = TypeVar("T")


@lru_cache(maxsize=1_000)
def _select(model: Any, shape: Shape, *, include_deleted: bool) -> Any:
    """Return the statement for a shape; SQLAlchemy takes longer to build than to execute it."""
    spec = spec_for(model)
    found: list[sa.ColumnElement[bool]] = [condition_for(spec, shape)] if shape else []
    if spec.options.soft_delete:
        live = spec.fields["deleted_at"].column.is_(None)
        found.append(with_deleted() if include_deleted else live)
    return sa.select(model).where(*found)


class Reading(Generic[T]):
    """Reads records of one model in a session.

    Args:
        session: Where; its owner commits.
        model: A model, or any class mapped by SQLAlchemy.
        tenant_id: Whose records; None: the tenant of the session, else of the call.

    Raises:
        ParameterError: For a tenant of a model that tenants do not share.
    """

    def __init__(self, session: Session, model: type[T], tenant_id: Any = None) -> None:
        """Keep the parts."""
        if isinstance(session, AsyncSession):
            raise ParameterError(problem="an AsyncSession needs an AsyncRepository.")
        if not hasattr(session, "get_bind"):  # a scoped_session is no Session, but has it, too
            raise ParameterError(
                problem=f"a Repository needs a SQLAlchemy session, not {shown(session)}."
            )
        self.session = session
        self.model = model
        self.spec: ModelSpec = spec_for(model)
        self.tenant_id = tenant_id
        self.validator = validator_of(cast("Any", model))
        if tenant_id is not None and self.spec.tenant is None:
            raise ParameterError(
                problem=f"tenants do not share {self.spec.name!r}; all its records would be seen.",
                advise="give it TenantMixin or the option multi_tenant, or leave the tenant out",
            )
        if not isinstance(session, ScopedSession):
            teach(session.get_bind(model).engine)

    # ------------------------------------------------------------------ scope

    def owner(self) -> Any:
        """Return whose records are seen; None where records belong to all.

        Raises:
            TenantRequiredError: If that is not said anywhere.
            ParameterError: If the session sees another tenant's.
        """
        if self.spec.tenant is None:
            return None
        given = self.tenant_id if self.tenant_id is not None else self.session.info.get("tenant")
        given = tenant.get() if given is None else given
        if given is None:
            raise TenantRequiredError(model=self.spec.name)
        if isinstance(self.session, ScopedSession):
            self.session.bind_tenant(given)
        return given

    def scope(self, *, include_deleted: bool = False) -> list[sa.ColumnElement[bool]]:
        """Return the conditions of what is seen."""
        mine = self._of_owner()
        found = [] if mine is None else [mine]
        if self.spec.options.soft_delete:
            live = self.spec.fields["deleted_at"].column.is_(None)
            found.append(with_deleted() if include_deleted else live)
        return found

    def _of_owner(self) -> sa.ColumnElement[bool] | None:
        owner = self.owner()
        if self.spec.tenant is None or owner is ALL_TENANTS:
            return None
        column = self.spec.tenant.column
        mine: sa.ColumnElement[bool] = column == as_stored(owner, column)
        return mine

    def holds(self, record: T) -> bool:
        """Return whether a record is one of those that are seen."""
        owner = self.owner()
        if self.spec.tenant is None or owner is ALL_TENANTS:
            return True
        return str(getattr(record, self.spec.tenant.name)) == str(owner)

    def where(self, filters: Filters) -> Filter:
        """Return checked filters.

        Raises:
            UnknownFieldError: For a field that the model lacks.
            FilterError: For an unknown operator or a wrong shape.
        """
        return parse_filter(self.spec, filter_document(filters), self.validator.comparisons)

    def select(self, where: Filter, *, include_deleted: bool = False) -> Any:
        """Return the statement for what matches; its values are `where.parameters`."""
        statement = _select(cast("Any", self.model), where.shape, include_deleted=include_deleted)
        mine = self._of_owner()
        return statement if mine is None else statement.where(mine)

    def where_key(self, key: Any) -> Filter:
        """Return the filter for one record's key; a dict or tuple where it has several fields."""
        names = self.spec.key
        if len(names) == 1 and not isinstance(key, Mapping):
            value = self.validator.comparisons.value(self.spec.fields[names[0]], key)
            return Filter(("$eq", names[0]), (value,))
        if isinstance(key, tuple | list) and len(key) == len(names):
            key = dict(zip(names, key, strict=True))
        if not isinstance(key, Mapping) or set(key) != set(names):
            raise ParameterError(problem=f"the key of {self.spec.name!r} is {', '.join(names)}.")
        return self.where(key)

    # ------------------------------------------------------------------- read

    def one(
        self, where: Filter, *, include: Sequence[str] = (), include_deleted: bool = False
    ) -> T | None:
        """Return the one record that matches, or None.

        Raises:
            MultipleRecordsError: If several match.
        """
        statement = self.select(where, include_deleted=include_deleted).limit(2)
        statement = self.loading(statement, include)
        found = self.fetched(statement, where.parameters)
        if len(found) > 1:
            raise MultipleRecordsError(
                model=self.spec.name,
                criteria=f"a filter of {len(where.values)} value(s)",
                verb="get",
                instead="use list() to get them all",
            )
        return found[0] if found else None

    def fetched(self, statement: Any, parameters: Mapping[str, Any]) -> list[T]:
        """Return the records that a statement finds.

        Raises:
            StoredValueError: For a stored value that does not fit its field's type.
        """
        try:
            return list(self.session.scalars(statement, parameters))
        except (DataFlowError, SQLAlchemyError):
            raise
        except Exception:
            told = self._unreadable(statement, parameters)
            if told is None:
                raise
        raise told

    def _unreadable(self, statement: Any, parameters: Mapping[str, Any]) -> DataFlowError | None:
        """Return the error that names the field which cannot be read by itself, if one is it."""
        for name in self.spec.fields:
            alone = statement.with_only_columns(getattr(self.model, name))
            try:
                self.session.execute(alone, parameters).all()
            except SQLAlchemyError:
                return None
            except Exception as found:  # noqa: BLE001 - whatever a type raises
                return unreadable(found, self.spec, name)
        return None

    def get(self, key: Any, *, include: Sequence[str] = ()) -> T:
        """Return a record by its key.

        Raises:
            RecordNotFoundError: If there is none.
        """
        found = self.one(self.where_key(key), include=include)
        if found is None:
            raise RecordNotFoundError(model=self.spec.name, criteria=f"key {shown(key)}")
        return found

    def loading(self, statement: Any, include: Sequence[str]) -> Any:
        """Return a statement that loads links anew, one more statement each.

        Raises:
            UnknownFieldError: For a link that the model lacks.
            FilterError: For what is no name.
        """
        names = parse_names(include, "include") or ()
        for name in names:
            if name not in self.spec.relationships:
                raise UnknownFieldError(name=name, model=self.spec.name, known=self.spec.link_names)
            statement = statement.options(selectinload(getattr(self.model, name)))
        if names:  # a link that was loaded before may have changed since
            self.session.flush()
            statement = statement.execution_options(populate_existing=True)
        return statement

    def count(self, filters: Filters = None, *, include_deleted: bool = False) -> int:
        """Return how many records match."""
        where = self.where(filters)
        statement = self.select(where, include_deleted=include_deleted)
        statement = statement.with_only_columns(sa.func.count()).select_from(self.model)
        return int(self.session.scalar(statement, where.parameters) or 0)

    def count_by(self, field: str, filters: Filters = None) -> dict[Any, int]:
        """Return how many of the records that match have which value in a field.

        Raises:
            FilterError: For a document or a list, which no dict has as a key.
        """
        where, column = self.where(filters), self.spec.field(field).column
        if is_document(column.type) or isinstance(column.type, sa.ARRAY):
            raise FilterError(
                problem=f"field {field!r} holds documents or lists, which cannot be a dict's keys.",
                advise="query(…).aggregate([…]) counts them with {'$sortByCount': '$field'}",
            )
        counted = sa.func.count()
        statement = self.select(where).with_only_columns(column, counted)
        statement = statement.group_by(column).order_by(counted.desc(), column)
        rows: Any = self.session.execute(statement, where.parameters)
        return {value: number for value, number in rows}  # noqa: C416 - dict() of rows is untyped

    def exists(self, filters: Filters = None) -> bool:
        """Return whether a record matches."""
        where = self.where(filters)
        statement = self.select(where).with_only_columns(sa.literal(1))
        statement = statement.select_from(self.model).limit(1)
        return self.session.scalar(statement, where.parameters) is not None
