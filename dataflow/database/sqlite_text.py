"""Text matching for SQLite: LIKE in linear memory, regular expressions in linear time."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from dataflow.errors import MissingExtraError

__all__ = ["has_regex", "like_matcher", "regex_matcher", "regexp"]

Test = Callable[[str], bool]
_MAX_MEMORY_BYTES = 8 << 20


def has_regex() -> bool:
    """Whether the engine for regular expressions is installed."""
    return importlib.util.find_spec("re2") is not None


@lru_cache(maxsize=500)
def regex_matcher(body: str, *, ignore_case: bool = False, dot_all: bool = False) -> Test:
    """Return a test for texts in which a pattern is found.

    Raises:
        MissingExtraError: Without the package google-re2, whose engine never backtracks.
    """
    if not has_regex():
        raise MissingExtraError(feature="a regular expression on SQLite", extra="regex")
    re2: Any = importlib.import_module("re2")
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.dot_nl = dot_all
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    pattern = re2.compile(body.replace(r"\Z", r"\z"), options)
    return lambda text: pattern.search(text) is not None


def regexp(body: str, flags: str, text: str | None) -> bool | None:
    """Return whether a pattern is found in a text; None for None."""
    if text is None:
        return None
    return regex_matcher(body, ignore_case="i" in flags, dot_all="s" in flags)(text)


def _tokens(pattern: str) -> list[str | None]:
    """Return the characters of a LIKE pattern; `""` for one of any, None for any number."""
    tokens: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            tokens.append(next(characters, "\\"))
        else:
            tokens.append({"%": None, "_": ""}.get(character, character))
    return tokens


@lru_cache(maxsize=500)
def like_matcher(pattern: str, *, ignore_case: bool = False) -> Test:
    """Return a test for texts that a LIKE pattern, with backslash escapes, matches whole."""
    tokens = _tokens(pattern.casefold() if ignore_case else pattern)

    def test(text: str) -> bool:
        return _matches(tokens, text.casefold() if ignore_case else text)

    return test


def _matches(tokens: list[str | None], text: str) -> bool:
    """Walk both; on a mismatch let the last `%` take one more character."""
    at = place = 0
    star, mark = -1, 0
    while at < len(text):
        token: Any = tokens[place] if place < len(tokens) else _MISMATCH
        if token is None:
            star, mark = place, at
            place += 1
        elif token in ("", text[at]):
            place += 1
            at += 1
        elif star >= 0:
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return all(token is None for token in tokens[place:])


_MISMATCH = "\0\0"
