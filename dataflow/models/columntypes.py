"""Column types that give the declared Python value back on every database.

SQLAlchemy's ORM and the hot path both use the bind and result processors of these
types, so a value has one stored form whoever writes it.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python
from sqlalchemy import (
    BINARY,
    JSON,
    VARBINARY,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from dataflow.errors import DataValueError

__all__ = [
    "BIGINT",
    "DECIMAL_COLLATION",
    "Binary",
    "Converted",
    "CurrentInstant",
    "EncodedJson",
    "EnumValue",
    "ExactDecimal",
    "ExactFloat",
    "JsonValue",
    "Microseconds",
    "TextKey",
    "UtcDateTime",
    "comparable",
    "document_of",
    "instant_of_text",
    "is_bytes",
    "utc_of",
]

Convert = Callable[[Any], Any]
DECIMAL_COLLATION = "dataflow_decimal"
_WIDE = Context(prec=150_000)
BIGINT: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
_write_json = json.JSONEncoder(
    allow_nan=False, separators=(",", ":"), ensure_ascii=False
).encode  # json.dumps would make an encoder for each document
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def utc_of(value: dt.datetime) -> dt.datetime:
    """Return the same instant in UTC; a naive value is taken as UTC."""
    if value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    return value.astimezone(dt.UTC)


class Converted(TypeDecorator[Any]):
    """A decorator whose two conversions are plain functions of the dialect.

    The processors are the functions themselves, without a wrapper per call.
    """

    cache_ok = True
    impl: Any = String

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.cache_ok = cls.__dict__.get("cache_ok", True)  # SQLAlchemy looks at each class alone

    @property
    def python_type(self) -> Any:
        """The type of values, by which mapped classes check them."""
        return self.impl_instance.python_type

    def to_driver(self, dialect: Dialect) -> Convert | None:
        """Return the conversion of a non-null value for the driver, or None."""
        raise NotImplementedError

    def from_driver(self, dialect: Dialect) -> Convert | None:
        """Return the conversion of a non-null value from the driver, or None."""
        raise NotImplementedError

    def bind_processor(self, dialect: Dialect) -> Any:
        return _null_safe(self.to_driver(dialect))

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _null_safe(self.from_driver(dialect))

    def literal_processor(self, dialect: Dialect) -> Any:
        inner = self.impl_instance.dialect_impl(dialect).literal_processor(dialect)
        convert = self.to_driver(dialect)
        if inner is None:
            inner = _quoted_text
        return inner if convert is None else lambda value: inner(convert(value))


def _null_safe(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)


def _quoted_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class Binary(Converted):
    """Bytes."""

    impl = LargeBinary

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return None

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return None

    def literal_processor(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return lambda value: f"X'{value.hex()}'"
        return lambda value: f"'\\x{value.hex()}'"


def is_bytes(kind: TypeEngine[Any], dialect: Dialect | None = None) -> bool:
    """Whether a column holds bytes.

    Args:
        kind: The column's type.
        dialect: The database's, whose choice counts for types that are not the same everywhere.
    """
    if dialect is not None and isinstance(kind, TypeDecorator):
        kind = kind.type_engine(dialect)
    return isinstance(kind, LargeBinary | Binary | BINARY | VARBINARY)


class CurrentInstant(FunctionElement[Any]):
    """The present instant as a DDL default, in the form in which `UtcDateTime` stores it."""

    inherit_cache = True
    type = DateTime(timezone=True)


@compiles(CurrentInstant)
def _compile_instant(*_arguments: Any, **_options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(CurrentInstant, "sqlite")
def _compile_instant_text(*_arguments: Any, **_options: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00')"


class UtcDateTime(Converted):
    """An instant: stored in UTC, aware when read.

    PostgreSQL: `timestamptz`. SQLite: ISO text of fixed width with `+00:00`, which
    sorts by time and which SQLite's date functions read.
    """

    impl = DateTime(timezone=True)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return _text_of_instant if dialect.name == "sqlite" else utc_of

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return instant_of_text if dialect.name == "sqlite" else None


def _text_of_instant(value: dt.datetime) -> str:
    return utc_of(value).isoformat(" ", "microseconds")


def instant_of_text(value: str) -> dt.datetime:
    """Return an instant from SQLite's text; a naive one, of another writer, is UTC."""
    instant = dt.datetime.fromisoformat(value)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=dt.UTC)


class ExactFloat(Converted):
    """A double. SQLite hands whole values back as integers from RETURNING."""

    impl = Double

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return None

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return float if dialect.name == "sqlite" else None


class ExactDecimal(Converted):
    """A Decimal without rounding.

    PostgreSQL: `numeric`. SQLite: text with a collation that compares by value,
    because SQLite has no decimal type and doubles round.
    """

    impl = Numeric

    def __init__(self, precision: int | None = None, scale: int | None = None) -> None:
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text(collation=DECIMAL_COLLATION))
        return dialect.type_descriptor(Numeric(self.precision, self.scale))

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return self._text_of_decimal if dialect.name == "sqlite" else None

    def _text_of_decimal(self, value: Decimal) -> str:
        if self.scale is not None:
            value = Decimal(value).quantize(Decimal(1).scaleb(-self.scale), context=_WIDE)
        return format(value, "f")

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return _decimal_of if dialect.name == "sqlite" else None


def _decimal_of(value: object) -> Decimal:
    return Decimal(value if isinstance(value, str | int) else repr(value))


def comparable(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of values that are compared with a column: without its bounds.

    A cast to `varchar(5)` cuts a text, and one to `numeric(6, 2)` rounds a number, so that
    a filter would find what is not equal; one to `integer` refuses what is only greater.
    """
    if isinstance(kind, ExactDecimal):
        return ExactDecimal()
    if isinstance(kind, Numeric) and not isinstance(kind, Double) and kind.asdecimal:
        return Numeric()
    if isinstance(kind, Integer) and not isinstance(kind, BigInteger):
        return BigInteger()
    bounded = isinstance(kind, String) and not isinstance(kind, Enum) and kind.length is not None
    return Text() if bounded else kind


class Microseconds(Converted):
    """A timedelta. PostgreSQL: `interval`. SQLite: whole microseconds."""

    impl = Interval

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Integer())
        return dialect.type_descriptor(Interval())

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return _microseconds_of if dialect.name == "sqlite" else None

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return _timedelta_of if dialect.name == "sqlite" else None


def _microseconds_of(value: dt.timedelta) -> int:
    return value // dt.timedelta(microseconds=1)


def _timedelta_of(value: int) -> dt.timedelta:
    return dt.timedelta(microseconds=value)


class TextKey(Converted):
    """A key that is given as text, UUID or whole number, and stored as its text."""

    impl = String

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return str

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return None


class EnumValue(Converted):
    """An Enum member, stored as its value (text or whole number)."""

    impl = Text

    def __init__(self, members: type[enum.Enum]) -> None:
        super().__init__()
        self.members = members
        self.numeric = all(isinstance(member.value, int) for member in members)

    @property
    def python_type(self) -> type[enum.Enum]:
        return self.members

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if self.numeric else Text())

    def to_driver(self, dialect: Dialect) -> Convert | None:
        members = self.members
        return lambda value: (value if isinstance(value, members) else members(value)).value

    def from_driver(self, dialect: Dialect) -> Convert | None:
        return self.members


@dataclass(frozen=True, slots=True)
class EncodedJson:
    """A document in the form in which it is stored: encoded once, where it was checked."""

    text: str


class JsonValue(Converted):
    """A JSON document; JSONB on PostgreSQL, text on SQLite.

    Args:
        annotation: The declared type; documents are read back into it.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, annotation: Any = Any) -> None:
        super().__init__()
        self.annotation = annotation
        try:
            hash(annotation)
        except TypeError:  # SQLAlchemy keys its cache of statements by it
            self.cache_ok = False
        plain = annotation in (dict, list, Any)
        self._adapter: TypeAdapter[Any] | None = None if plain else TypeAdapter(annotation)
        self._open = _has_any(annotation)

    @property
    def python_type(self) -> Any:
        return self.annotation

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            # The dialect knows its own; importing it would load all drivers of PostgreSQL.
            kind: Any = dialect.ischema_names["jsonb"]  # type: ignore[attr-defined]  # of this dialect
            return dialect.type_descriptor(kind(none_as_null=True))
        if dialect.name == "sqlite":  # a column called JSON has numeric affinity there
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(JSON(none_as_null=True))

    def to_driver(self, dialect: Dialect) -> Convert | None:
        return self.encode

    def encode(self, value: Any) -> str:
        """Return a document as text.

        Raises:
            DataValueError: If JSON cannot carry it.
        """
        if type(value) is EncodedJson:
            return value.text
        if self._adapter is None:
            return _json_text(value)
        text = _json_text(self._dumped(self._adapter, value))
        if self._open:  # what `Any` takes, pydantic would turn into what JSON has
            try:
                read = self._adapter.validate_json(text)
            except ValueError as error:
                raise _no_document(error) from error
            if read != value:
                _refuse_other_values(value, read)
        return text

    @staticmethod
    def _dumped(adapter: TypeAdapter[Any], value: Any) -> Any:
        try:
            return adapter.dump_python(value, mode="json")
        except (ValueError, RecursionError) as error:
            raise _no_document(error) from error

    @property
    def decode_plain(self) -> Convert | None:
        """Conversion of a decoded document into the declared type; None: none is needed."""
        return None if self._adapter is None else self._adapter.validate_python

    def from_driver(self, dialect: Dialect) -> Convert | None:
        adapter = self._adapter
        if dialect.name == "postgresql":  # the driver has decoded the document already
            return None if adapter is None else adapter.validate_python
        return json.loads if adapter is None else adapter.validate_json


def _has_any(annotation: Any) -> bool:
    return annotation is Any or any(map(_has_any, get_args(annotation)))


def _refuse_other_values(given: Any, read: Any) -> None:
    """Refuse what JSON would silently turn into something else; tuples become lists."""
    if isinstance(given, dict) and isinstance(read, dict):
        _refuse_other_keys(given)
        for key, value in given.items():
            _refuse_other_values(value, read.get(key))
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        for one, other in zip(given, read, strict=True):
            _refuse_other_values(one, other)
    elif isinstance(given, float) and not math.isfinite(given):
        raise _no_document(ValueError("Out of range"))
    elif given != read:
        reason = f"Object of type {type(given).__name__} is not JSON serializable"
        raise _no_document(TypeError(reason))


def _fixed_text(value: object) -> str:
    """Return JSON with floats in fixed notation, which PostgreSQL keeps as floats.

    The digits are those of `repr`: what a float is as JSON everywhere else.
    """
    if isinstance(value, dict):
        items = (f"{json.dumps(key)}:{_fixed_text(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_fixed_text, value)) + "]"
    if _is_large(value):
        return f"{Decimal(repr(value)):f}.0"
    return json.dumps(value, ensure_ascii=False)


def _is_large(value: object) -> bool:
    return isinstance(value, float) and 1e16 <= abs(value) < float("inf")


def _has_large_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_large_float, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_large_float, value))
    return _is_large(value)


def _refuse_other_keys(value: object) -> None:
    """Refuse dict keys that JSON would silently turn into text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                detail = f"a JSON object's keys are texts, not {key!r}"
                raise DataValueError(detail=detail)
            _refuse_other_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_other_keys(item)


def _no_document(error: Exception) -> DataValueError:
    reason = str(error)
    if isinstance(error, RecursionError) or reason.startswith("Circular reference"):
        reason = "it contains itself, or is nested too deeply"
    elif reason.startswith("Out of range"):
        reason = "it holds NaN or an infinite number"
    return DataValueError(detail=f"not a JSON document: {reason}")


def document_of(value: Any) -> str:
    """Return any value as JSON, with instants, decimals, UUIDs and enums as pydantic writes them.

    Raises:
        DataValueError: If JSON cannot carry it.
    """
    try:
        plain = to_jsonable_python(value, inf_nan_mode="constants")  # which are refused below
    except (ValueError, RecursionError) as error:
        raise _no_document(error) from error
    return _json_text(plain)


def _json_text(value: object) -> str:
    try:
        _refuse_other_keys(value)
        text = _write_json(value)
        if "e+" in text and _has_large_float(value):
            text = _fixed_text(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _no_document(error) from error
    if _ESCAPED_NUL.search(text):
        raise DataValueError(detail="JSON text cannot hold the character U+0000")
    return text
