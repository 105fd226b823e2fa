"""A migration, as a value: what changes, with which statements, and what it would lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Change", "ChangeKind", "MigrationPlan", "Revision"]

ChangeKind = Literal[
    "rename table", "rename column", "create table", "drop table", "add column",
    "drop column", "alter column", "create index", "drop index", "add constraint",
    "drop constraint", "create trigger", "drop trigger",
    "create policy", "drop policy",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the database and the models.

    Attributes:
        name: The column, index or constraint; None for a whole table.
        detail: What changes, as a phrase; empty where the kind says it all.
        loses_data: Whether values that are stored now may be gone afterwards.
    """

    kind: ChangeKind
    table: str
    name: str | None = None
    detail: str = ""
    loses_data: bool = False

    def __str__(self) -> str:
        """Return the change as a line."""
        place = self.table if self.name is None else f"{self.table}.{self.name}"
        loss = "  (loses data)" if self.loses_data else ""
        return f"{self.kind} {place}{f': {self.detail}' if self.detail else ''}{loss}"


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What makes the database equal to the models; empty when it is already.

    Attributes:
        statements: SQL in order of execution, all in one transaction.
        possible_renames: `{"users.name": "users.full_name"}`: what is dropped, and what is
            added in its place with an equal type. Nothing is renamed unless asked for.
    """

    changes: tuple[Change, ...] = ()
    statements: tuple[str, ...] = ()
    possible_renames: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changes)

    @property
    def losses(self) -> tuple[Change, ...]:
        """The changes that may lose data."""
        return tuple(change for change in self.changes if change.loses_data)

    def __str__(self) -> str:
        """Return one line per change, and the possible renames."""
        lines = [str(change) for change in self.changes] or ["nothing to do"]
        lines += [f"renamed? {old} -> {new}" for old, new in self.possible_renames.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision file.

    Attributes:
        message: What it is about, in one line.
        parents: The revisions that go before it; none for the first.
        is_head: Whether no other revision comes after it.
        is_current: Whether the database is at it.
    """

    id: str
    message: str
    parents: tuple[str, ...]
    path: Path
    is_head: bool = False
    is_current: bool = False

    def __str__(self) -> str:
        """Return the revision as a line, such as `1975ea83b712 (head, current): Add notes`."""
        marks = [m for m, on in (("head", self.is_head), ("current", self.is_current)) if on]
        place = f" ({', '.join(marks)})" if marks else ""
        return f"{self.id}{place}: {self.message}"
