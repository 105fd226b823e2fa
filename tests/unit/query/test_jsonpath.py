"""Conditions on documents as SQL/JSON paths."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.query.jsonpath import element_paths, paths_to, predicate_for

PREDICATES: list[tuple[list[Any], str]] = [
    (["is", ["a"], "==", 1], 'exists($."a" ? (@.type() != "array" && @ == 1))'),
    (["is", ["a", "b"], ">", "x"], 'exists($."a"."b" ? (@.type() != "array" && @ > "x"))'),
    (["is", [], "in", [1, "x"]], 'exists($ ? (@.type() != "array" && (@ == 1 || @ == "x")))'),
    (["is", ["a"], "in", []], 'exists($."a" ? (@.type() != "array" && 1 == 0))'),
    (["is", ["a"], "like", "x%"],
     'exists($."a" ? (@.type() != "array" && @ like_regex "^x.*$" flag "s"))'),
    (["is", ["a"], "regex", ["x\\d", True, False]],
     'exists($."a" ? (@.type() != "array" && @ like_regex "x[0-9]" flag "is"))'),
    (["exists", ["a"]], 'exists($."a")'),
    (["missing", ["a"]],
     ('(exists($ ? (@.type() == "object" && !exists(@."a"))) '
      '|| ($.type() != "object" && $.type() != "array"))')),
    (["size", ["a"], ">=", 2],
     ('exists($ ? (@.type() == "object" '
      '&& @."a".type() == "array" && @."a".size() >= 2))')),
    (["has", ["a"], 1],
     ('exists($ ? (@.type() == "object" && @."a".type() == "array")."a" '
      '? (@.type() != "array" && @ == 1))')),
    (["element", ["a"], ["object"]],
     ('exists($ ? (@.type() == "object" && @."a".type() == "array")."a" '
      '? ((@.type() == "object")))')),
    (["not", ["object"]], '!(($.type() == "object"))'),
    (["and", ["object"], ["exists", ["a"]]], '(($.type() == "object") && exists($."a"))'),
    (["or", ["exists", ["a"]]], 'exists($."a")'),
    (["and"], "(1 == 1)"),
    (["or"], "(1 == 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "text"), PREDICATES, ids=[str(tree) for tree, _ in PREDICATES])
def test_a_tree_becomes_a_predicate(tree: list[Any], text: str):
    assert predicate_for(tree) == text


def test_a_number_in_a_path_is_a_key_or_the_index_of_an_array():
    assert predicate_for(["exists", ["a", "0"]]) == (
        '(exists($."a"."0") '
        '|| exists($ ? (@.type() == "object" && @."a".type() == "array")."a"[0]))'
    )
    assert paths_to(["0"]) == ['$."0"', '$."0"[*]', "strict $[0]", "strict $[0][*]"]
    assert paths_to(["0", "a"])[2:] == [
        '$[0] ? (@.type() == "object" && $.type() == "array")."a"',
        '$[0] ? (@.type() == "object" && $.type() == "array")."a"[*]',
    ]
    assert element_paths(["a"]) == ['$ ? (@.type() == "object" && @."a".type() == "array")."a"[*]']


def test_many_tests_are_joined_in_groups_because_the_server_limits_how_deep_they_nest():
    text = predicate_for(["or", *(["exists", [f"k{number}"]] for number in range(1_000))])

    depth = deepest = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    assert (depth, deepest, text.count("||")) == (0, 3, 999)


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda key: not key.isdigit()))
def test_any_key_and_value_stand_in_quotes_as_json_writes_them(text: str):
    quoted = json.dumps(text, ensure_ascii=False)

    found = predicate_for(["is", [text, "k"], "==", text])

    assert found == f'exists($.{quoted}."k" ? (@.type() != "array" && @ == {quoted}))'


@given(st.recursive(st.text("{}ab", max_size=3), lambda item: st.dictionaries(
    st.text("{}a", min_size=1, max_size=2), item, max_size=2)))  # fmt: skip
def test_braces_in_compared_objects_stay_as_they_are(value: Any):
    text = predicate_for(["same", ["a"], value])

    texts = set(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
    assert set(_texts(value)) <= texts


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for key, item in value.items():
            yield key
            yield from _texts(item)
