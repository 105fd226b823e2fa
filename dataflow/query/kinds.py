"""What a value in a pipeline is, known before any row is read."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.errors import DataValueError
from dataflow.models.columntypes import (
    Binary,
    Converted,
    EnumValue,
    ExactDecimal,
    ExactFloat,
    JsonValue,
    Microseconds,
    UtcDateTime,
    utc_of,
)
from dataflow.query.foreignjson import is_document

__all__ = [
    "ANY", "BOOL", "DECIMAL", "FLOAT", "INSTANT", "INT", "NULL", "NUMBER", "NUMBERS", "TEXT",
    "Array", "Document", "DynamicNumber", "Family", "Json", "JsonText", "Kind", "PackedJson",
    "Scalar",
    "WholeNumber", "kind_of",
]  # fmt: skip

Family = Literal[
    "int", "float", "decimal", "number", "text", "bool", "instant", "date", "time", "duration",
    "uuid", "bytes", "null",
]  # fmt: skip
NUMBERS = ("int", "float", "number", "decimal")
"""Families of numbers; the later of two is that of their sum."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value of one type, or null."""

    family: Family
    type: TypeEngine[Any]
    declared: Any

    @property
    def name(self) -> str:
        """The type as a person names it."""
        return getattr(self.declared, "__name__", str(self.declared))


@dataclass(frozen=True, slots=True)
class Json:
    """A value of JSON whose type is known per row only; or it is missing.

    Attributes:
        declared: The column's type, where the value is a whole column; it is never missing.
    """

    declared: JsonValue | None = None
    name = "JSON"


@dataclass(frozen=True, slots=True)
class Document:
    """An object with known keys, in JSON."""

    fields: Mapping[str, Kind]
    name = "object"


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values of one kind, in JSON."""

    item: Kind
    name = "list"


Kind = Scalar | Json | Document | Array


class WholeNumber(Converted):
    """A whole number that the server may hand over as a decimal, as PostgreSQL's sums."""

    impl = sa.BigInteger

    def to_driver(self, dialect: sa.Dialect) -> None:
        """Return None: results only."""

    def from_driver(self, dialect: sa.Dialect) -> Callable[[Any], int]:
        """Return the conversion of what a sum yields."""
        del dialect
        return _whole


def _whole(value: Any) -> int:
    """Return a whole number; SQLite makes a float of one that outgrew 64 bits."""
    if isinstance(value, float):
        raise DataValueError(detail="a whole number is out of range")
    return int(value)


class DynamicNumber(Converted):
    """A number out of JSON: an int or a float, as it is written there."""

    impl = sa.Numeric

    def to_driver(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """Return the conversion of a compared number."""
        return _decimal_of if dialect.name == "postgresql" else None

    def from_driver(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """Return the conversion of a number read."""
        return _plain_number if dialect.name == "postgresql" else None


def _decimal_of(value: float) -> Decimal:
    return Decimal(repr(value))


def _plain_number(value: Decimal) -> int | float:
    return int(value) if value.as_tuple().exponent == 0 else float(value)


class JsonText(Converted):
    """A result in JSON text, decoded into the values of its kind.

    Args:
        kind: What the document holds.
        missing: Whether NULL means that there is no value, not null.
    """

    impl = sa.Text

    def __init__(self, kind: Kind, *, missing: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.missing = missing

    def to_driver(self, dialect: sa.Dialect) -> None:
        """Return None: results only."""

    def from_driver(self, dialect: sa.Dialect) -> Callable[[str], Any]:
        """Return the conversion of JSON text into declared values."""
        decode = _decoder(self.kind, dialect)
        return json.loads if decode is None else lambda text: _safe(decode, json.loads(text))


class PackedJson(JsonValue):
    """JSON that a pipeline made of typed values.

    Args:
        kind: What the document holds.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind


INT = Scalar("int", WholeNumber(), int)
FLOAT = Scalar("float", ExactFloat(), float)
DECIMAL = Scalar("decimal", ExactDecimal(), Decimal)
NUMBER = Scalar("number", DynamicNumber(), float)
TEXT = Scalar("text", sa.Text(), str)
BOOL = Scalar("bool", sa.Boolean(), bool)
INSTANT = Scalar("instant", UtcDateTime(), dt.datetime)
NULL = Scalar("null", sa.Text(), type(None))
ANY = Json()


def kind_of(type_: TypeEngine[Any], declared: Any) -> Kind:
    """Return the kind of a column."""
    if is_document(type_):
        return Json(type_ if isinstance(type_, JsonValue) else JsonValue())
    if isinstance(type_, EnumValue):
        return Scalar("int" if type_.numeric else "text", type_, type_.members)
    for types, family in _FAMILIES:
        if isinstance(type_, types):
            exact = family == "decimal" and not isinstance(type_, ExactDecimal)
            return Scalar(family, ExactDecimal() if exact else type_, declared)
    return Scalar("text", type_, declared)


_FAMILIES: list[tuple[Any, Family]] = [
    (sa.Boolean, "bool"),
    (ExactFloat, "float"),
    (ExactDecimal, "decimal"),
    (UtcDateTime, "instant"),
    (Microseconds, "duration"),
    ((Binary, sa.LargeBinary), "bytes"),
    (sa.Date, "date"),
    (sa.Time, "time"),
    (sa.Uuid, "uuid"),
    (sa.Interval, "duration"),
    (sa.DateTime, "instant"),
    (sa.Float, "float"),
    (sa.Integer, "int"),
    (sa.Numeric, "decimal"),
]


def _instant(value: str) -> dt.datetime:
    return utc_of(dt.datetime.fromisoformat(value))


def _duration(value: int) -> dt.timedelta:
    return dt.timedelta(microseconds=value)


_DECODE: dict[Family, Callable[[Any], Any]] = {
    "float": float,
    "decimal": Decimal,
    "instant": _instant,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "duration": _duration,
    "uuid": uuid.UUID,
    "bytes": bytes.fromhex,
}


def _decoder(kind: Kind, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """Return the conversion of a value read from JSON, or None where none is needed."""
    if isinstance(kind, Array):
        item = _decoder(kind.item, dialect)
        return None if item is None else lambda values: [_safe(item, value) for value in values]
    if isinstance(kind, Document):
        return _document_decoder(kind, dialect)
    if isinstance(kind, Json):
        return None if kind.declared is None else kind.declared.decode_plain
    if isinstance(kind.declared, type) and issubclass(kind.declared, enum.Enum):
        return kind.declared
    return _DECODE.get(kind.family)


def _document_decoder(kind: Document, dialect: sa.Dialect) -> Callable[[Any], Any]:
    parts = {name: _decoder(part, dialect) or _same for name, part in kind.fields.items()}

    def decode(value: dict[str, Any]) -> dict[str, Any]:
        """Convert the parts, in the order of their declaration."""
        return {
            name: _safe(convert, value[name]) for name, convert in parts.items() if name in value
        }

    return decode


def _same(value: Any) -> Any:
    return value


def _safe(convert: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else convert(value)
