"""Links between models: from `Relationship()` to a SQLAlchemy relationship."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from sqlalchemy.orm import RelationshipProperty, relationship

from dataflow.models.annotations import Unsupported, resolve
from dataflow.models.fields import RelationshipInfo
from dataflow.models.hints import Hints
from dataflow.models.spec import FieldSpec, RelationshipSpec

__all__ = ["link_property", "plain_links"]

_FORMS = 'write it as author: User, or posts: list["Post"]'
_LIST = re.compile(r"(?:typing\.)?[Ll]ist\[(?P<inner>.+)\]\Z")
_OPTIONAL = re.compile(r"(?:typing\.)?Optional\[(?P<inner>.+)\]\Z|(?P<plain>.+?)\s*\|\s*None\Z")


def plain_links(hints: Hints) -> dict[str, RelationshipSpec]:
    """Return the fields of a plain class that are written with `Relationship()`."""
    links = {}
    for name in hints.raw:
        value = hints.value(name, None)
        if isinstance(value, RelationshipInfo):
            links[name] = _link(hints, name, value)
    return links


def _link(hints: Hints, name: str, info: RelationshipInfo) -> RelationshipSpec:
    try:
        target, many = _read_type(hints.resolved(name))
    except NameError:
        target, many = _read_text(_source_of(hints.raw[name][0]))
    except Unsupported as error:
        raise hints.refusal(name, f"{error}.", _FORMS) from None
    if not target.isidentifier():
        raise hints.refusal(name, f"a relationship cannot lead to {target!r}.", _FORMS)
    return RelationshipSpec(name, target, many, info.back_populates, info.foreign_key)


def _source_of(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    if get_origin(annotation) is list:
        return f"list[{_source_of(get_args(annotation)[0])}]"
    if get_origin(annotation) in (Union, types.UnionType):
        members = [_source_of(m) for m in get_args(annotation) if m is not type(None)]
        return " | ".join((*members, "None"))
    return str(getattr(annotation, "__forward_arg__", annotation))


def _read_text(text: str) -> tuple[str, bool]:
    text = text.strip().strip("\"'")
    many = _LIST.match(text)
    if many:
        return many["inner"].strip("\"' "), True
    optional = _OPTIONAL.match(text)
    if optional:
        return (optional["inner"] or optional["plain"]).strip("\"' "), False
    return text, False


def _read_type(annotation: Any) -> tuple[str, bool]:
    base = resolve(annotation).base
    if get_origin(base) is list:
        return _name_of(get_args(base)[0]), True
    return _name_of(base), False


def _name_of(target: Any) -> str:
    return str(getattr(target, "__forward_arg__", None) or getattr(target, "__name__", target))


def link_property(
    model: type,
    link: RelationshipSpec,
    lookup: Callable[[str], type],
    fields: Mapping[str, FieldSpec],
) -> RelationshipProperty[Any]:
    """Return the SQLAlchemy relationship of a link.

    Access without loading raises, so that no query runs unseen.
    """
    options: dict[str, Any] = {}
    if link.foreign_key is not None:
        if link.foreign_key in fields:
            options["foreign_keys"] = [fields[link.foreign_key].column]
        else:
            options["foreign_keys"] = lambda: _far_column(lookup(link.target), link.foreign_key)
    elif _refers_to_itself(link, fields, model):
        key = next(item for item in fields.values() if item.info.primary_key)
        if not link.many:
            options["remote_side"] = [key.column]
    if link.many:
        # What becomes of the others is said by on_delete, not by NULL in what is loaded.
        # Without a link back, it is this side that tells of one that was taken out.
        options["passive_deletes"] = True if link.back_populates is None else "all"
    return relationship(
        lambda: lookup(link.target),
        uselist=link.many,
        back_populates=link.back_populates,
        lazy="raise",
        overlaps="__*",  # the same key may be told as two links, one on each side
        **options,
    )


def _far_column(model: type, name: str | None) -> Any:
    spec: Any = model.__dict__["__dataflow__"]
    return [spec.field(name).column]


def _refers_to_itself(link: RelationshipSpec, fields: Mapping[str, FieldSpec], model: type) -> bool:
    return link.target == model.__name__ and bool(fields)
