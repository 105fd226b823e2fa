"""What a session does with objects of models before it writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from dataflow.context import ALL_TENANTS, actor, tenant
from dataflow.errors import AppendOnlyError, ParameterError, UnknownModelError
from dataflow.models.columns import utc_now
from dataflow.models.spec import ModelSpec
from dataflow.models.tenancy import as_stored
from dataflow.records.objectvalues import check_changes, check_new
from dataflow.records.scope import Scope
from dataflow.records.sessionupdates import complete_update

__all__ = ["ScopedSession", "deleting_for_good", "stamp"]

_FOR_GOOD = "dataflow_for_good"
"""Where a session keeps what it deletes although its model has soft delete."""


class ScopedSession(Session):
    """A session whose objects follow the options of their models.

    `session.info["tenant"]` says whose records it sees. It is set when the session is
    made, or else when its first transaction begins, and stays.
    """

    def bind_tenant(self, tenant_id: Any) -> None:
        """Say whose records the session sees, if that is not said yet.

        Raises:
            ParameterError: If it sees another tenant's.
        """
        known = self.info.get("tenant")
        if known is None:
            self.info["tenant"] = tenant_id
            if self.in_transaction():
                self.connection().execution_options(dataflow_tenant=tenant_id)
        elif str(known) != str(tenant_id):
            raise ParameterError(
                problem=f"the session sees the records of {known!r}, not of {tenant_id!r}."
            )

    def soft_delete(self, record: Any) -> None:
        """Mark a record as deleted, and by whom."""
        record.deleted_at = utc_now()
        if hasattr(type(record), "deleted_by") and record.deleted_by is None:
            record.deleted_by = self.info.get("actor") or actor.get()


@contextmanager
def deleting_for_good(session: Session, record: Any) -> Iterator[None]:
    """Delete a record and what that cascades to; a flush in the block hides none of it."""
    others = session.deleted
    session.delete(record)
    session.info[_FOR_GOOD] = session.deleted - others
    try:
        yield
    finally:
        del session.info[_FOR_GOOD]


def _bind_tenant(session: Session, transaction: Any, connection: sa.Connection) -> None:
    del transaction
    if session.info.get("tenant") is None:
        session.info["tenant"] = tenant.get()
    connection.execution_options(dataflow_tenant=session.info["tenant"])


def _before_flush(session: ScopedSession, context: Any, objects: Any) -> None:
    del context, objects
    for record in list(session.deleted):
        spec = _spec_of(record)
        if spec is not None:
            _delete(session, record, spec)
    stamp(session, check=True)


def stamp(session: Session, *, check: bool = False) -> None:
    """Note on what a session is about to write who does it, and whose it is.

    Args:
        session: The session.
        check: Whether values are validated first.

    Raises:
        AppendOnlyError: If a record is changed that may not be.
        RecordValidationError: Naming every field of a record that does not fit.
    """
    who = session.info.get("actor") or actor.get()
    for record in session.dirty:
        spec = _spec_of(record)
        if spec is not None and session.is_modified(record):
            _change(record, spec, who, check=check)
    for record in session.new:
        spec = _spec_of(record)
        if spec is not None:
            _check_home(session, spec)
            if check:
                check_new(record, spec)
            _create(session, record, spec, who)


def _check_home(session: Session, spec: ModelSpec) -> None:
    """Refuse records of a model whose table belongs to another database.

    Raises:
        UnknownModelError: Naming the models that the session's database has.
    """
    scopes: Callable[[], Mapping[str, Scope]] | None = session.info.get("scopes")
    if scopes is None:
        return
    own = scopes().get(spec.table.fullname)
    if own is None or own.spec is not spec:
        known = tuple(scope.spec.name for scope in list(scopes().values()))
        raise UnknownModelError(name=spec.name, known=known)


def _spec_of(record: Any) -> ModelSpec | None:
    spec = getattr(type(record), "__dataflow__", None)
    return spec if isinstance(spec, ModelSpec) else None


def _delete(session: ScopedSession, record: Any, spec: ModelSpec) -> None:
    if spec.options.append_only:
        raise AppendOnlyError(model=spec.name, verb="delete")
    if spec.options.soft_delete and record not in session.info.get(_FOR_GOOD, ()):
        session.add(record)  # takes it back from the records to delete
        session.soft_delete(record)


def _change(record: Any, spec: ModelSpec, who: str | None, *, check: bool) -> None:
    if spec.options.append_only:
        raise AppendOnlyError(model=spec.name, verb="update")
    if check:
        check_changes(record, spec)
    if who is not None and "updated_by" in spec.fields:
        record.updated_by = who


def _create(session: Session, record: Any, spec: ModelSpec, who: str | None) -> None:
    if who is not None:
        for name in ("created_by", "updated_by"):
            if name in spec.fields and getattr(record, name) is None:
                setattr(record, name, who)
    if spec.tenant is None:
        return
    given, mine = getattr(record, spec.tenant.name), session.info.get("tenant") or tenant.get()
    if given is None and mine is not None and mine is not ALL_TENANTS:
        setattr(record, spec.tenant.name, as_stored(mine, spec.tenant.column))


event.listen(ScopedSession, "after_begin", _bind_tenant)
event.listen(ScopedSession, "before_flush", _before_flush)
event.listen(ScopedSession, "do_orm_execute", complete_update)
