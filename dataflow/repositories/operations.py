"""What repositories do, once: on SQLAlchemy's sync session, which async ones run, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from sqlalchemy.orm import was_deleted
from sqlalchemy.orm.attributes import flag_modified, instance_state
from sqlalchemy.orm.exc import StaleDataError

from dataflow.context import ALL_TENANTS, Setting, actor, tenant
from dataflow.errors import (
    AppendOnlyError,
    ParameterError,
    RecordNotFoundError,
    StaleRecordError,
    TenantRequiredError,
    shown,
)
from dataflow.models.columns import utc_now
from dataflow.models.plaintext import checked_name
from dataflow.models.tenancy import TENANT
from dataflow.records.flushing import ScopedSession, deleting_for_good, stamp
from dataflow.records.given import values_of
from dataflow.records.objectvalues import note_checked
from dataflow.repositories.reading import Reading

__all__ = ["Operations"]

T = TypeVar("T")


class Operations(Reading[T]):
    """Reads and writes records of one model in a session; never commits."""

    def of(self, tenant_id: Any) -> Operations[T]:
        """Return the same for one tenant's records; None: for those that are seen anyway.

        Raises:
            ParameterError: If another tenant's are seen here.
        """
        if tenant_id is None:
            return self
        if self.tenant_id is not None and str(self.tenant_id) != str(tenant_id):
            raise ParameterError(
                problem=f"the repository sees the records of {self.tenant_id!r}, "
                f"not of {tenant_id!r}."
            )
        return Operations(self.session, self.model, tenant_id)

    def values(self, data: Any, *, changes: bool = False) -> Mapping[str, Any]:
        """Return the values of one record as they are given: as a dict, or in an object.

        Args:
            data: The values.
            changes: Whether they are changes; then what nobody set does not count.

        Raises:
            ParameterError: If they have no names.
        """
        found = values_of(data, self.spec, changes=changes)
        if isinstance(found, Mapping):
            return found
        raise ParameterError(
            problem=f"a {self.spec.name!r} is values by name, not {shown(data)}.",
            advise='pass a dict, {"field": value}; bulk_create and bulk_update take many',
        )

    def rows(self, rows: Any, what: str = "dicts") -> Iterable[Any]:
        """Return the records of a call for many as they are given.

        Args:
            rows: The records.
            what: What each may be.

        Raises:
            ParameterError: If they are not several.
        """
        if isinstance(rows, Iterable) and not isinstance(rows, Mapping | str | bytes):
            return rows
        raise ParameterError(
            problem=f"many of {self.spec.name!r} are a list of {what}, not {shown(rows)}."
        )

    def new(self, data: Mapping[str, Any]) -> T:
        """Return a record that is not stored yet, from checked values.

        Raises:
            ParameterError: If they have no names.
            RecordValidationError: Naming every field that does not fit.
        """
        data = self.values(data)
        links = {name: data[name] for name in self.spec.relationships if name in data}
        given = {name: value for name, value in data.items() if name not in links}
        if self.spec.tenant is not None and self.spec.key_is_generated:
            self._refuse_key(given)
        values = self.validator.record(given)
        if self.spec.tenant is not None:
            values[self.spec.tenant.name] = self._claimed(values.get(self.spec.tenant.name))
        record = self.model(**values, **links)
        self._note_checked(record, values)
        return record

    def add(self, data: Mapping[str, Any], who: str | None = None) -> T:
        """Add a record from checked values, and write it.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        record = self.new(data)
        self.session.add(record)
        self.flush(who)
        return record

    def _note_checked(self, record: T, values: Mapping[str, Any]) -> None:
        if isinstance(self.session, ScopedSession):  # which validates, too
            note_checked(record, values)

    def _refuse_key(self, given: Mapping[str, Any]) -> None:
        key = self.spec.key[0]
        if key in given:
            reason = "the database generates the keys of tenants' records"
            raise self.validator.refuse([(None, key, reason, given[key])])

    def _claimed(self, given: Any) -> Any:
        """Return whose a new record is; the record itself may say so where nothing else does.

        Raises:
            RecordValidationError: If it says something else than the repository or the session.
        """
        said = (self.tenant_id, self.session.info.get("tenant"), tenant.get())
        if given is not None and not any(owner is not None for owner in said):
            if isinstance(self.session, ScopedSession):
                self.session.bind_tenant(given)
            return given
        mine = self.owner()
        if mine is ALL_TENANTS and given is not None:
            return given
        if mine is ALL_TENANTS:
            raise TenantRequiredError(model=self.spec.name, everyone=True)
        if given is not None and str(given) != str(mine):
            problem = (None, TENANT, "is not the tenant of this repository", given)
            raise self.validator.refuse([problem])
        return mine

    def who(self, user_id: Any) -> str | None:
        """Return who acts, before anything is changed; None: whoever acts anyway.

        Raises:
            ParameterError: If no database can name the user.
        """
        return actor.get() if user_id is None else checked_name("user_id", user_id)

    def flush(self, who: str | None = None) -> None:
        """Write what has changed, in the name of a user."""
        try:
            with Setting(actor, actor.get() if who is None else who):
                if not isinstance(self.session, ScopedSession):  # which does so by itself
                    stamp(self.session)
                self.session.flush()
        except StaleDataError as error:
            raise StaleRecordError(model=self.spec.name) from error

    def change(self, record: T, data: Mapping[str, Any]) -> None:
        """Set checked values on a record.

        Raises:
            ParameterError: If they have no names.
            RecordValidationError: Naming every field that does not fit.
        """
        self.refuse_change("update")
        data = self.values(data, changes=True)
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
        changed_in_place = self._held_mutables(record, given) & changes.keys()
        for name, value in changes.items():
            setattr(record, name, value)
        for name in changed_in_place:  # to SQLAlchemy it is equal to itself
            flag_modified(record, name)
        self._note_checked(record, changes)

    def _held_mutables(self, record: T, given: Mapping[str, Any]) -> set[str]:
        """Return the names of given values that the record holds itself and that can change."""
        held = instance_state(record).dict
        return {
            name
            for name, value in given.items()
            if value is held.get(name) and type(value).__hash__ is None
        }

    def check_version(self, record: T, expected: int | None) -> None:
        """Refuse a record that was changed since it was read.

        Raises:
            ParameterError: If the expected version cannot be one.
            StaleRecordError: Naming both versions.
        """
        self.validator.expected_version(expected)
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

    def mark_deleted(self, record: T, who: str | None) -> None:
        """Hide a record from now on.

        Raises:
            ParameterError: If the model has no soft delete.
        """
        self._require_soft_delete("delete")
        target = cast("Any", record)
        target.deleted_at = utc_now()
        if "deleted_by" in self.spec.fields:
            target.deleted_by = who

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

    def remove(self, record: T, who: str | None = None) -> None:
        """Delete a record for good, also of a soft-delete model, in the name of a user."""
        self.refuse_change("delete")
        if not instance_state(record).has_identity:
            self.flush(who)  # only what is stored can be deleted
        with deleting_for_good(self.session, record):
            self.flush(who)

    def key_text(self, record: T) -> str:
        """Return a record's key for errors."""
        return ", ".join(f"{name}={getattr(record, name)!r}" for name in self.spec.key)

    def found(self, entity: Any, *, include_deleted: bool = False) -> T | None:
        """Return the record itself, or the one with the key, or None if it is not seen."""
        if not isinstance(entity, self.model):
            return self.one(self.where_key(entity), include_deleted=include_deleted)
        if was_deleted(entity) or not self.holds(entity):
            return None
        self.session.add(entity)
        return entity

    def record(self, entity: Any, *, include_deleted: bool = False) -> T:
        """Return the record itself, or the one with the key.

        Raises:
            RecordNotFoundError: If it is not seen.
        """
        found = self.found(entity, include_deleted=include_deleted)
        if found is None:
            own = isinstance(entity, self.model)
            key = self.key_text(entity) if own else shown(entity)
            raise RecordNotFoundError(model=self.spec.name, criteria=f"key {key}")
        return found
