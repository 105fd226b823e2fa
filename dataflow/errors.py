"""Every error that DataFlow raises, in one tree.

```
DataFlowError
├── DefinitionError            fix the code
│   ├── UnknownNodeError           DF101   AmbiguousNodeError         DF102
│   ├── ParameterError             DF103   WorkflowDefinitionError    DF104
│   ├── AnnotationError            DF105   DuplicateModelError        DF106
│   ├── UnknownModelError          DF107   UnknownFieldError          DF108
│   ├── FilterError                DF109   UnfilteredWriteError       DF110
│   ├── ConfigurationError         DF111   MissingExtraError          DF112
│   ├── IdentifierError            DF113   OptionError                DF114
│   ├── LoopError                  DF115   DuplicateNodeError         DF116
│   └── CursorError                DF117
├── DatabaseError              handle the data
│   ├── RecordValidationError      DF201   UniqueViolationError       DF202
│   ├── ForeignKeyViolationError   DF203   NotNullViolationError      DF204
│   ├── CheckViolationError        DF205   RecordNotFoundError        DF206
│   ├── MultipleRecordsError       DF207   StaleRecordError           DF208
│   ├── SchemaDriftError           DF209   DataValueError             DF210
│   ├── AppendOnlyError            DF211   StatementError             DF212
└── ExecutionError             retry or report
    ├── PoolExhaustedError         DF214   ConnectionLostError        DF215
    ├── StatementTimeoutError      DF216   SerializationFailureError  DF217
    ├── DeadlockError              DF218   DatabaseBusyError          DF219
    ├── CannotConnectError         DF220   DatabaseClosedError        DF221
    ├── NodeTimeoutError           DF301   UnresolvedReferenceError   DF302
    ├── WorkflowFailedError        DF303   NodeOutputError            DF304
```

An error takes facts as keyword arguments, keeps them as attributes and builds
its own text: what is wrong, where, and what to do. `code` never changes;
`retryable` says whether the same call may succeed later; `outcome` tells for a
write whether it was `"not_applied"` or is `"unknown"`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "AmbiguousNodeError",
    "AnnotationError",
    "AppendOnlyError",
    "CannotConnectError",
    "CheckViolationError",
    "ConfigurationError",
    "ConnectionLostError",
    "CursorError",
    "DataFlowError",
    "DataValueError",
    "DatabaseBusyError",
    "DatabaseClosedError",
    "DatabaseError",
    "DeadlockError",
    "DefinitionError",
    "DuplicateModelError",
    "DuplicateNodeError",
    "ExecutionError",
    "FilterError",
    "ForeignKeyViolationError",
    "IdentifierError",
    "LoopError",
    "MissingExtraError",
    "MultipleRecordsError",
    "NodeOutputError",
    "NodeTimeoutError",
    "NotNullViolationError",
    "OptionError",
    "ParameterError",
    "PoolExhaustedError",
    "RecordNotFoundError",
    "RecordValidationError",
    "SchemaDriftError",
    "SerializationFailureError",
    "StaleRecordError",
    "StatementError",
    "StatementTimeoutError",
    "UnfilteredWriteError",
    "UniqueViolationError",
    "UnknownFieldError",
    "UnknownModelError",
    "UnknownNodeError",
    "UnresolvedReferenceError",
    "WorkflowDefinitionError",
    "WorkflowFailedError",
    "did_you_mean",
]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest known name, or with the known names."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not near:
        folded = {item.casefold(): item for item in names}
        near = [folded[item] for item in difflib.get_close_matches(name.casefold(), folded, 1, 0.6)]
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "there are none to choose from"
    shown = ", ".join(repr(item) for item in names[:12])
    return f"choose from {shown}" + (", …" if len(names) > 12 else "")


class DataFlowError(Exception):
    """Root of all errors; see the module for the tree.

    Attributes:
        code: Stable identifier such as `"DF101"`.
        retryable: Whether the same call may succeed later, unchanged.
        outcome: For a write, `"not_applied"` or `"unknown"`; None otherwise.
        at: Where the caller's mistake stands, such as `"app.py:14, node 'a'"`.
    """

    code: ClassVar[str] = "DF000"
    retryable: bool = False
    outcome: str | None = None
    text: ClassVar[str] = "{problem}"
    at: str | None = None

    def __init__(self, **facts: Any) -> None:
        """Keep the facts as attributes."""
        super().__init__()
        self._facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling with all facts."""
        return (_rebuild, (type(self), self._facts))

    def problem_text(self) -> str:
        """Return what is wrong, in one sentence with the values."""
        return self.text.format(**self._facts)

    def advice(self) -> str | None:
        """Return what to do about it, or None."""
        value = self._facts.get("advise")
        return None if value is None else str(value)

    def __str__(self) -> str:
        """Return the whole text: problem, place, help and code."""
        lines = [self.problem_text()]
        if self.at:
            lines.append(f"  at: {self.at}")
        advice = self.advice()
        if advice:
            lines.append(f"  help: {advice}")
        lines.append(f"  code: {self.code}")
        return "\n".join(lines)


def _rebuild(kind: type[DataFlowError], facts: dict[str, Any]) -> DataFlowError:
    return kind(**facts)


class DefinitionError(DataFlowError):
    """The program is wrong: fix the code."""


class DatabaseError(DataFlowError):
    """The data is not as the call needs it: handle it."""

    outcome: str | None = "not_applied"


class ExecutionError(DataFlowError):
    """The call could not be carried out: retry or report."""


# ---------------------------------------------------------------- definition


class UnknownNodeError(DefinitionError):
    """No node type has that name."""

    code = "DF101"
    text = "there is no node type {name!r}."
    name: str
    known: tuple[str, ...]

    def advice(self) -> str:
        """Name the nearest node type."""
        return did_you_mean(self.name, self.known)


class AmbiguousNodeError(DefinitionError):
    """Several live DataFlow objects have a node type of that name."""

    code = "DF102"
    text = "node type {name!r} exists in {count} DataFlow objects."
    name: str
    count: int

    def advice(self) -> str:
        """Say how to choose one."""
        return f"say which: WorkflowBuilder(db=db), or add_node(db.nodes.{self.name}, …)"


class ParameterError(DefinitionError):
    """A node or verb was given a wrong, missing or unknown input."""

    code = "DF103"
    text = "{problem}"


class WorkflowDefinitionError(DefinitionError):
    """A workflow cannot be built; carries all problems found, one text each."""

    code = "DF104"
    problems: tuple[str, ...]
    workflow: str

    def problem_text(self) -> str:
        """List every problem, like a compiler does."""
        count = len(self.problems)
        head = f"workflow {self.workflow!r} has {count} problem{'s' if count > 1 else ''}:"
        return "\n".join([head, *(f"  {n}. {text}" for n, text in enumerate(self.problems, 1))])


class AnnotationError(DefinitionError):
    """A model field has an annotation that no column can hold."""

    code = "DF105"
    text = "field {field!r} of model {model!r}: {problem}"


class DuplicateModelError(DefinitionError):
    """Two models of one DataFlow share a name or a table."""

    code = "DF106"
    text = "model {name!r} ({kind} {value!r}) is defined twice: at {first} and at {second}."

    def advice(self) -> str:
        """Say how to keep both."""
        return "rename one of them, or give each its own DataFlow object"


class UnknownModelError(DefinitionError):
    """No model has that name, class or table."""

    code = "DF107"
    text = "there is no model {name!r}."
    name: str
    known: tuple[str, ...]

    def advice(self) -> str:
        """Name the nearest model."""
        return did_you_mean(self.name, self.known)


class UnknownFieldError(DefinitionError):
    """A model has no field of that name."""

    code = "DF108"
    text = "model {model!r} has no field {name!r}."
    name: str
    model: str
    known: tuple[str, ...]

    def advice(self) -> str:
        """Name the nearest field."""
        return did_you_mean(self.name, self.known)


class FilterError(DefinitionError):
    """A filter, sort or projection is malformed."""

    code = "DF109"
    text = "{problem}"


class UnfilteredWriteError(DefinitionError):
    """An update or delete would touch every record."""

    code = "DF110"
    text = "{verb} of {model!r} has an empty filter and would change every record."

    def advice(self) -> str:
        """Say how to mean it."""
        return "give a filter, or all=True (BulkUpdate and BulkDelete) if every record is meant"


class ConfigurationError(DefinitionError):
    """A setting is unknown or has a wrong value."""

    code = "DF111"
    text = "{problem}"


class MissingExtraError(DefinitionError):
    """An optional package is needed and not installed."""

    code = "DF112"
    text = "{feature} needs one more package."

    def advice(self) -> str:
        """Give the line to run."""
        return f"run: pip install 'dataflow-nodes[{self._facts['extra']}]'"


class IdentifierError(DefinitionError):
    """A table, column or index name is not a portable identifier."""

    code = "DF113"
    text = "{kind} name {name!r} {problem}."

    def advice(self) -> str:
        """State the rule."""
        return "use letters, digits and underscores, at most 63, not starting with a digit"


class OptionError(DefinitionError):
    """A model option is unknown or has a wrong value."""

    code = "DF114"
    text = "model {model!r}: {problem}"


class LoopError(DefinitionError):
    """A call was made from an event loop in which it cannot work."""

    code = "DF115"
    text = "{problem}"


class DuplicateNodeError(DefinitionError):
    """Two nodes of one registry, or two steps of one workflow, share a name."""

    code = "DF116"
    text = "{kind} {name!r} exists already, at {first}."

    def advice(self) -> str:
        """Say how to keep both."""
        return "give one of them another name"


class CursorError(DefinitionError):
    """A pagination cursor was altered, or belongs to another query."""

    code = "DF117"
    text = "the cursor {problem}."

    def advice(self) -> str:
        """Say where cursors come from."""
        return "pass the value of 'next' from the previous page, with the same filter and sort"


# ------------------------------------------------------------------ database


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
        shown = [self._line(*problem) for problem in self.problems[:5]]
        if len(self.problems) > 5:
            shown.append(f"  … and {len(self.problems) - 5} more")
        return "\n".join([f"values do not fit model {self.model!r}:", *shown])

    @staticmethod
    def _line(index: int | None, field: str, reason: str, value: Any) -> str:
        where = "" if index is None else f"record {index}, "
        shown = repr(value)
        return f"  {where}{field}: {reason} (got {shown if len(shown) <= 80 else shown[:77] + '…'})"


class UniqueViolationError(DatabaseError):
    """A value exists already in a unique field."""

    code = "DF202"
    text = "a record of {table!r} with the same {fields} exists already."


class ForeignKeyViolationError(DatabaseError):
    """A referred record does not exist, or is still referred to."""

    code = "DF203"
    text = "foreign key of {table!r}: {detail}"


class NotNullViolationError(DatabaseError):
    """A required column got no value."""

    code = "DF204"
    text = "field {field!r} of {table!r} must have a value."


class CheckViolationError(DatabaseError):
    """A check constraint of the database refused the values."""

    code = "DF205"
    text = "check {constraint!r} of {table!r} refuses these values."


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
    """The record was changed by someone else since it was read."""

    code = "DF208"
    retryable = True
    text = "{model!r} {key} is at version {found}, expected {expected}."

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


class AppendOnlyError(DatabaseError):
    """A record of an append-only model was to be changed."""

    code = "DF211"
    text = "model {model!r} is append-only: {verb} is refused."


class StatementError(DatabaseError):
    """The database refused a statement for a reason without a class of its own."""

    code = "DF212"
    text = "the database refused the statement: {detail}"


# ----------------------------------------------------------------- execution


class PoolExhaustedError(ExecutionError):
    """No connection became free in time."""

    code = "DF214"
    retryable = True
    outcome = "not_applied"
    text = (
        "no connection became free within {waited_s:g} s "
        "({size} in use, {waiting} waiting{holder})."
    )

    def advice(self) -> str:
        """Say which settings matter."""
        return "raise pool_size or max_overflow, shorten transactions, or raise pool_timeout_s"


class ConnectionLostError(ExecutionError):
    """The connection broke during the call; a write's outcome may be unknown."""

    code = "DF215"
    retryable = True
    outcome: str | None = "unknown"
    text = "the connection to the database was lost: {detail}"


class StatementTimeoutError(ExecutionError):
    """A statement took longer than its deadline."""

    code = "DF216"
    retryable = True
    outcome = "not_applied"
    text = "the statement did not finish within {timeout_s} s."


class SerializationFailureError(ExecutionError):
    """Concurrent transactions could not be ordered; run the transaction again."""

    code = "DF217"
    retryable = True
    outcome = "not_applied"
    text = "the transaction conflicts with a concurrent one: {detail}"


class DeadlockError(ExecutionError):
    """The database chose this transaction as the victim of a deadlock."""

    code = "DF218"
    retryable = True
    outcome = "not_applied"
    text = "the transaction was ended to resolve a deadlock: {detail}"


class DatabaseBusyError(ExecutionError):
    """SQLite's file stayed locked, or the server has no free connection slot."""

    code = "DF219"
    retryable = True
    outcome = "not_applied"
    text = "the database is busy: {detail}"


class CannotConnectError(ExecutionError):
    """No connection could be opened."""

    code = "DF220"
    retryable = True
    outcome = "not_applied"
    text = "cannot connect to {url}: {detail}"


class DatabaseClosedError(ExecutionError):
    """The DataFlow object was closed."""

    code = "DF221"
    outcome = "not_applied"
    text = "this DataFlow ({url}) is closed."


class NodeTimeoutError(ExecutionError):
    """A node took longer than its timeout."""

    code = "DF301"
    retryable = True
    outcome = "unknown"
    text = "node {node!r} did not finish within {timeout_s:g} s."


class UnresolvedReferenceError(ExecutionError):
    """A connected output does not exist in what the source node returned."""

    code = "DF302"
    text = "node {node!r} needs {source}[{output!r}], but {reason}."


class WorkflowFailedError(ExecutionError):
    """One or more nodes of a run failed.

    Attributes:
        run_id: The run's id.
        results: `{node id: output}` of the nodes that finished.
        failures: `{node id: exception}` in order of failure.
    """

    code = "DF303"
    workflow: str
    run_id: str
    results: dict[str, Any]
    failures: dict[str, BaseException]

    def problem_text(self) -> str:
        """Name each failed node with its error."""
        head = f"workflow {self.workflow!r}, run {self.run_id}: {len(self.failures)} failed."
        return "\n".join([head, *(_failure(node, exc) for node, exc in self.failures.items())])


class NodeOutputError(ExecutionError):
    """A node returned something that is not a dict."""

    code = "DF304"
    text = "node {node!r} returned {got}, expected a dict with string keys."


def _failure(node: str, error: BaseException) -> str:
    text = str(error).replace("\n", "\n  ")
    return f"  node {node!r}: {type(error).__name__}: {text}"
