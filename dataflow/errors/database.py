"""Errors of the data: handle them."""

from __future__ import annotations

from typing import Any

from dataflow.errors.base import DatabaseError, shown

__all__ = [
    "AppendOnlyError",
    "CheckViolationError",
    "DataValueError",
    "ForeignKeyViolationError",
    "MultipleRecordsError",
    "NotNullViolationError",
    "RecordNotFoundError",
    "RecordValidationError",
    "SchemaDriftError",
    "StaleRecordError",
    "StatementError",
    "StoredValueError",
    "TransactionAbortedError",
    "UniqueViolationError",
]


class RecordValidationError(DatabaseError):
    """Values do not fit the model.

    Attributes:
        model: The model's name.
        problems: Tuples `(index or None, field, reason, value)`; the index counts
            the records of a bulk call from 0.
    """

    code = "DF201"
    model: str
    problems: tuple[tuple[int | None, str, str, Any], ...]

    def problem_text(self) -> str:
        """List up to five problems with their values."""
        lines = [self._line(*problem) for problem in self.problems[:5]]
        if len(self.problems) > 5:
            lines.append(f"  … and {len(self.problems) - 5} more")
        return "\n".join([f"values do not fit model {self.model!r}:", *lines])

    @staticmethod
    def _line(index: int | None, field: str, reason: str, value: Any) -> str:
        where = "" if index is None else f"record {index}, "
        return f"  {where}{field}: {reason} (got {shown(value, 80)})"


class UniqueViolationError(DatabaseError):
    """A value exists already in a unique field."""

    code = "DF202"
    text = "a record of {table!r} with the same {fields} exists already."


class ForeignKeyViolationError(DatabaseError):
    """A referred record does not exist, or is still referred to."""

    code = "DF203"
    table: str | None
    detail: str

    def problem_text(self) -> str:
        """Name the table where the database tells it."""
        return f"foreign key{f' of {self.table!r}' if self.table else ''}: {self.detail}"


class NotNullViolationError(DatabaseError):
    """A required column got no value."""

    code = "DF204"
    text = "field {field!r} of {table!r} must have a value."


class CheckViolationError(DatabaseError):
    """A check constraint of the database refused the values."""

    code = "DF205"
    table: str | None
    constraint: str

    def problem_text(self) -> str:
        """Name the table where the database tells it."""
        where = f" of {self.table!r}" if self.table else ""
        return f"check {self.constraint!r}{where} refuses these values."


class RecordNotFoundError(DatabaseError):
    """No record matches."""

    code = "DF206"
    text = "there is no {model!r} with {criteria}."


class MultipleRecordsError(DatabaseError):
    """Several records match where at most one may."""

    code = "DF207"
    text = "several records of {model!r} match {criteria}; {verb} takes at most one."

    def advice(self) -> str:
        """Name the node for many records."""
        return str(self._facts["instead"])


class StaleRecordError(DatabaseError):
    """The record was changed by someone else since it was read.

    Attributes:
        key: Which record; None where a session wrote several at once.
        found: The version that it has; None where nobody looked.
        expected: The version that was read.
    """

    code = "DF208"
    retryable = True
    text = "{model!r} {key} is at version {found}, expected {expected}."
    model: str
    key: str | None = None
    found: int | None = None
    expected: int | None = None

    def problem_text(self) -> str:
        """Tell the versions, where they are known."""
        if self.found is not None:
            return super().problem_text()
        return (
            f"a record of {self.model!r} was changed or removed by someone else since it was read."
        )

    def advice(self) -> str:
        """Say how to go on."""
        return "read the record again, apply the change to it, and update with its version"


class SchemaDriftError(DatabaseError):
    """The database's schema and the models differ."""

    code = "DF209"
    text = "the database does not match the models: {problem}"


class DataValueError(DatabaseError):
    """The database refused a value."""

    code = "DF210"
    text = "the database refused a value: {detail}"
    detail: str


class StoredValueError(DatabaseError):
    """A stored value does not fit the declared type: someone else has written it.

    Attributes:
        reason: Why, without the value where it is a secret.
    """

    code = "DF223"
    text = "the value stored in field {field!r} of model {model!r} cannot be read: {reason}."
    model: str
    field: str
    reason: str

    def advice(self) -> str:
        """Say what can be done."""
        return "correct it in the database, or give the field the type of what is stored"


class AppendOnlyError(DatabaseError):
    """A record of an append-only model was to be changed."""

    code = "DF211"
    text = "model {model!r} is append-only: {verb} is refused."


class TransactionAbortedError(DatabaseError):
    """A statement failed inside the transaction, so that it cannot go on.

    Attributes:
        cause: What the first failure says; the failure itself is the `__cause__`.
        ended: Whether the transaction was rolled back; else a statement was refused.
    """

    code = "DF213"
    cause: str
    ended: bool

    def problem_text(self) -> str:
        """Say what was not done, and what failed first."""
        if self.ended:
            return f"the transaction was rolled back, because a part of it failed: {self.cause}"
        return (
            "the statement was not sent, because an earlier part of the transaction failed: "
            f"{self.cause}"
        )

    def advice(self) -> str:
        """Say how to let a part fail alone."""
        return (
            "let the first error leave the block, or wrap what may fail in "
            "`with db.transaction(savepoint=True):`"
        )


class StatementError(DatabaseError):
    """The database refused a statement for a reason without a class of its own."""

    code = "DF212"
    text = "the database refused the statement: {detail}"
