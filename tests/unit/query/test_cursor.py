"""Cursors: signed, bound to their query."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import CursorError
from dataflow.query.cursor import decode_cursor, encode_cursor

SECRET = b"secret"
values = st.lists(
    st.none() | st.integers() | st.text() | st.booleans() | st.floats(allow_nan=False), max_size=4
)


@given(values, st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cursor_gives_its_values_back(given_values: list[Any], scope: str):
    token = encode_cursor(SECRET, scope, given_values)

    assert decode_cursor(SECRET, scope, token, len(given_values)) == given_values
    assert token.replace("-", "").replace("_", "").isalnum()


@given(values, st.data())
def test_a_cursor_with_any_character_changed_is_refused(given_values: list[Any], data: Any):
    token = encode_cursor(SECRET, "users", given_values)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_").filter(lambda c: c != token[place]))

    with pytest.raises(CursorError):
        decode_cursor(
            SECRET, "users", token[:place] + other + token[place + 1 :], len(given_values)
        )


def test_a_cursor_of_another_scope_secret_or_size_is_refused():
    token = encode_cursor(SECRET, "users", [1])

    for secret, scope, count in (
        (b"other", "users", 1),
        (SECRET, "posts", 1),
        (SECRET, "users", 2),
    ):
        with pytest.raises(CursorError):
            decode_cursor(secret, scope, token, count)


@pytest.mark.parametrize(
    "token", ["", "a", "====", "a b", "é", None, 5, b"abc", "A" * 5000], ids=str
)
def test_what_is_no_cursor_is_refused(token: Any):
    with pytest.raises(CursorError):
        decode_cursor(SECRET, "users", token, 1)


def test_padding_and_other_spellings_of_the_same_bytes_are_refused():
    token = encode_cursor(SECRET, "users", [1, 2])

    for other in (token + "=", token + "==", token + "\n", " " + token):
        with pytest.raises(CursorError):
            decode_cursor(SECRET, "users", other, 2)
