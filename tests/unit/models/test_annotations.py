"""Annotations, taken apart and turned into columns and validators."""

import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pydantic
import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Boolean, Date, String, Text, Time, Uuid
from sqlalchemy.dialects import postgresql
from typing_extensions import TypedDict

from dataflow.models.annotations import Unsupported, column_type_for, resolve, validated_annotation
from dataflow.models.columntypes import (
    EnumValue,
    ExactDecimal,
    JsonValue,
    Microseconds,
    UtcDateTime,
)
from dataflow.models.fields import FieldInfo

Name = NewType("Name", str)
INFO = FieldInfo(max_length=5)


class Color(enum.Enum):
    RED = "red"


class Shape(TypedDict):
    sides: int


@dataclasses.dataclass
class Point:
    x: int


class Price(pydantic.BaseModel):
    amount: int


@pytest.mark.parametrize(
    ("annotation", "base", "nullable", "info"),
    [
        (int, int, False, None),
        (int | None, int, True, None),
        (Optional[int], int, True, None),  # noqa: UP045 - the older spelling is tested
        (Union[None, int], int, True, None),  # noqa: UP007 - the older spelling is tested
        (Name, str, False, None),
        (Name | None, str, True, None),
        (Annotated[int, INFO], int, False, INFO),
        (Annotated[int | None, INFO], int, True, INFO),
        (Annotated[int, INFO] | None, int, True, INFO),
        (Annotated[Name, "note"], str, False, None),
        (list[int], list[int], False, None),
        (list[int] | None, list[int], True, None),
    ],
    ids=str,
)
def test_an_annotation_is_taken_apart(annotation: Any, base: Any, nullable: bool, info: Any):
    resolved = resolve(annotation)

    assert (resolved.base, resolved.nullable, resolved.info) == (base, nullable, info)


def test_a_union_of_several_types_is_unsupported():
    with pytest.raises(Unsupported) as caught:
        resolve(int | str | None)

    assert str(caught.value) == (
        "a union of several types (int | str) has no column type; use one type or dict"
    )


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        (bool, Boolean), (str, Text), (dt.date, Date), (dt.time, Time), (uuid.UUID, Uuid),
        (Decimal, ExactDecimal), (dt.datetime, UtcDateTime), (dt.timedelta, Microseconds),
        (Color, EnumValue), (Literal["a", "b"], Text), (dict, JsonValue), (list[int], JsonValue),
        (Any, JsonValue), (Shape, JsonValue), (Point, JsonValue), (Price, JsonValue),
        (set[int], JsonValue), (tuple[int, ...], JsonValue),
    ],
    ids=str,
)  # fmt: skip
def test_every_supported_type_has_a_column_type(base: Any, kind: type):
    assert isinstance(column_type_for(base, FieldInfo()), kind)


def test_whole_numbers_bytes_and_short_texts_have_their_column_types():
    dialect = postgresql.dialect()
    bases = (int, Literal[1, 2], bytes)
    names = [column_type_for(base, FieldInfo()).compile(dialect) for base in bases]
    assert names == ["BIGINT", "BIGINT", "BYTEA"]
    text = column_type_for(str, FieldInfo(max_length=7))
    assert (type(text), text.length) == (String, 7)


@pytest.mark.parametrize(
    "base", [object, complex, Literal["a", 1], Literal[True], type, range], ids=str
)
def test_any_other_type_is_unsupported(base: Any):
    with pytest.raises(Unsupported):
        column_type_for(base, FieldInfo())


class Mixed(enum.Enum):
    TEXT = "a"
    NUMBER = 1


class Odd(enum.Enum):
    PAIR = (1, 2)


@pytest.mark.parametrize("base", [Mixed, Odd], ids=str)
def test_an_enum_whose_values_are_neither_texts_nor_numbers_is_unsupported(base: Any):
    with pytest.raises(Unsupported):
        column_type_for(base, FieldInfo())


def accepts(annotation: Any, info: FieldInfo, value: Any) -> bool:
    resolved = resolve(annotation)
    adapter: TypeAdapter[Any] = TypeAdapter(
        validated_annotation(resolved.full, resolved.base, info, nullable=resolved.nullable)
    )
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("annotation", "info", "good", "bad"),
    [
        (int, FieldInfo(), 2**63 - 1, 2**63),
        (int, FieldInfo(ge=0), 2**63 - 1, 2**63),
        (int, FieldInfo(ge=0), 0, -1),
        (int, FieldInfo(le=2**70), 5, 2**63),
        (Annotated[int, pydantic.Field(ge=0)], FieldInfo(), 0, -1),
        (Annotated[int, pydantic.Field(ge=0)] | None, FieldInfo(), None, -1),
        (Annotated[int, pydantic.Field(lt=10)], FieldInfo(), 9, 10),
        (Annotated[int, pydantic.Field(gt=0)], FieldInfo(le=5), 5, 6),
        (float, FieldInfo(), 1e308, float("inf")),
        (float | None, FieldInfo(), None, float("nan")),
        (Annotated[float, pydantic.Field(ge=0)], FieldInfo(), 0.0, float("nan")),
        (str, FieldInfo(), "a\nb", "a\0"),
        (str, FieldInfo(pattern="^a"), "ab", "ba"),
        (str, FieldInfo(pattern="^a"), "ab", "a\0"),
        (str, FieldInfo(max_length=2), "ab", "abc"),
        (str, FieldInfo(max_length=2), "😀😀", "\0"),
        (str, FieldInfo(min_length=1), "a", ""),
        (Annotated[str, pydantic.Field(max_length=2)], FieldInfo(), "ab", "abc"),
        (Annotated[str, pydantic.Field(max_length=2)], FieldInfo(), "ab", "\0"),
        (Name, FieldInfo(), "a", "\0"),
        (Decimal, FieldInfo(max_digits=3, decimal_places=1), Decimal("12.3"), Decimal("1.23")),
        (bool, FieldInfo(), True, 2),
        (dt.time, FieldInfo(), dt.time(1), dt.time(1, tzinfo=dt.UTC)),
    ],
    ids=str,
)  # fmt: skip
def test_bounds_of_the_database_and_of_the_field_hold_together(
    annotation: Any, info: FieldInfo, good: Any, bad: Any
):
    assert (accepts(annotation, info, good), accepts(annotation, info, bad)) == (True, False)
