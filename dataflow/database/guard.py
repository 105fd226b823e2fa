"""What a table itself watches over: its audit, that records stay as they are, whose they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG
from dataflow.models.spec import ModelSpec

__all__ = [
    "LOG_GUARDS",
    "POLICIES",
    "PREFIX",
    "AuditPolicy",
    "Guard",
    "is_policy",
    "kind_of",
    "trigger_name",
]

PREFIX = "dataflow_guard_"
"""All triggers that are ours begin so; what follows tells their definition apart."""

POLICIES = ("tenant_own", "tenant_all")
"""The policies of a table that tenants share end so."""


@dataclass(frozen=True)
class Guard:
    """What the triggers of one table do.

    Attributes:
        columns: All columns, in order.
        key: Columns that name a record.
        masked: Names of columns whose values are never written into the audit log.
        tenant: The column that tells the tenant, and with it the chain.
        refused: The statements that are refused: `"UPDATE"`, `"DELETE"`.
        wall: The column whose tenant the server compares; None: it does not.
    """

    table: sa.Table
    model: str
    columns: tuple[sa.Column[Any], ...]
    key: tuple[sa.Column[Any], ...]
    masked: frozenset[str] = frozenset()
    tenant: sa.Column[Any] | None = None
    audited: bool = False
    refused: tuple[str, ...] = ()
    wall: sa.Column[Any] | None = None


LOG_GUARDS = (
    Guard(AUDIT_LOG, AUDIT_LOG.name, (), (), refused=("UPDATE", "DELETE")),
    Guard(AUDIT_HEADS, AUDIT_HEADS.name, (), (), refused=("DELETE",)),
)
"""The audit log itself is append-only; heads move on and stay."""


@dataclass
class AuditPolicy:
    """Which models are audited; the option of a model wins over the general rule.

    Attributes:
        everything: Whether models without the option are audited.
        used: Whether anything may be audited, so that calls must tell who makes them.
        walled: Whether the server keeps tenants apart; their tables are then watched, too.
        shared: The tables that tenants share.
        specs: All models by table.
    """

    everything: bool = False
    names: set[str] = field(default_factory=set)
    used: bool = False
    walled: bool = False
    shared: set[sa.Table] = field(default_factory=set)
    specs: dict[sa.Table, ModelSpec] = field(default_factory=dict)

    def enable(self, names: Sequence[str]) -> None:
        """Let models be audited: those named, or all where none is."""
        self.everything = self.everything or not names
        self.names.update(names)
        self.used = True

    def admit(self, spec: ModelSpec) -> None:
        """Take note of a model that was declared."""
        self.specs[spec.table] = spec
        self.used = self.used or self.covers(spec)
        if spec.tenant is not None:
            self.shared.add(spec.table)

    def covers(self, spec: ModelSpec) -> bool:
        """Whether changes of a model go into the audit log."""
        if spec.options.audit is not None:
            return spec.options.audit
        return self.everything or spec.name in self.names

    def watches(self, table: sa.Table) -> bool:
        """Whether changes of a table go into the audit log."""
        return self.used and table in self.specs and self.covers(self.specs[table])

    def guard_of(self, spec: ModelSpec) -> Guard | None:
        """Return what triggers must do for a model, or None for nothing."""
        audited = self.covers(spec)
        wall = spec.tenant.column if self.walled and spec.tenant is not None else None
        if not audited and not spec.options.append_only and wall is None:
            return None
        fields = spec.fields.values()
        return Guard(
            spec.table,
            spec.name,
            tuple(item.column for item in fields),
            tuple(spec.fields[name].column for name in spec.key),
            frozenset(str(item.column.name) for item in fields if item.info.secret),
            spec.fields["tenant_id"].column if "tenant_id" in spec.fields else None,
            audited,
            ("UPDATE", "DELETE") if spec.options.append_only else (),
            wall,
        )


def is_policy(name: str) -> bool:
    """Whether a name of ours is that of a policy, and not of a trigger."""
    return name.endswith(POLICIES)


def kind_of(name: str) -> Literal["policy", "trigger"]:
    """Return what a name of ours is the name of."""
    return "policy" if is_policy(name) else "trigger"


def trigger_name(definition: str, ending: str) -> str:
    """Return a name that changes with the definition, so that names tell what is there."""
    return f"{PREFIX}{hashlib.sha256(definition.encode()).hexdigest()[:16]}_{ending}"
