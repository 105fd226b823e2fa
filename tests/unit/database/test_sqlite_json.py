"""Conditions on JSON, and MongoDB's order of values, in Python for SQLite."""

import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.database.sqlite_json import compare_json, matches_json, type_rank

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, -1.5, 1.0, 1e300])
    | st.text("ab", max_size=2),
    lambda item: st.lists(item, max_size=3) | st.dictionaries(st.text("ab", max_size=1), item,
                                                              max_size=2),
    max_leaves=6,
)  # fmt: skip


@given(values, values)
def test_the_order_is_the_same_from_both_sides(a: Any, b: Any):
    assert compare_json(a, b) == -compare_json(b, a)
    assert compare_json(a, a) == 0


@given(values, values, values)
def test_the_order_is_transitive(a: Any, b: Any, c: Any):
    first, second, third = sorted([a, b, c], key=functools.cmp_to_key(compare_json))

    assert compare_json(first, second) <= 0
    assert compare_json(second, third) <= 0
    assert compare_json(first, third) <= 0


@given(values, values)
def test_types_come_in_mongodbs_order(a: Any, b: Any):
    if type_rank(a) != type_rank(b):
        assert compare_json(a, b) == (1 if type_rank(a) > type_rank(b) else -1)


def test_one_value_of_each_type_in_order():
    ordered = [None, -1, 0.5, 1, "", "a", {}, {"a": 1}, {"a": 2}, {"b": 0}, [], [1], [1, 2], [2],
               False, True]  # fmt: skip

    shuffled = [*ordered[1::2], *ordered[::2]]
    found = sorted(shuffled, key=functools.cmp_to_key(compare_json))

    assert list(map(json.dumps, found)) == list(map(json.dumps, ordered))


@given(values)
def test_a_document_is_the_same_as_itself(value: Any):
    assert matches_json(json.dumps({"k": value}), json.dumps(["same", ["k"], value]))


@given(values, values)
def test_two_documents_are_the_same_where_their_order_is(a: Any, b: Any):
    if isinstance(a, list):
        return
    same = matches_json(json.dumps({"k": a}), json.dumps(["same", ["k"], b]))

    assert same == (compare_json(a, b) == 0)


DOCUMENT = {"a": [{"b": 1}, {"b": "x"}, {}], "n": None, "0": "key", "list": [[1], 2, "tea"]}
TREES: list[tuple[list[Any], bool]] = [
    (["is", ["a", "b"], "==", 1], True),
    (["is", ["a", "b"], ">", 1], False),
    (["is", ["a", "b"], "==", True], False),
    (["is", ["list"], "==", 1], False),
    (["is", ["list", "0"], "==", 1], True),
    (["is", ["list"], "like", "t_a"], True),
    (["is", ["list"], "in", ["tea", 5]], True),
    (["is", ["n"], "==", None], True),
    (["missing", ["a", "b"]], True),
    (["missing", ["n"]], False),
    (["exists", ["n"]], True),
    (["exists", ["n", "x"]], False),
    (["size", ["a"], ">=", 3], True),
    (["size", ["a"], "==", 2], False),
    (["has", ["list"], [1]], True),
    (["has", ["list"], 1], False),
    (["element", ["a"], ["is", ["b"], "==", "x"]], True),
    (["not", ["object"]], False),
    (["deep", ["list"], [1]], True),
    (["same", ["list"], [[1], 2, "tea"]], True),
    (["text", ["0"], "k%"], True),
    (["text", ["list"], "t%"], False),
    (["and", ["object"], ["or", ["exists", ["none"]], ["exists", ["0"]]]], True),
    (["or"], False),
    (["and"], True),
]


@pytest.mark.parametrize(("tree", "expected"), TREES, ids=[str(tree) for tree, _ in TREES])
def test_a_document_fulfils_a_tree_or_not(tree: list[Any], expected: bool):
    assert matches_json(json.dumps(DOCUMENT), json.dumps(tree)) is expected


def test_no_document_fulfils_nothing():
    assert matches_json(None, json.dumps(["not", ["object"]])) is False
