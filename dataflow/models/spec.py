"""`ModelSpec`: the one frozen record from which everything else is derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from sqlalchemy import Column, Table, UniqueConstraint

from dataflow.errors import UnknownFieldError
from dataflow.models.fields import MISSING, FieldInfo
from dataflow.models.tenancy import TENANT

__all__ = ["FieldSpec", "ModelOptions", "ModelSpec", "RelationshipSpec"]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of a model: `__dataflow__ = {...}` or keywords of `@db.model(...)`."""

    timestamps: bool = True
    soft_delete: bool = False
    versioned: bool = False
    append_only: bool = False
    multi_tenant: bool = False
    actors: bool = False
    audit: bool | None = None
    indexes: tuple[tuple[str, ...], ...] = ()
    unique_together: tuple[tuple[str, ...], ...] = ()
    table: str | None = None


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a model.

    Attributes:
        name: The attribute's name; the column's may differ.
        annotation: What pydantic validates: the declared type with its bounds.
        declared: The declared type without bounds.
        nullable: Whether None is a value.
        generated: `"database"` for identity keys, `"dataflow"` for timestamps and
            versions, None for values that callers give.
    """

    name: str
    annotation: Any
    column: Column[Any]
    info: FieldInfo
    declared: Any
    nullable: bool
    generated: Literal["database", "dataflow"] | None = None
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None

    @property
    def has_default(self) -> bool:
        """Whether a value exists when the caller gives none."""
        return (
            self.default is not MISSING
            or self.default_factory is not None
            or self.generated is not None
            or self.info.server_default is not None
        )

    @property
    def required(self) -> bool:
        """Whether a create must give a value."""
        return not self.has_default and not self.nullable

    @property
    def type_name(self) -> str:
        """The annotation as a person writes it."""
        text = getattr(self.declared, "__name__", None) if not get_args(self.declared) else None
        text = text or str(self.declared).replace("typing.", "")
        return f"{text} | None" if self.nullable else text


@dataclass(frozen=True, slots=True)
class RelationshipSpec:
    """A link from one model to another; which columns join them is found on use.

    Attributes:
        target: The other model's name.
        many: Whether the link leads to a list.
        mapped: Whether the class's author wrote a `relationship()`, which says how to follow it.
    """

    name: str
    target: str
    many: bool
    back_populates: str | None = None
    foreign_key: str | None = None
    mapped: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """Everything known about a model; frozen.

    Attributes:
        fields: `{field name: FieldSpec}` in the order of declaration.
        key: Names of the primary key's fields.
        location: `"file:line"` of the class.
    """

    name: str
    model: type
    table: Table
    fields: Mapping[str, FieldSpec]
    key: tuple[str, ...]
    relationships: Mapping[str, RelationshipSpec]
    options: ModelOptions
    location: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def field(self, name: str, at: str | None = None) -> FieldSpec:
        """Return a field by name.

        Raises:
            UnknownFieldError: Naming the nearest field.
        """
        found = self.fields.get(name) if isinstance(name, str) else None
        if found is None:
            raise UnknownFieldError(
                name=name, model=self.name, known=tuple(self.fields) + self.link_names, at=at
            )
        return found

    @property
    def link_names(self) -> tuple[str, ...]:
        """Names of the relationships."""
        return tuple(self.relationships)

    @cached_property
    def key_is_generated(self) -> bool:
        """Whether the database makes the primary key."""
        return len(self.key) == 1 and self.fields[self.key[0]].generated == "database"

    @cached_property
    def tenant(self) -> FieldSpec | None:
        """The field that says whose record it is, or None where records belong to all."""
        return self.fields[TENANT] if self.options.multi_tenant else None

    @cached_property
    def live_sets(self) -> tuple[tuple[str, ...], ...]:
        """The sets of fields whose values are unique among records that are not deleted."""
        names = {spec.column.name: spec.name for spec in self.fields.values()}
        return tuple(
            tuple(names[column.name] for column in index.columns if column.name != TENANT)
            for index in self.table.indexes
            if index.unique and index.dialect_kwargs.get("sqlite_where") is not None
        )

    @cached_property
    def unique_sets(self) -> tuple[tuple[str, ...], ...]:
        """All sets of fields whose values are unique together, the key first.

        Where tenants share the table they are unique within each tenant.
        """
        names = {spec.column.name: spec.name for spec in self.fields.values()}
        sets = [self.key]
        sets += [(spec.name,) for spec in self.fields.values() if spec.column.unique]
        sets += [
            tuple(names[column.name] for column in constraint.columns)
            for constraint in self.table.constraints
            if isinstance(constraint, UniqueConstraint)
        ]
        sets += [
            tuple(names[column.name] for column in index.columns)
            for index in self.table.indexes
            if index.unique
        ]
        if self.options.multi_tenant:
            sets = [tuple(name for name in names if name != TENANT) for names in sets]
        return tuple(dict.fromkeys(sets))

    @cached_property
    def referred_tables(self) -> frozenset[str]:
        """Names of the tables that foreign keys of this model refer to."""
        return frozenset(
            str(key.target_fullname).rpartition(".")[0] for key in self.table.foreign_keys
        )
