"""Annotations as texts: what they name, and what is wrong with them."""

import typing
import typing as t
from typing import Any, ClassVar, Final, Optional

import pytest

from dataflow import DataFlow, Relationship
from dataflow.errors import AnnotationError

CV = ClassVar


def declare(db: DataFlow, annotation: Any, **values: Any) -> Any:
    """Return the model of a class whose annotations are texts, as of the future they are."""
    body = {"__module__": __name__, "__annotations__": {"id": "int", "value": annotation}}
    return db.model(timestamps=False)(type("Thing", (), body | values))


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ("'lis[t'", "cannot be read: Forward reference must be an expression -- got 'lis[t'."),
        ("", "cannot be read: string index out of range."),
        ("int[str]", "cannot be read: type 'int' is not subscriptable."),
        ("t.Foo", "cannot be read: module 'typing' has no attribute 'Foo'."),
        ("1 / 0", "cannot be read: division by zero."),
        ("Optional", "cannot be read: Plain typing.Optional is not valid as type argument."),
    ],
)
def test_a_malformed_annotation_is_refused_at_the_line_of_the_model(
    memory: DataFlow, annotation: str, problem: str
):
    with pytest.raises(AnnotationError) as caught:
        declare(memory, annotation)

    assert caught.value.problem_text() == (
        f"field 'value' of model 'Thing': the annotation {annotation!r} {problem}"
    )
    assert (caught.value.at or "").startswith(f"{__file__}:")
    assert memory.list_models() == []


@pytest.mark.parametrize(
    ("annotation", "name", "advice"),
    [
        ("strr", "strr", "did you mean 'str'?"),
        ("list['DataFow']", "DataFow", "did you mean 'DataFlow'?"),
        ("Zebra | None", "Zebra", "import it, or define it before the model"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_one(
    memory: DataFlow, annotation: str, name: str, advice: str
):
    with pytest.raises(AnnotationError) as caught:
        declare(memory, annotation)

    assert caught.value.problem_text() == (
        f"field 'value' of model 'Thing': the annotation names {name!r}, which is not defined."
    )
    assert caught.value.advice() == advice


@pytest.mark.parametrize("annotation", ["Final[int]", "'t.Final'", typing.Final[int]], ids=str)
def test_a_field_is_never_final(memory: DataFlow, annotation: Any):
    with pytest.raises(AnnotationError) as caught:
        declare(memory, annotation)

    assert caught.value.problem_text() == (
        "field 'value' of model 'Thing': the values of a column are never Final."
    )
    assert caught.value.advice() == "leave Final out"


@pytest.mark.parametrize(
    "annotation",
    ["ClassVar[int]", "t.ClassVar", "'CV[int]'", "kinds.ClassVar[int]", ClassVar[int]],
    ids=str,
)
def test_a_class_variable_is_no_field_however_it_is_written(memory: DataFlow, annotation: Any):
    thing = declare(memory, annotation, value=3)

    assert list(thing.__dataflow__.fields) == ["id"]
    assert thing.value == 3


def test_a_link_to_one_of_several_models_is_refused(memory: DataFlow):
    with pytest.raises(AnnotationError) as caught:
        declare(memory, "DataFlow | t.Text", value=Relationship())

    assert caught.value.problem_text() == (
        "field 'value' of model 'Thing': a union of several types (DataFlow | str) has no column "
        "type; use one type or dict."
    )
    assert caught.value.advice() == 'write it as author: User, or posts: list["Post"]'


def test_a_link_whose_annotation_is_malformed_is_refused(memory: DataFlow):
    with pytest.raises(AnnotationError) as caught:
        declare(memory, "'Post' | None", value=Relationship())

    assert "the annotation \"'Post' | None\" cannot be read: " in caught.value.problem_text()


def test_names_of_typing_are_there_for_the_texts():
    assert (t.ClassVar, t.Final, t.Optional) == (CV, Final, Optional)
