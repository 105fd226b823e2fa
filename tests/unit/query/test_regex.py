"""Regular expressions: the common ground of all engines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.query.regex import Regex, RegexError, posix_of, regex_of


@pytest.mark.parametrize(
    "pattern",
    ["", "a|b", "^(a|bc)*d+?$", "[^a-z\\]_]{2,3}", "\\d\\s\\w\\.", "(?:x){0,255}", "\\bword\\b",
     "a{", "[]a]", "\\x41\\u00e9", "é"],
)  # fmt: skip
def test_what_every_engine_has_is_kept_as_it_is(pattern: str):
    assert regex_of(pattern) == Regex(pattern)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "it is not a regular expression"),
        ("a**", "it is not a regular expression"),
        ("(a)\\1", "'\\\\1' is not supported"),
        ("(?=a)", "'(?=' is not supported"),
        ("(?<!a)b", "'(?<' is not supported"),
        ("(?P<n>a)", "'(?P' is not supported"),
        ("(?i:a)", "'(?i' is not supported"),
        ("a++", "possessive repetition is not supported"),
        ("a{2,256}", "a repetition goes above 255"),
        ("[[:alpha:]]", "the class"),
        ("[\\W]", "the class"),
        ("(?x)a", "the option 'x' is not supported; use i and s"),
        ("a" * 1_001, "it is longer than 1000 characters"),
    ],
)
def test_what_some_engine_lacks_is_refused(pattern: str, problem: str):
    with pytest.raises(RegexError, match=re.escape(problem)):
        regex_of(pattern)


@pytest.mark.parametrize("given_regex", [("(?is)a.b", ""), ("a.b", "is"), ("(?s)a.b", "i")])
def test_options_stand_before_the_pattern_or_beside_it(given_regex: tuple[str, str]):
    assert regex_of(*given_regex) == Regex("a.b", ignore_case=True, dot_all=True)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_any_escaped_text_is_accepted(text: str):
    assert regex_of(re.escape(text)).body == re.escape(text)


@given(st.text("ab(|)*+?[]{}\\^$.,-12dwbBzZi<=!:P", max_size=12))
def test_any_pattern_is_accepted_or_refused(pattern: str):
    try:
        body = regex_of(pattern).body
    except RegexError:
        return

    assert body in pattern
    assert "(?=" not in re.sub(r"\\.", "", body)


def posix(body: str, *, dot_all: bool = False) -> str:
    return posix_of(Regex(body, dot_all=dot_all))


def test_postgresql_has_letters_of_its_own_for_edges():
    assert posix(r"word\z") == r"word\Z"


def test_postgresql_gets_the_classes_of_ascii_written_out():
    word = "[A-Za-z0-9_]"

    assert posix(r"\w\W\d\D\s\S") == (
        r"[A-Za-z0-9_][^A-Za-z0-9_][0-9][^0-9][ \t\n\f\r][^ \t\n\f\r]"
    )
    assert posix(r"[\w-][^\s\d\]\\w]") == r"[A-Za-z0-9_-][^ \t\n\f\r0-9\]\\w]"
    assert posix(r"\b") == f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
    assert posix(r"\B") == f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))"


@pytest.mark.parametrize("body", [r"\\b", r"a\\B", r"\\\\z", r"[\\b]", r"\\w", r"[\\w]"])
def test_a_letter_after_an_escaped_backslash_is_no_edge(body: str):
    assert posix(body) == body


def test_a_dot_outside_a_class_leaves_out_line_breaks_unless_asked():
    assert posix(r"a.[.^]\.") == r"a[^\n][.^]\."
    assert posix("a.", dot_all=True) == "a."
