"""What repositories do, once: on SQLAlchemy's sync session, which async ones run, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.exc import StaleDataError

from dataflow.context import ALL_TENANTS, Setting, actor, tenant
from dataflow.database.sqlite_foreign import teach
from dataflow.errors import (
    AppendOnlyError,
    MultipleRecordsError,
    ParameterError,
    RecordNotFoundError,
    StaleRecordError,
    TenantRequiredError,
    UnknownFieldError,
    shown,
)
from dataflow.models.columns import utc_now
from dataflow.models.declare import spec_for
from dataflow.models.spec import ModelSpec
from dataflow.query.conditions import condition_for
from dataflow.query.filters import Filter, parse_filter
from dataflow.records.flushing import ScopedSession, stamp
from dataflow.records.scoped_sql import with_deleted
from dataflow.records.validation import Validator
from dataflow.repositories.options import Filters, filter_document

__all__ = ["Operations"]

T = TypeVar("T")


@lru_cache(maxsize=1_024)
def _validator(model: Any) -> Validator:
    """Return a model's validator; building one takes milliseconds."""
    return Validator(spec_for(model), encode=False)


class Operations(Generic[T]):
    """Reads and writes records of one model in a session; never commits.

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
        self.session = session
        self.model = model
        self.spec: ModelSpec = spec_for(model)
        self.tenant_id = tenant_id
        self.validator = _validator(cast("Any", model))
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
        found: list[sa.ColumnElement[bool]] = []
        owner = self.owner()
        if self.spec.tenant is not None and owner is not ALL_TENANTS:
            found.append(self.spec.tenant.column == owner)
        if self.spec.options.soft_delete:
            live = self.spec.fields["deleted_at"].column.is_(None)
            found.append(with_deleted() if include_deleted else live)
        return found

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
        found = self.scope(include_deleted=include_deleted)
        if where.shape:
            found.append(condition_for(self.spec, where.shape))
        return sa.select(self.model).where(*found)

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
        found = self.session.scalars(statement, where.parameters).all()
        if len(found) > 1:
            raise MultipleRecordsError(
                model=self.spec.name,
                criteria=f"a filter of {len(where.values)} value(s)",
                verb="get",
                instead="use list() to get them all",
            )
        return cast("T", found[0]) if found else None

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
        """
        for name in include:
            if name not in self.spec.relationships:
                raise UnknownFieldError(name=name, model=self.spec.name, known=self.spec.link_names)
            statement = statement.options(selectinload(getattr(self.model, name)))
        if include:  # a link that was loaded before may have changed since
            self.session.flush()
            statement = statement.execution_options(populate_existing=True)
        return statement

    def count(self, filters: Filters = None, *, include_deleted: bool = False) -> int:
        """Return how many records match."""
        where = self.where(filters)
        inner = self.select(where, include_deleted=include_deleted)
        keys = [self.spec.fields[name].column for name in self.spec.key]
        counted = inner.with_only_columns(*keys).order_by(None).subquery()
        statement = sa.select(sa.func.count()).select_from(counted)
        return int(self.session.scalar(statement, where.parameters) or 0)

    def count_by(self, field: str, filters: Filters = None) -> dict[Any, int]:
        """Return how many of the records that match have which value in a field."""
        where, column = self.where(filters), self.spec.field(field).column
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

    # ------------------------------------------------------------------ write

    def new(self, data: Mapping[str, Any]) -> T:
        """Return a record that is not stored yet, from checked values.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        links = {name: data[name] for name in self.spec.relationships if name in data}
        given = {name: value for name, value in data.items() if name not in links}
        if self.spec.tenant is not None and self.spec.key_is_generated:
            self._refuse_key(given)
        values = self.validator.record(given)
        if self.spec.tenant is not None:
            values[self.spec.tenant.name] = self._claimed(values.get(self.spec.tenant.name))
        return self.model(**values, **links)

    def _refuse_key(self, given: Mapping[str, Any]) -> None:
        if self.spec.key[0] in given:
            raise ParameterError(
                problem=f"the database generates {self.spec.key[0]!r} of {self.spec.name!r}, "
                "which tenants share; it cannot be given."
            )

    def _claimed(self, given: Any) -> Any:
        """Return whose a new record is; the record itself may say so where nothing else does.

        Raises:
            ParameterError: If it says something else than the repository or the session.
        """
        if given is not None and self.tenant_id is None and tenant.get() is None:
            if isinstance(self.session, ScopedSession):
                self.session.bind_tenant(given)
            return given
        mine = self.owner()
        if mine is ALL_TENANTS and given is not None:
            return given
        if mine is ALL_TENANTS:
            raise TenantRequiredError(model=self.spec.name, everyone=True)
        if given is not None and str(given) != str(mine):
            raise ParameterError(
                problem=f"tenant_id {shown(given)} is not the tenant of this repository."
            )
        return mine

    def flush(self, user_id: Any = None) -> None:
        """Write what has changed, in the name of a user."""
        who = actor.get() if user_id is None else str(user_id)
        try:
            with Setting(actor, who):
                if not isinstance(self.session, ScopedSession):  # which does so by itself
                    stamp(self.session)
                self.session.flush()
        except StaleDataError as error:
            raise StaleRecordError(
                model=self.spec.name, key="record", found="a later one", expected="the one read"
            ) from error

    def change(self, record: T, data: Mapping[str, Any]) -> None:
        """Set checked values on a record.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        self.refuse_change("update")
        links = {name: data[name] for name in self.spec.relationships if name in data}
        given = {name: value for name, value in data.items() if name not in links}
        for name in (*self.spec.key, *([self.spec.tenant.name] if self.spec.tenant else [])):
            if name in given and given[name] != getattr(record, name):
                raise ParameterError(
                    problem=f"{name!r} of {self.spec.name!r} cannot be changed.",
                    advise="create a new record and delete the old one",
                )
        changes = {**self.validator.changes(given), **links}
        if self.spec.options.versioned:
            changes.pop("version", None)  # it is counted, whatever a caller has read
        for name, value in changes.items():
            setattr(record, name, value)

    def check_version(self, record: T, expected: int | None) -> None:
        """Refuse a record that was changed since it was read.

        Raises:
            StaleRecordError: Naming both versions.
        """
        found = getattr(record, "version", None)
        if expected is not None and found != expected:
            raise StaleRecordError(
                model=self.spec.name, key=self.key_text(record), found=found, expected=expected
            )

    def refuse_change(self, verb: str) -> None:
        """Refuse changes of append-only models.

        Raises:
            AppendOnlyError: Naming the verb.
        """
        if self.spec.options.append_only:
            raise AppendOnlyError(model=self.spec.name, verb=verb)

    def mark_deleted(self, record: T, user_id: Any) -> None:
        """Hide a record from now on.

        Raises:
            ParameterError: If the model has no soft delete.
        """
        self._require_soft_delete("delete")
        target = cast("Any", record)
        target.deleted_at = utc_now()
        if "deleted_by" in self.spec.fields:
            target.deleted_by = actor.get() if user_id is None else str(user_id)

    def mark_restored(self, record: T) -> None:
        """Show a deleted record again.

        Raises:
            ParameterError: If the model has no soft delete.
        """
        self._require_soft_delete("restore")
        target = cast("Any", record)
        target.deleted_at = None
        if "deleted_by" in self.spec.fields:
            target.deleted_by = None

    def _require_soft_delete(self, verb: str) -> None:
        self.refuse_change(verb)
        if not self.spec.options.soft_delete:
            raise ParameterError(
                problem=f"model {self.spec.name!r} has no soft delete.",
                advise="give it the option soft_delete, or use delete()",
            )

    def remove(self, record: T) -> None:
        """Delete a record for good, also of a soft-delete model."""
        self.refuse_change("delete")
        self.session.flush()
        where = self.where_key({name: getattr(record, name) for name in self.spec.key})
        scope = self.scope(include_deleted=True)
        conditions = [*scope, condition_for(self.spec, where.shape)]
        statement = sa.delete(self.model).where(*conditions)
        options = {"synchronize_session": False}
        self.session.execute(statement, where.parameters, execution_options=options)
        self.session.expunge(record)

    def key_text(self, record: T) -> str:
        """Return a record's key for errors."""
        return ", ".join(f"{name}={getattr(record, name)!r}" for name in self.spec.key)
