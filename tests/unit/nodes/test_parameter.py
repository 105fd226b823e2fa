"""Parameters: types as people write them, and whether one fits another."""

import sys
import typing
from datetime import datetime
from typing import Annotated, Any, Literal

import pytest

from dataflow import DataFlow, NodeParameter, WorkflowBuilder
from dataflow.errors import ParameterError
from dataflow.nodes.parameter import REQUIRED, is_compatible, type_text


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (Any, "Any"),
        (int | None, "int | None"),
        (list[int], "list[int]"),
        (dict[str, Any], "dict[str, Any]"),
        (Annotated[int, "positive"], "int"),
        (Literal["a", "b"], "Literal['a', 'b']"),
        (datetime, "datetime"),
    ],
    ids=str,
)
def test_a_type_reads_as_a_person_writes_it(annotation, text):
    assert type_text(annotation) == text
    assert NodeParameter("x", annotation).type_name == text


@pytest.mark.parametrize(
    ("source", "target", "fits"),
    [
        (int, int, True),
        (int, float, True),
        (bool, int, True),
        (int, str, False),
        (str, int, False),
        (float, str, False),
        (str, list, False),
        (list[int], list[str], True),
        (dict, list, False),
        (int, int | None, True),
        (int | None, int, True),
        (str, int | None, False),
        (int | str, str, True),
        (Any, int, True),
        (int, Any, True),
        (Annotated[int, "x"], str, False),
        (datetime, str, True),
    ],
    ids=str,
)
def test_only_a_sure_mismatch_is_one(source, target, fits):
    assert is_compatible(source, target) is fits


def test_a_parameter_is_required_unless_it_has_a_default():
    assert NodeParameter("x").required is True
    assert NodeParameter("x", default=None).required is False
    assert NodeParameter("x", default=REQUIRED) == NodeParameter("x")
    assert repr(REQUIRED) == "REQUIRED"


def test_a_type_that_pydantic_does_not_know_accepts_its_instances():
    class Own:
        pass

    own = Own()

    assert NodeParameter("x", Own).adapter.validate_python(own) is own


class Old(typing.TypedDict):
    sides: int


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="typing.TypedDict can be read there")
def test_the_typed_dict_of_an_old_python_is_refused_with_the_one_to_import(memory: DataFlow):
    @memory.node
    def draw(shape: Old) -> int:
        return shape["sides"]

    builder = WorkflowBuilder(db=memory)
    line = sys._getframe().f_lineno + 2
    with pytest.raises(ParameterError) as caught:
        builder.add_node(draw, "draw", {"shape": {"sides": 3}})

    assert str(caught.value) == (
        "input 'shape': typing.TypedDict cannot be read before Python 3.12.\n"
        f"  at: {__file__}:{line}, node 'draw'\n"
        "  help: import TypedDict from typing_extensions on Python < 3.12\n"
        "  code: DF103"
    )
