"""Annotations: what they mean as a column type, and how values are validated."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import enum
import types
import typing
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, PydanticUserError
from pydantic import Field as Constraint
from sqlalchemy import Boolean, Date, String, Text, Time, Uuid
from sqlalchemy.types import TypeEngine
from typing_extensions import is_typeddict

from dataflow.models.bounds import bounds_of
from dataflow.models.columntypes import (
    BIGINT,
    Binary,
    EnumValue,
    ExactDecimal,
    ExactFloat,
    JsonValue,
    Microseconds,
    UtcDateTime,
    utc_of,
)
from dataflow.models.fields import FieldInfo

__all__ = [
    "KeyText",
    "Resolved",
    "Unsupported",
    "column_type_for",
    "resolve",
    "validated_annotation",
]

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
_JSON_ORIGINS = (list, dict, set, frozenset, tuple)
_JSON_ABSTRACT = (collections.abc.Sequence, collections.abc.Mapping)
_EARLIEST = dt.datetime.min.replace(tzinfo=dt.UTC)
_LATEST = dt.datetime.max.replace(tzinfo=dt.UTC)
_NO_NUL = r"^[^\x00]*$"


class Unsupported(Exception):  # noqa: N818 - turned into AnnotationError where the field is known
    """No column can hold values of the annotation; the text says why.

    Attributes:
        advise: What to write instead, where that is known.
    """

    def __init__(self, problem: str, advise: str | None = None) -> None:
        super().__init__(problem)
        self.advise = advise


class Resolved(NamedTuple):
    """An annotation taken apart.

    Attributes:
        base: The type without `Optional`, `Annotated` and `NewType`.
        full: The annotation as given, without the outer `Optional`.
        nullable: Whether None is allowed.
        info: A `Field(...)` found inside `Annotated[...]`.
    """

    base: Any
    full: Any
    nullable: bool
    info: FieldInfo | None


def resolve(annotation: Any) -> Resolved:
    """Take `Optional`, `Annotated` and `NewType` off an annotation."""
    nullable, info, full = False, None, annotation
    base = annotation
    while True:
        origin = get_origin(base)
        if origin is Annotated:
            info = next((m for m in get_args(base)[1:] if isinstance(m, FieldInfo)), info)
            base = get_args(base)[0]
        elif origin in (Union, types.UnionType):
            base, was_optional = _without_none(base)
            nullable = nullable or was_optional
            full = base if was_optional and full is annotation else full
        elif isinstance(base, typing.NewType):
            base = base.__supertype__
        else:
            return Resolved(base, full, nullable, info)


def _without_none(union: Any) -> tuple[Any, bool]:
    members = [member for member in get_args(union) if member is not type(None)]
    if len(members) != 1:
        names = " | ".join(getattr(member, "__name__", str(member)) for member in members)
        msg = f"a union of several types ({names}) has no column type; use one type or dict"
        raise Unsupported(msg)
    return members[0], len(get_args(union)) > 1


def _text_type(info: FieldInfo) -> TypeEngine[Any]:
    return String(info.max_length) if info.max_length else Text()


def _decimal_type(info: FieldInfo) -> TypeEngine[Any]:
    if info.decimal_places is not None and info.max_digits is None:
        return ExactDecimal(1000, info.decimal_places)
    return ExactDecimal(info.max_digits, info.decimal_places)


_SCALARS: dict[Any, Callable[[FieldInfo], TypeEngine[Any]]] = {
    bool: lambda _: Boolean(),
    int: lambda _: BIGINT,
    float: lambda _: ExactFloat(),
    str: _text_type,
    bytes: lambda _: Binary(),
    Decimal: _decimal_type,
    dt.datetime: lambda _: UtcDateTime(),
    dt.date: lambda _: Date(),
    dt.time: lambda _: Time(),
    dt.timedelta: lambda _: Microseconds(),
    uuid.UUID: lambda _: Uuid(),
}


def column_type_for(base: Any, info: FieldInfo) -> TypeEngine[Any]:
    """Return the column type for a resolved base type.

    Raises:
        Unsupported: If there is none.
    """
    if base in _SCALARS:
        return _SCALARS[base](info)
    if get_origin(base) is Literal:
        return _literal_type(get_args(base))
    if isinstance(base, type) and issubclass(base, enum.Enum):
        return _enum_type(base)
    if _is_document(base):
        try:
            return JsonValue(base)
        except PydanticUserError as error:
            raise _unreadable(base, error) from None
    msg = (
        f"{getattr(base, '__name__', base)!s} has no column type; use int, float, bool, str, "
        "bytes, Decimal, date, time, datetime, timedelta, UUID, Enum, Literal, or a list, dict, "
        "TypedDict, dataclass or pydantic model (stored as JSON)"
    )
    raise Unsupported(msg)


def _unreadable(base: Any, error: PydanticUserError) -> Unsupported:
    if error.code == "typed-dict-version":
        return Unsupported(
            "typing.TypedDict cannot be read before Python 3.12",
            "import TypedDict from typing_extensions on Python < 3.12",
        )
    reason = error.message.partition("\n")[0].partition(". Set `")[0].removesuffix(".")
    return Unsupported(f"{getattr(base, '__name__', base)!s} cannot be stored as JSON: {reason}")


def _enum_type(members: type[enum.Enum]) -> TypeEngine[Any]:
    kinds = {type(member.value) for member in members}
    if kinds not in ({str}, {int}):
        msg = f"the values of {members.__name__} must be all texts or all whole numbers"
        raise Unsupported(msg)
    return EnumValue(members)


def _literal_type(values: tuple[Any, ...]) -> TypeEngine[Any]:
    if all(isinstance(value, str) for value in values):
        return Text()
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return BIGINT
    msg = "a Literal must hold only texts or only whole numbers"
    raise Unsupported(msg)


def _is_document(base: Any) -> bool:
    origin = get_origin(base) or base
    if origin is Any or origin in _JSON_ORIGINS or origin in _JSON_ABSTRACT:
        return True
    if not isinstance(origin, type):
        return is_typeddict(origin)
    return issubclass(origin, BaseModel) or dataclasses.is_dataclass(origin) or is_typeddict(origin)


def _refuse_zone(value: dt.time) -> dt.time:
    if value.tzinfo is not None:
        msg = "a time of day has no time zone; use datetime"
        raise ValueError(msg)
    return value


def _refuse_nul(value: str) -> str:
    if "\0" in value:
        msg = "text cannot hold the character U+0000"
        raise ValueError(msg)
    return value


def _to_utc(value: dt.datetime) -> dt.datetime:
    try:
        instant = utc_of(value)
    except OverflowError:
        instant = _LATEST
    if instant in (_EARLIEST, _LATEST):  # PostgreSQL's driver reads these as infinity
        msg = "the instant is outside the years 1 to 9999 in UTC, or their first or last moment"
        raise ValueError(msg)
    return instant


def _fit_64_bits(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        msg = "a whole number has at most 64 bits"
        raise ValueError(msg)
    return value


def _fit_microseconds(value: dt.timedelta) -> dt.timedelta:
    if not INT_MIN <= value // dt.timedelta(microseconds=1) <= INT_MAX:
        msg = "the duration is longer than 2**63 microseconds"
        raise ValueError(msg)
    return value


def _fit_digits(value: Decimal) -> Decimal:
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and (exponent < -16_383 or len(digits) + exponent > 131_072):
        msg = "a Decimal has at most 131072 digits before the point and 16383 after it"
        raise ValueError(msg)
    return value


_EXTRA: dict[Any, tuple[Any, ...]] = {
    int: (Constraint(ge=INT_MIN, le=INT_MAX),),
    float: (Constraint(allow_inf_nan=False),),
    Decimal: (AfterValidator(_fit_digits),),
    dt.timedelta: (AfterValidator(_fit_microseconds),),
    dt.time: (AfterValidator(_refuse_zone),),
    dt.datetime: (AfterValidator(_to_utc),),
}


def _text_of_key(value: Any) -> Any:
    return str(value) if type(value) in (int, uuid.UUID) else value


KeyText = Annotated[str, BeforeValidator(_text_of_key)]
"""A text that may be given as a UUID or a whole number, as `TextKey` stores it."""


def validated_annotation(full: Any, base: Any, info: FieldInfo, *, nullable: bool) -> Any:
    """Return the annotation that pydantic validates, with the bounds of every database.

    Whole numbers have 64 bits, floats are finite, text has no U+0000, instants are
    in UTC: so a value gets the same verdict wherever it is stored.
    """
    extra = _EXTRA.get(base, ())
    if base is int and full is not base:  # our bound would replace the annotation's own
        extra = (AfterValidator(_fit_64_bits),)
    if base is str:
        own = info.pattern is not None or full is not base
        extra = (AfterValidator(_refuse_nul),) if own else (Constraint(pattern=_NO_NUL),)
    bounds = bounds_of(base, info)
    if base is int:
        # The narrower bound wins, whichever is given.
        bounds |= {"ge": max(bounds["ge"], INT_MIN)} if "ge" in bounds else {}
        bounds |= {"le": min(bounds["le"], INT_MAX)} if "le" in bounds else {}
    if bounds:
        # Bounds of a text are told in its own words only before other validators.
        limit = Constraint(**bounds)
        extra = (limit, *extra) if base is str else (*extra, limit)
    validated: Any = Annotated[full, *extra] if extra else full
    return validated | None if nullable else validated
