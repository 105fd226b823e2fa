"""SwitchNode and MergeNode by themselves."""

import pytest

from dataflow import MergeNode, SwitchNode


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ({"value": 1}, {"true": 1}),
        ({"value": ""}, {"false": ""}),
        ({"value": True, "data": "d"}, {"true": "d"}),
        ({"value": 2, "cases": {"one": 1, "two": 2}}, {"two": 2}),
        ({"value": 3, "cases": {"one": 1}}, {"default": 3}),
        ({"value": 3, "cases": {}}, {"default": 3}),
        ({"value": 1, "cases": {"one": 1}, "data": [1]}, {"one": [1]}),
    ],
    ids=str,
)
def test_a_switch_has_the_chosen_output_alone(inputs, output):
    assert SwitchNode().run(**inputs) == output


def test_a_merge_gives_the_first_and_all():
    assert MergeNode().run(b=2, a=1) == {"result": 2, "results": {"b": 2, "a": 1}}


def test_a_merge_of_nothing_is_none():
    assert MergeNode().run() == {"result": None, "results": {}}


def test_a_merge_takes_any_names():
    assert MergeNode.check_inputs({"a": 1}, ["b"]) == []
    assert MergeNode.outputs().keys() == {"result", "results"}
