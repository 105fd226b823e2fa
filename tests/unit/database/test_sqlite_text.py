"""LIKE and regular expressions for JSON on SQLite."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.database.sqlite_text import like_matcher, regex_matcher, regexp

texts = st.text("abAB%_\\é\n", max_size=10)


def is_like(pattern: str, text: str) -> bool:
    """The definition, character by character."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "%":
        return is_like(rest, text) or (bool(text) and is_like(pattern, text[1:]))
    if head == "_":
        return bool(text) and is_like(rest, text[1:])
    if head == "\\" and rest:
        head, rest = rest[0], rest[1:]
    return text[:1] == head and is_like(rest, text[1:])


@given(texts, texts)
def test_like_matches_as_it_is_defined(pattern: str, text: str):
    assert like_matcher(pattern)(text) == is_like(pattern, text)


@given(texts, texts)
def test_like_without_case_is_like_in_small_letters(pattern: str, text: str):
    expected = is_like(pattern.lower(), text.lower())

    assert like_matcher(pattern, ignore_case=True)(text) == expected


@given(st.text(max_size=20))
def test_any_text_is_like_itself_in_escapes(text: str):
    pattern = "".join(f"\\{character}" for character in text)

    assert like_matcher(pattern)(text)
    assert not like_matcher(pattern)(f"{text}x")


def test_a_pattern_is_searched_and_null_stays_unknown():
    assert (regexp("B", "", "abc"), regexp("B", "i", "abc"), regexp("b", "", None)) == (
        False, True, None,
    )  # fmt: skip


def test_a_dot_takes_a_line_break_only_when_asked():
    assert not regex_matcher("a.b")("a\nb")
    assert regex_matcher("a.b", dot_all=True)("a\nb")


@pytest.mark.parametrize("ending", ["\\Z", "\\z", "$"])
def test_every_spelling_of_the_end_is_the_end_of_the_text(ending: str):
    test = regex_matcher(f"a{ending}")

    assert (test("ba"), test("a\n"), test("ab")) == (True, False, False)


def test_an_escaped_backslash_before_a_letter_is_a_backslash():
    assert regex_matcher(r"^\\Z$")("\\Z")
