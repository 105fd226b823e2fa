"""Text in filters: LIKE patterns, and regular expressions that mean the same."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.query.text import escape_like, pattern_for, pattern_of_regex, regex_of_like

ABSOLUTE_END = r"\Z"
texts = st.text("ab%_\\.*\n", max_size=8)


def is_like(pattern: str, text: str) -> bool:
    """The definition: `%` is any text, `_` any character, a backslash quotes the next."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "%":
        return any(is_like(rest, text[start:]) for start in range(len(text) + 1))
    if head == "\\" and rest:
        head, rest = rest[0], rest[1:]
    elif head == "_":
        return bool(text) and is_like(rest, text[1:])
    return text[:1] == head and is_like(rest, text[1:])


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(regex_of_like(pattern), text, re.DOTALL) is not None


@given(texts, texts)
def test_the_regular_expression_of_a_like_pattern_means_the_same(pattern: str, text: str):
    assert matches(pattern, text) == is_like(pattern, text)


@given(texts)
def test_an_escaped_text_matches_itself_alone(text: str):
    assert is_like(escape_like(text), text)
    assert not is_like(escape_like(text), f"{text}a")
    assert not is_like(escape_like(f"{text}%"), f"{text}a")


@given(texts, texts)
def test_the_pattern_of_an_operator_finds_what_python_finds(text: str, part: str):
    found = [is_like(pattern_for(name, part), text)
             for name in ("$startswith", "$endswith", "$contains")]  # fmt: skip

    assert found == [text.startswith(part), text.endswith(part), part in text]


def test_a_like_pattern_is_taken_as_it_is():
    assert [pattern_for("$like", "a%_{}"), pattern_for("$ilike", "a%")] == ["a%_{}", "a%"]


@pytest.mark.parametrize(
    ("regex", "pattern"),
    [("^John", "John%"), ("son$", "%son"), ("oh", "%oh%"), ("^a$", "a"), ("", "%%"),
     ("^100\\%", "100\\%%"), ("a\\.b", "%a.b%"), ("a_b", "%a\\_b%"), ("a.b", None), ("a|b", None),
     ("\\d", None), ("^a^", None), ("[a]", None), ("a\\\\b", "%a\\\\b%")],
)  # fmt: skip
def test_a_plain_regular_expression_becomes_a_pattern(regex: str, pattern: str | None):
    assert pattern_of_regex(regex) == pattern


@given(texts, st.booleans(), st.booleans(), texts)
def test_the_pattern_of_a_regular_expression_means_the_same(
    part: str, start: bool, end: bool, text: str
):
    regex = f"{'^' if start else ''}{re.escape(part)}{'$' if end else ''}"
    pattern = pattern_of_regex(regex)
    if pattern is None:  # a quoted space is left to the regular expressions
        assert "\n" in part
        return

    python = f"{'^' if start else ''}{re.escape(part)}{ABSOLUTE_END if end else ''}"
    assert is_like(pattern, text) == (re.search(python, text) is not None)
