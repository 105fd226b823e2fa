"""From resolved annotations to `FieldSpec`s with their SQLAlchemy columns."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import AfterValidator, TypeAdapter, ValidationError
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from dataflow.errors import AnnotationError, DataValueError, OptionError
from dataflow.identifiers import uuid7
from dataflow.models.annotations import (
    KeyText,
    Resolved,
    Unsupported,
    column_type_for,
    resolve,
    validated_annotation,
)
from dataflow.models.arrays import array_annotation
from dataflow.models.bounds import misfit
from dataflow.models.columntypes import BIGINT, CurrentInstant, JsonValue, TextKey, UtcDateTime
from dataflow.models.fields import MISSING, FieldInfo
from dataflow.models.hints import Hints
from dataflow.models.naming import check_identifier
from dataflow.models.spec import FieldSpec, ModelOptions, ModelSpec
from dataflow.models.sqltext import sql_text
from dataflow.models.tenancy import TENANT, tenant_default

__all__ = [
    "is_made_in_sql",
    "maintained_fields",
    "mapped_fields",
    "plain_fields",
    "python_type",
    "utc_now",
]

ACTORS = ("created_by", "updated_by")
"""Names of the fields that say who made a record, and who changed it last."""
_MUTABLE = (list, dict, set)
_PLAIN = int | float | str | Decimal
_MAINTAINED = {"timestamps": dt.datetime, "soft_delete": dt.datetime, "versioned": int}
"""What options write into their columns of mapped classes."""
_WRITTEN = dt.date | dt.time | dt.timedelta | uuid.UUID
"""Defaults that their type writes as SQL."""


def utc_now() -> dt.datetime:
    """Return the present instant in UTC."""
    return dt.datetime.now(dt.UTC)


def plain_fields(
    model: type, hints: Hints, options: ModelOptions, skip: Collection[str]
) -> dict[str, FieldSpec]:
    """Return the fields of a plain annotated class, with those that options add."""
    drafts = {name: _draft(model, hints, name) for name in hints.raw if name not in skip}
    if not any(draft.info.primary_key for draft in drafts.values()):
        drafts = _with_id(drafts)
    keys = [name for name, draft in drafts.items() if draft.info.primary_key]
    fields = {name: _field(draft, alone=keys == [name]) for name, draft in drafts.items()}
    fields |= _added_fields(fields, options)
    fields |= _tenant_field(model, fields, options)
    _refuse_twins(fields, hints)
    return fields


def _tenant_field(
    model: type, fields: Mapping[str, FieldSpec], options: ModelOptions
) -> dict[str, FieldSpec]:
    """Return the field of the tenant; a part of the key where callers give the key."""
    if not options.multi_tenant:
        return {}
    given = fields.get(TENANT)
    if given is None:
        column = sa.Column(TENANT, sa.String(255), nullable=False, default=tenant_default)
        info = FieldInfo(max_length=255, min_length=1)
        annotation = validated_annotation(str, str, info, nullable=False)
        given = FieldSpec(TENANT, annotation, column, info, str, nullable=False)
    elif given.column.default is None:
        sa.ColumnDefault(tenant_default)._set_parent_with_dispatch(given.column)  # noqa: SLF001 - as Column itself does
    generated = any(field.generated == "database" for field in fields.values())
    given.column.primary_key = given.info.primary_key or not generated
    given.column.nullable = False
    return {TENANT: _kept_tenant(model, replace(given, nullable=False))}


def _kept_tenant(model: type, field: FieldSpec) -> FieldSpec:
    """Return the tenant's field without a default: whose a record is depends on the call."""
    if field.column.name != TENANT:
        raise OptionError(
            model=model.__name__,
            problem=f"the field {TENANT!r} has the column {str(field.column.name)!r}.",
            advise=f"call the column {TENANT!r}, too: keys, indexes and policies name it",
        )
    return replace(field, generated="dataflow", default=MISSING, default_factory=None)


def _refuse_twins(fields: Mapping[str, FieldSpec], hints: Hints) -> None:
    """Refuse columns that differ in case alone, which not every database tells apart."""
    seen: dict[str, str] = {}
    for name, field in fields.items():
        twin = seen.setdefault(str(field.column.name).casefold(), name)
        if twin != name:
            raise hints.refusal(name, f"its column differs from that of {twin!r} in case alone.")


@dataclass(frozen=True, slots=True)
class _Draft:
    model: type
    name: str
    resolved: Resolved
    info: FieldInfo
    location: str

    def refuse(self, problem: str, advise: str | None = None) -> AnnotationError:
        return AnnotationError(
            field=self.name,
            model=self.model.__name__,
            problem=problem,
            advise=advise,
            at=self.location,
        )


def _draft(model: type, hints: Hints, name: str) -> _Draft:
    check_identifier(name, "field")
    if name.startswith("_sa_"):
        raise hints.refusal(name, "names that begin with _sa_ belong to SQLAlchemy.")
    try:
        resolved = resolve(hints.resolved(name))
    except NameError as error:
        raise hints.unknown_name(name, str(error.name)) from None
    except Unsupported as error:
        raise hints.refusal(name, f"{error}.", error.advise) from None
    value = hints.value(name, MISSING)
    info = value if isinstance(value, FieldInfo) else resolved.info or FieldInfo()
    if value is not MISSING and not isinstance(value, FieldInfo):
        info = replace(info, default=value)
    told = getattr(model, "__dataclass_fields__", {}).get(name)  # a factory leaves no value behind
    if value is MISSING and told is not None and callable(told.default_factory):
        info = replace(info, default_factory=told.default_factory)
    return _Draft(model, name, resolved, info, hints.location)


def _with_id(drafts: Mapping[str, _Draft]) -> dict[str, _Draft]:
    given = drafts.get("id")
    if given is not None:
        return {**drafts, "id": replace(given, info=replace(given.info, primary_key=True))}
    anyone = next(iter(drafts.values()), None)
    draft = _Draft(
        model=anyone.model if anyone else object,
        name="id",
        resolved=Resolved(int, int, nullable=False, info=None),
        info=FieldInfo(primary_key=True),
        location=anyone.location if anyone else "",
    )
    return {"id": draft, **drafts}


def _field(draft: _Draft, *, alone: bool) -> FieldSpec:
    info, resolved = _with_mutable_default(draft.info), draft.resolved
    try:
        column_type = column_type_for(resolved.base, info)
    except Unsupported as error:
        raise draft.refuse(f"{error}.", error.advise) from None
    if info.primary_key and isinstance(column_type, JsonValue):
        raise draft.refuse(
            f"a key cannot be {_type_name(resolved.base)}, which is stored as JSON.",
            "take an int, str or UUID as key, and keep the document in another field",
        )
    generated = _is_identity(info, resolved, alone=alone)
    nullable = resolved.nullable and not info.primary_key
    if nullable and not info.has_default:
        info = replace(info, default=None)
    default_factory = info.default_factory
    if info.primary_key and resolved.base is uuid.UUID and not info.has_default:
        default_factory = uuid7
    if info.default is None and not nullable and not generated:
        raise draft.refuse(
            "the default is None, but the annotation does not allow None.",
            f"write {draft.name}: {_type_name(resolved.base)} | None",
        )
    _check_bounds(draft)
    annotation = validated_annotation(resolved.full, resolved.base, info, nullable=nullable)
    _check_default(draft, annotation, column_type)
    return FieldSpec(
        name=draft.name,
        annotation=annotation,
        column=_column(draft, info, column_type, nullable=nullable, generated=generated),
        info=info,
        declared=resolved.base,
        nullable=nullable,
        generated="database" if generated else None,
        default=MISSING if generated else info.default,
        default_factory=default_factory,
    )


def _type_name(base: Any) -> str:
    return str(getattr(base, "__name__", base))


def _check_bounds(draft: _Draft) -> None:
    name = misfit(draft.resolved.base, draft.info)
    if name is not None:
        bound, kind = getattr(draft.info, name), _type_name(draft.resolved.base)
        raise draft.refuse(f"Field({name}={bound!r}) does not fit {kind}.")


def _check_default(draft: _Draft, annotation: Any, kind: TypeEngine[Any]) -> None:
    """Refuse a default that the field itself would refuse; sure cases cost nothing."""
    value = draft.info.default
    if value is MISSING or value is None or isinstance(value, bool):
        if isinstance(value, bool) and draft.resolved.base is not bool:
            raise draft.refuse(f"the default {value!r} does not fit.")
        return
    try:
        TypeAdapter(annotation).validate_python(value, strict=isinstance(value, str | int | float))
        if isinstance(kind, JsonValue):
            kind.encode(value)
    except DataValueError as error:
        raise draft.refuse(f"the default {value!r} does not fit: {error.detail}.") from None
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise draft.refuse(f"the default {value!r} does not fit: {reason}.") from None


def _with_mutable_default(info: FieldInfo) -> FieldInfo:
    if not isinstance(info.default, _MUTABLE):
        return info
    shared = info.default
    return replace(info, default=MISSING, default_factory=lambda: copy.deepcopy(shared))


def _is_identity(info: FieldInfo, resolved: Resolved, *, alone: bool) -> bool:
    given = info.has_default and info.default is not None
    return (
        info.primary_key
        and alone
        and resolved.base is int
        and info.foreign_key is None
        and not given
    )


def _column(
    draft: _Draft, info: FieldInfo, kind: TypeEngine[Any], *, nullable: bool, generated: bool
) -> sa.Column[Any]:
    name = check_identifier(info.column or draft.name, "column")
    items: list[Any] = []
    if info.foreign_key is not None:
        items.append(sa.ForeignKey(_target(draft, info), ondelete=_on_delete(info)))
    if generated:
        items.append(sa.Identity())
    default = _column_default(info, generated=generated)
    return sa.Column(
        quoted_name(name, quote=True),
        kind,
        *items,
        key=name,
        primary_key=info.primary_key,
        nullable=nullable,
        unique=info.unique or None,
        default=default,
        server_default=_server_default(info, kind),
        autoincrement=True if generated else False if info.primary_key else "auto",
        comment=None,
    )


def _column_default(info: FieldInfo, *, generated: bool) -> Any:
    if generated:
        return None
    if info.default_factory is not None:
        return _without_context(info.default_factory)
    return None if info.default is MISSING else info.default


def _server_default(info: FieldInfo, kind: TypeEngine[Any]) -> Any:
    """Return the DDL default: rows inserted without the column get the model's default."""
    if info.server_default:
        return sql_text(f"({info.server_default})")
    value = info.default.value if isinstance(info.default, enum.Enum) else info.default
    if not isinstance(value, _PLAIN | _WRITTEN):
        return None
    if isinstance(kind, JsonValue) or isinstance(value, _WRITTEN):
        return sa.literal(info.default, kind)
    if isinstance(value, bool):
        return sa.true() if value else sa.false()
    return str(value)


def _without_context(factory: Callable[[], Any]) -> Callable[[], Any]:
    """Return a factory in a form whose signature SQLAlchemy can read."""

    def make() -> Any:
        return factory()

    return make


def _on_delete(info: FieldInfo) -> str | None:
    return None if info.on_delete == "restrict" else info.on_delete.replace("_", " ").upper()


def _target(draft: _Draft, info: FieldInfo) -> str:
    target = info.foreign_key
    if isinstance(target, type):
        spec = target.__dict__.get("__dataflow__")
        if not isinstance(spec, ModelSpec):
            raise draft.refuse(
                f"foreign_key={target.__name__} is not a model yet.",
                "decorate it first, or write the key as text: 'table.column'",
            )
        return f"{spec.table.name}.{spec.fields[spec.key[0]].column.name}"
    if not isinstance(target, str) or target.count(".") != 1:
        raise draft.refuse(
            f"foreign_key={target!r} is not 'table.column'.", "for example foreign_key='users.id'"
        )
    return target


def _added_fields(fields: Mapping[str, FieldSpec], options: ModelOptions) -> dict[str, FieldSpec]:
    added: dict[str, FieldSpec] = {}
    if options.timestamps:
        added["created_at"] = _instant("created_at", default=utc_now)
        added["updated_at"] = _instant("updated_at", default=utc_now, onupdate=utc_now)
    if options.soft_delete:
        added["deleted_at"] = _instant("deleted_at", nullable=True)
    if options.actors:
        deleter = ("deleted_by",) if options.soft_delete else ()
        added |= {name: _actor(name) for name in (*ACTORS, *deleter)}
    if options.versioned:
        column = sa.Column("version", BIGINT, nullable=False, default=1, server_default="1")
        added["version"] = FieldSpec(
            "version",
            int,
            column,
            FieldInfo(),
            int,
            nullable=False,
            generated="dataflow",
            default=1,
        )
    return {name: field for name, field in added.items() if name not in fields}


def _actor(name: str) -> FieldSpec:
    annotation = validated_annotation(str, str, FieldInfo(), nullable=True)
    column: sa.Column[Any] = sa.Column(name, TextKey(255), nullable=True)
    return FieldSpec(
        name,
        annotation,
        column,
        FieldInfo(),
        str,
        nullable=True,
        generated="dataflow",
        default=None,
    )


def _instant(name: str, *, nullable: bool = False, **events: Any) -> FieldSpec:
    now = None if nullable else CurrentInstant()
    column = sa.Column(name, UtcDateTime(), nullable=nullable, server_default=now, **events)
    annotation = validated_annotation(dt.datetime, dt.datetime, FieldInfo(), nullable=nullable)
    return FieldSpec(
        name,
        annotation,
        column,
        FieldInfo(),
        dt.datetime,
        nullable,
        "dataflow",
        None if nullable else MISSING,
        None if nullable else utc_now,
    )


def mapped_fields(mapper: Mapper[Any]) -> dict[str, FieldSpec]:
    """Return the fields of a class that SQLAlchemy has mapped already."""
    fields = {
        name: _mapped_field(mapper, name, column)
        for name, column in mapper.columns.items()
        if isinstance(column, sa.Column)
    }
    by_column: dict[Any, FieldSpec] = {field.column: field for field in fields.values()}
    return {by_column[c].name: by_column[c] for c in mapper.local_table.c if c in by_column}


def maintained_fields(
    model: type, fields: Mapping[str, FieldSpec], options: ModelOptions
) -> dict[str, FieldSpec]:
    """Return a mapped class's fields, those that its options maintain marked as such.

    Raises:
        OptionError: If an option needs a column that the class lacks, or of another type.
    """
    wanted: dict[str, str] = {}
    if options.timestamps:
        wanted |= dict.fromkeys(("created_at", "updated_at"), "timestamps")
    if options.soft_delete:
        wanted["deleted_at"] = "soft_delete"
    if options.versioned:
        wanted["version"] = "versioned"
    if options.multi_tenant:
        wanted[TENANT] = "multi_tenant"
    if options.actors:
        wanted |= dict.fromkeys(ACTORS, "actors")
    for name, option in wanted.items():
        if name not in fields:
            raise OptionError(
                model=model.__name__,
                problem=f"option {option} needs a column {name!r}.",
                advise="declare it, or inherit the mixin that does",
            )
        _check_kept(model, fields[name], option)
    kept = {
        name: replace(field, generated="dataflow") if name in wanted else field
        for name, field in fields.items()
    }
    return kept | {TENANT: _kept_tenant(model, kept[TENANT])} if TENANT in wanted else kept


def _check_kept(model: type, field: FieldSpec, option: str) -> None:
    """Refuse a column that cannot hold what an option writes into it."""
    kind = _MAINTAINED.get(option)
    if kind is not None and python_type(field.column.type) not in (kind, Any):
        raise OptionError(
            model=model.__name__,
            problem=f"option {option} keeps {kind.__name__}s in the column {field.name!r}, "
            f"not {field.type_name}.",
            advise="give the column of your own another name",
        )


def _mapped_field(mapper: Mapper[Any], name: str, column: sa.Column[Any]) -> FieldSpec:
    nullable = bool(column.nullable) and not column.primary_key
    base = python_type(column.type)
    full = _full_type(column.type, base)
    table: Any = mapper.local_table
    identity = table.autoincrement_column is column and base is int
    made = is_made_in_sql(column) or isinstance(column.default, sa.Sequence)
    info = FieldInfo(
        primary_key=column.primary_key,
        unique=bool(column.unique),
        max_length=getattr(column.type, "length", None) if full in {str, KeyText} else None,
        server_default="" if column.server_default is not None or made else None,
    )
    default, factory = _default_of(column)
    if nullable and default is MISSING and factory is None and not made:
        default = None
    return FieldSpec(
        name=name,
        annotation=validated_annotation(full, base, info, nullable=nullable),
        column=column,
        info=info,
        declared=base,
        nullable=nullable,
        generated="database" if identity and factory is None and default is MISSING else None,
        default=default,
        default_factory=factory,
    )


def _full_type(kind: TypeEngine[Any], base: Any) -> Any:
    """Return the annotation of what a column takes, by the Python type of its values."""
    if isinstance(kind, sa.ARRAY):
        part = python_type(kind.item_type)
        info = FieldInfo(
            max_length=getattr(kind.item_type, "length", None) if part is str else None
        )
        item = validated_annotation(_full_type(kind.item_type, part), part, info, nullable=True)
        return array_annotation(item, kind.dimensions)
    return _text_of(kind) if base is str else base


def _text_of(kind: Any) -> Any:
    """Return the annotation of a column of texts: not each takes all of them."""
    if isinstance(kind, TextKey):
        return KeyText
    if isinstance(kind, sa.Enum) and kind.enums:
        return Literal[tuple(kind.enums)]
    return Annotated[str, AfterValidator(_uuid_text)] if isinstance(kind, sa.Uuid) else str


def _uuid_text(text: str) -> str:
    return str(uuid.UUID(text))


def is_made_in_sql(column: sa.Column[Any]) -> bool:
    """Whether a column's default is an SQL expression that SQLAlchemy writes into an INSERT."""
    default: Any = column.default
    return default is not None and bool(default.is_clause_element)


def python_type(stored: TypeEngine[Any]) -> Any:
    """Return the type of a column's values; `Any` where SQLAlchemy does not know it."""
    if isinstance(stored, sa.Enum) and stored.enum_class is not None:
        return stored.enum_class
    try:
        kind = stored.python_type
    except NotImplementedError:
        return Any
    is_foreign = not isinstance(stored, JsonValue)  # holds any document, whatever it says
    return Any if is_foreign and kind in (dict, list) else kind


def _default_of(column: sa.Column[Any]) -> tuple[Any, Any]:
    default: Any = column.default
    if default is None or default.is_sequence or default.is_clause_element:
        return MISSING, None
    if default.is_callable:
        call = default.arg
        return MISSING, lambda: call(None)
    return default.arg, None
