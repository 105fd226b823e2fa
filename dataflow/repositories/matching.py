"""Getting or making the one record that has some values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import IntegrityError

from dataflow.errors import ParameterError, shown
from dataflow.query.filters import Filter
from dataflow.repositories.operations import Operations

__all__ = ["Matching"]

T = TypeVar("T")
Values = Mapping[str, Any]


class Matching(Generic[T]):
    """The part of a repository that gets a record or makes it.

    A record that somebody else makes at the same time is found, where a unique
    constraint holds over the values: only then is there one of them for certain.
    """

    records: Operations[T]

    def get_or_create(
        self, match: Values, defaults: Any = None, user_id: Any = None
    ) -> tuple[T, bool]:
        """Return the record with some values, and whether it had to be created.

        Args:
            match: The values by field that name it.
            defaults: More values for a new one.
            user_id: Who creates it.

        Raises:
            MultipleRecordsError: If several have the values.
            RecordValidationError: Naming every field that does not fit.
            IntegrityError: SQLAlchemy's, if it can be neither found nor created.
        """
        who, where = self.records.who(user_id), self._where(match)
        found = self.records.one(where)
        if found is not None:
            return found, False
        values = {**({} if defaults is None else self.records.values(defaults)), **match}
        try:
            with self.records.session.begin_nested():
                return self.records.add(values, who), True
        except IntegrityError:
            found = self.records.one(where)
            if found is None:
                raise
            return found, False

    def update_or_create(self, match: Values, data: Any, user_id: Any = None) -> tuple[T, bool]:
        """Change the record with some values, or create it; returns it and whether it is new.

        Args:
            match: The values by field that name it.
            data: What it has afterwards; a new one has the values of `match`, too.
            user_id: Who changes or creates it.

        Raises:
            MultipleRecordsError: If several have the values.
            RecordValidationError: Naming every field that does not fit.
            StaleRecordError: If somebody else changed it at the same time.
        """
        who = self.records.who(user_id)
        record, is_new = self.get_or_create(match, data, who)
        if not is_new:
            self.records.change(record, data)
            self.records.flush(who)
        return record, is_new

    def _where(self, match: Values) -> Filter:
        """Return the filter for records with just these values.

        Raises:
            ParameterError: If they are none, or have no names.
        """
        if not isinstance(match, Mapping) or not match:
            raise ParameterError(
                problem=f"what names a record are values by field, not {shown(match)}.",
                advise='pass a dict, {"field": value}',
            )
        return self.records.where({name: {"$eq": value} for name, value in match.items()})
