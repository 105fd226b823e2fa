"""From a decorated class to its `ModelSpec` and mapped table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipProperty, registry

from dataflow.errors import OptionError, did_you_mean
from dataflow.models.base import Model
from dataflow.models.columns import maintained_fields, mapped_fields, plain_fields
from dataflow.models.fields import MISSING
from dataflow.models.hints import Hints, hints_of
from dataflow.models.naming import check_identifier, table_name
from dataflow.models.relationships import link_property, plain_links
from dataflow.models.serializing import let_pydantic_know
from dataflow.models.spec import FieldSpec, ModelOptions, ModelSpec, RelationshipSpec
from dataflow.models.tables import table_of
from dataflow.models.tenancy import TENANT, add_tenant_key, make_unique_within_tenant
from dataflow.models.unannotated import refuse_unannotated

__all__ = [
    "CheckTable",
    "Lookup",
    "declare_model",
    "refuse_shared_records",
    "spec_for",
    "spec_of_mapped",
]

Lookup = Callable[[str], type]
CheckTable = Callable[[str, str, str], None]
_OPTION_NAMES = tuple(item.name for item in dataclass_fields(ModelOptions))


def declare_model(
    model: type,
    mapping: registry,
    lookup: Lookup,
    options: Mapping[str, Any],
    hints: Hints,
    check_table: CheckTable,
) -> ModelSpec:
    """Map a class and return its specification; the class itself stays the same object.

    Args:
        model: A plain annotated class, or one that is SQLAlchemy-declarative.
        mapping: The registry whose metadata takes the table.
        lookup: Finds the class of another model by name, when a link is first used.
        options: Keywords of `@db.model(...)`; they win over `__dataflow__`.
        hints: Resolves the class's annotations.
        check_table: Called with table name, class name and place before the table is made;
            raises when the name is taken.

    Raises:
        AnnotationError: For a field that no column can hold.
        OptionError: For an unknown option or one of the wrong shape.
        IdentifierError: For a table or column name that is not portable.
    """
    is_mapped = isinstance(sa.inspect(model, raiseerr=False), Mapper) and "__mapper__" in vars(
        model
    )
    chosen = _options_of(model, options, plain=not (is_mapped or hints.is_declarative()))
    if is_mapped:
        refuse_shared_records(model)
        check_table(sa.inspect(model).local_table.fullname, model.__name__, hints.location)
        return spec_of_mapped(model, chosen, hints)
    _refuse_inheritance(model)
    if hints.is_declarative():
        if not hasattr(model, "__tablename__"):
            model.__tablename__ = chosen.table or table_name(model.__name__)  # type: ignore[attr-defined]  # read by SQLAlchemy
        check_table(model.__tablename__, model.__name__, hints.location)  # type: ignore[attr-defined]  # likewise
        mapping.mapped(model)
        refuse_shared_records(model)
        return spec_of_mapped(model, chosen, hints)
    name = chosen.table or getattr(model, "__tablename__", None) or table_name(model.__name__)
    check_table(check_identifier(name, "table"), model.__name__, hints.location)
    return _declare_plain(model, name, mapping, lookup, chosen, hints)


def _options_of(model: type, given: Mapping[str, Any], *, plain: bool) -> ModelOptions:
    merged = {"timestamps": plain, **_declared_options(model), **given}
    for name, value in merged.items():
        if name not in _OPTION_NAMES:
            raise OptionError(
                model=model.__name__,
                problem=f"there is no option {name!r}.",
                advise=did_you_mean(name, _OPTION_NAMES),
            )
        _check_option(model.__name__, name, value)
    for name in ("indexes", "unique_together"):
        merged[name] = _name_sets(model.__name__, name, merged.get(name, ()))
    return ModelOptions(**merged)


def _declared_options(model: type) -> dict[str, Any]:
    """Return the options that a class and the mixins that it inherits declare."""
    merged: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        declared = base.__dict__.get("__dataflow__", {})
        if isinstance(declared, ModelSpec):
            if base is not model:
                continue
            raise OptionError(
                model=model.__name__, problem="the class is a model of a DataFlow already."
            )
        if not isinstance(declared, Mapping):
            raise OptionError(
                model=model.__name__, problem="__dataflow__ must be a dict of options."
            )
        merged |= declared
    return merged


def _check_option(model: str, name: str, value: Any) -> None:
    default = ModelOptions.__dataclass_fields__[name].default
    fits = isinstance(value, bool) if isinstance(default, bool) else True
    if name == "audit":
        fits = isinstance(value, bool | None)
    if name == "table":
        fits = isinstance(value, str | None)
    if not fits:
        kind = "a text" if name == "table" else "True or False"
        raise OptionError(model=model, problem=f"option {name} must be {kind}, not {value!r}.")


def _name_sets(model: str, option: str, value: Any) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple((item,) if isinstance(item, str) else tuple(item) for item in value)
    except TypeError:
        raise OptionError(
            model=model, problem=f"{option} must be a list of field names or of lists of them."
        ) from None


def _refuse_inheritance(model: type) -> None:
    for base in model.__mro__[1:]:
        if isinstance(base.__dict__.get("__dataflow__"), ModelSpec):
            raise OptionError(
                model=model.__name__,
                problem=f"it inherits from the model {base.__name__!r}.",
                advise="put the common fields into a plain class and let both models inherit that",
            )


def refuse_shared_records(model: type) -> None:
    """Refuse a mapped class whose records are those of another one, too, in part or by kind.

    Raises:
        OptionError: Naming the class that it inherits from.
    """
    mapper: Mapper[Any] = sa.inspect(model)
    if mapper.inherits is not None and not mapper.concrete:
        base = mapper.inherits.class_.__name__
        raise OptionError(
            model=model.__name__,
            problem=f"its records are also those of {base!r}, from which it inherits.",
            advise=f"adopt {base} alone; sessions and repositories tell the kinds apart",
        )


def _refuse_frozen(model: type) -> None:
    told: Any = getattr(model, "__dataclass_params__", None)
    if told is not None and told.frozen:
        raise OptionError(
            model=model.__name__,
            problem="its objects are frozen, and SQLAlchemy sets what the database returns.",
            advise="write @dataclass without frozen=True, or no dataclass at all",
        )


def _declare_plain(
    model: type,
    name: str,
    mapping: registry,
    lookup: Lookup,
    options: ModelOptions,
    hints: Hints,
) -> ModelSpec:
    _refuse_frozen(model)
    refuse_unannotated(model, hints)
    links = plain_links(hints)
    fields = plain_fields(model, hints, options, skip=links)
    table = table_of(name, mapping.metadata, fields, options, model.__name__)
    properties: dict[str, Any] = {
        field.name: table.c[field.column.name] for field in fields.values()
    }
    properties |= {link.name: link_property(model, link, lookup, fields) for link in links.values()}
    for field in [*fields, *links]:
        if field in vars(model):
            delattr(model, field)
    _add_methods(model, fields)
    version = fields["version"].column if options.versioned else None
    mapping.map_imperatively(model, table, properties=properties, version_id_col=version)
    return _spec(model, table, fields, links, options, hints)


def spec_of_mapped(model: type, options: ModelOptions, hints: Hints) -> ModelSpec:
    """Return the specification of a class that SQLAlchemy has mapped."""
    mapper: Mapper[Any] = sa.inspect(model)
    table = mapper.local_table
    if not isinstance(table, sa.Table):
        raise OptionError(model=model.__name__, problem="the class is not mapped to one table.")
    fields = maintained_fields(model, mapped_fields(mapper), options)
    if options.versioned and mapper.version_id_col is None:  # as after __mapper_args__ of its own
        mapper.version_id_col = fields["version"].column
    if options.multi_tenant:
        make_unique_within_tenant(table, fields[TENANT].column)
        add_tenant_key(table, fields[TENANT].column)
    links = {
        key: RelationshipSpec(key, _target_name(link.argument), _is_list(link), mapped=True)
        for key, link in mapper._props.items()  # noqa: SLF001 - public access configures mappers, too early
        if isinstance(link, RelationshipProperty)
    }
    return _spec(model, table, fields, links, options, hints)


def _is_list(link: RelationshipProperty[Any]) -> bool:
    """Whether a link leads to a list, as far as its annotation tells."""
    return link.collection_class is not None if link.uselist is None else link.uselist


def _target_name(argument: Any) -> str:
    return str(getattr(argument, "__name__", argument))


def _spec(
    model: type,
    table: sa.Table,
    fields: Mapping[str, FieldSpec],
    links: Mapping[str, RelationshipSpec],
    options: ModelOptions,
    hints: Hints,
) -> ModelSpec:
    spec = ModelSpec(
        name=model.__name__,
        model=model,
        table=table,
        fields=dict(fields),
        key=tuple(name for name in fields if fields[name].info.primary_key),
        relationships=dict(links),
        options=options,
        location=hints.location,
    )
    model.__dataflow__ = spec  # type: ignore[attr-defined]  # what all else finds it by
    let_pydantic_know(spec)
    return spec


def _add_methods(model: type, fields: Mapping[str, FieldSpec]) -> None:
    """Give a plain class a keyword constructor and a repr, unless it has its own."""
    own = {name for base in model.__mro__[:-1] if base is not Model for name in vars(base)}
    if "__init__" not in own:
        model.__init__ = _constructor(fields)  # type: ignore[misc]  # a class without a constructor gets one
    if "__repr__" not in own:
        model.__repr__ = _repr_of(fields)  # type: ignore[method-assign,assignment]  # likewise


def _constructor(fields: Mapping[str, FieldSpec]) -> Callable[..., None]:
    given = [item for item in fields.values() if item.generated is None]

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807 - becomes the class's method
        for name in values:
            if not hasattr(type(self), name):
                msg = f"{type(self).__name__}() has no field {name!r}: "
                raise TypeError(msg + did_you_mean(name, fields))
        for item in given:
            if item.name not in values and item.default_factory is not None:
                values[item.name] = item.default_factory()
            elif item.name not in values and item.default is not MISSING:
                values[item.name] = item.default
        for name, value in values.items():
            setattr(self, name, value)

    return __init__


def _repr_of(fields: Mapping[str, FieldSpec]) -> Callable[[Any], str]:
    shown = [item.name for item in fields.values() if not item.info.secret]

    def __repr__(self: Any) -> str:  # noqa: N807 - becomes the class's method
        state = vars(self)
        values = ", ".join(f"{name}={state[name]!r}" for name in shown if name in state)
        return f"{type(self).__name__}({values})"

    return __repr__


def spec_for(model: type) -> ModelSpec:
    """Return the specification of a model, or of any class that SQLAlchemy has mapped.

    Raises:
        OptionError: If it is neither.
    """
    found = vars(model).get("__dataflow__") if isinstance(model, type) else None
    if isinstance(found, ModelSpec):
        return found
    if not isinstance(sa.inspect(model, raiseerr=False), Mapper):
        raise OptionError(
            model=getattr(model, "__name__", str(model)),
            problem="it is neither a model nor mapped by SQLAlchemy.",
            advise="decorate it with @db.model",
        )
    return spec_of_mapped(model, _options_of(model, {}, plain=False), hints_of(model, None))
