"""Values of a class body without an annotation: forgotten fields, or none."""

import datetime as dt
import enum
from typing import Any, ClassVar

import pytest

from dataflow import DataFlow, Field, Model
from dataflow.errors import AnnotationError


class Color(enum.Enum):
    RED = "red"


def test_a_value_without_an_annotation_is_refused_at_the_decorators_line(memory: DataFlow):
    with pytest.raises(AnnotationError) as caught:

        @memory.model
        class Thing:
            x: int
            y = 5

    assert str(caught.value) == (
        "field 'y' of model 'Thing': it has a value, but no annotation, and would be no column.\n"
        f"  at: {caught.value.at}\n"
        "  help: write y: int = 5; or y: ClassVar[int] = 5 if it is no field\n"
        "  code: DF105"
    )
    assert (caught.value.at or "").startswith(f"{__file__}:")
    assert memory.list_models() == []


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("a", "write y: str = 'a'; or y: ClassVar[str] = 'a' if it is no field"),
        (True, "write y: bool = True; or y: ClassVar[bool] = True if it is no field"),
        ([], "write y: list = []; or y: ClassVar[list] = [] if it is no field"),
        (
            Color.RED,
            "write y: Color = Color.RED; or y: ClassVar[Color] = Color.RED if it is no field",
        ),
        (1.5, "write y: float = 1.5; or y: ClassVar[float] = 1.5 if it is no field"),
        (None, "write y: <type> | None = None"),
        (Field(default=5), "write y: <type> = Field(…)"),
        ("a" * 99, "write y: str = …; or y: ClassVar[str] = … if it is no field"),
    ],
)
def test_the_fix_is_the_line_to_write(memory: DataFlow, value: Any, fix: str):
    model = type("Thing", (), {"__annotations__": {"x": int}, "y": value})

    with pytest.raises(AnnotationError) as caught:
        memory.model(model)

    assert caught.value.advice() == fix


def test_a_value_in_a_plain_class_that_gives_fields_is_refused(memory: DataFlow):
    class Dated:
        day: dt.date
        note = "none"

    with pytest.raises(AnnotationError) as caught:

        @memory.model
        class Thing(Dated):
            x: int

    assert caught.value.field == "note"


def test_what_is_no_field_may_stand_without_an_annotation(memory: DataFlow):
    class Library:
        version = 5

    class Named:
        name: str
        limit: ClassVar[int] = 3

    @memory.model(timestamps=False)
    class Thing(Named, Library, Model):
        __tablename__ = "things"
        __dataflow__ = {}
        x: int
        name = "unnamed"
        limit = 4
        _hidden = 5
        kind: ClassVar[str] = "thing"

        class Nested:
            y = 5

        @property
        def twice(self) -> int:
            return 2 * self.x

        @staticmethod
        def one() -> int:
            return 1

        def shown(self) -> str:
            return str(self.x)

    assert memory.create("Thing", {"x": 1}) == {"id": 1, "name": "unnamed", "x": 1}
