"""Text matching for SQLite: LIKE in linear memory, regular expressions in linear time."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from typing import Any

from dataflow.errors import DataValueError, MissingExtraError

__all__ = ["has_regex", "like_matcher", "one_to_one", "regex_matcher", "regexp"]

Test = Callable[[str], bool]
_MAX_MEMORY_BYTES = 8 << 20
_ESCAPE = re.compile(r"\\.", re.DOTALL)


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
    try:
        pattern = re2.compile(_ESCAPE.sub(_re2_escape, body), options)
    except re2.error as error:
        raise DataValueError(detail=f"regular expression {body!r}: {error}") from None
    return lambda text: pattern.search(text) is not None


def regexp(body: str, flags: str, text: str | None) -> bool | None:
    """Return whether a pattern is found in a text; None for None."""
    if text is None:
        return None
    return regex_matcher(body, ignore_case="i" in flags, dot_all="s" in flags)(text)


def _re2_escape(found: re.Match[str]) -> str:
    return r"\z" if found[0] == r"\Z" else found[0]


def one_to_one(text: str) -> str:
    """Return a text in small letters, as many as it has letters."""
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


class _Piece:
    """What stands between two `%` of a pattern: texts, and places for any character."""

    def __init__(self, tokens: list[str | None]) -> None:
        self.size = len(tokens)
        self.texts: list[tuple[int, str]] = []
        place = 0
        for known, group in groupby(tokens, key=lambda token: token is not None):
            letters = list(group)
            if known:
                self.texts.append((place, "".join(map(str, letters))))
            place += len(letters)

    def stands_at(self, text: str, place: int) -> bool:
        """Whether the piece is in a text at a place."""
        if place < 0 or place + self.size > len(text):
            return False
        return all(text.startswith(part, place + offset) for offset, part in self.texts)

    def find(self, text: str, start: int) -> int:
        """Return the first place of the piece from a start, or -1."""
        if not self.texts:
            return start if start + self.size <= len(text) else -1
        offset, first = self.texts[0]
        place = text.find(first, start + offset)
        while place >= 0:
            if self.stands_at(text, place - offset):
                return place - offset
            place = text.find(first, place + 1)
        return -1


def _pieces(pattern: str) -> list[_Piece]:
    pieces: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            pieces.append([])
        elif character == "_":
            pieces[-1].append(None)
        else:
            pieces[-1].append(next(characters, "\\") if character == "\\" else character)
    return [_Piece(piece) for piece in pieces]


@lru_cache(maxsize=500)
def like_matcher(pattern: str, *, ignore_case: bool = False) -> Test:
    """Return a test for texts that a LIKE pattern, with backslash escapes, matches whole."""
    first, *rest = _pieces(one_to_one(pattern) if ignore_case else pattern)

    def test(text: str) -> bool:
        return _matches(first, rest, one_to_one(text) if ignore_case else text)

    return test


def _matches(first: _Piece, rest: list[_Piece], text: str) -> bool:
    """Find each piece behind the one before; the last one at the end."""
    if not first.stands_at(text, 0):
        return False
    if not rest:
        return first.size == len(text)
    place = first.size
    for piece in rest[:-1]:
        place = piece.find(text, place)
        if place < 0:
            return False
        place += piece.size
    last = rest[-1]
    return len(text) - last.size >= place and last.stands_at(text, len(text) - last.size)
