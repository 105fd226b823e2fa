r"""Regular expressions that mean the same on every database, and never hang one.

The common ground of PostgreSQL's engine and RE2: literals, `.`, classes, `\d \w \s \b`,
groups, alternatives, repetition, `^` and `$`. Backreferences and looking around, which
need unbounded backtracking, are refused.

Digits, spaces and the characters of words are those of ASCII, as RE2 and MongoDB have
them. PostgreSQL's depend on the database's locale, so it gets them written out.
"""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

__all__ = ["Regex", "RegexError", "posix_of", "regex_of"]

MAX_LENGTH = 1_000
MAX_REPEAT = 255
_TOKEN = re.compile(
    r"""
    (?P<escape>\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.))
  | (?P<group>\((?:\?:)?(?!\?))
  | (?P<klass>\[\^?\]?(?:\\.|[^\]\\])*\])
  | (?P<repeat>\{(?P<low>\d+)(?P<more>,(?P<high>\d*))?\}\??)
  | (?P<other>[^\\\[({])
  | (?P<brace>\{)
    """,
    re.VERBOSE | re.DOTALL,
)
_FLAGS = re.compile(r"\(\?([a-zA-Z]+)\)")
_ESCAPES = frozenset("dDwWsSbBAZztnrfv")


class RegexError(ValueError):
    """The text says what a pattern has that is not supported."""


class Regex(NamedTuple):
    r"""A checked pattern.

    Attributes:
        body: The pattern with `\b` and `\z` in Python's spelling and no flags.
        ignore_case: Whether letters match either case.
        dot_all: Whether `.` matches a line break too.
    """

    body: str
    ignore_case: bool = False
    dot_all: bool = False


def regex_of(pattern: str, options: str = "") -> Regex:
    """Check a pattern and its options (`i`, `s`).

    Raises:
        RegexError: For wrong syntax, or for what not every engine supports.
    """
    leading = _FLAGS.match(pattern)
    body = pattern[leading.end() :] if leading else pattern
    flags = set(options) | set(leading[1] if leading else "")
    if flags - {"i", "s"}:
        msg = f"the option {min(flags - {'i', 's'})!r} is not supported; use i and s"
        raise RegexError(msg)
    if len(body) > MAX_LENGTH:
        msg = f"it is longer than {MAX_LENGTH} characters"
        raise RegexError(msg)
    _check(body)
    return Regex(body, "i" in flags, "s" in flags)


def _check(body: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what later versions of Python read otherwise
            re.compile(body)
    except (re.error, OverflowError, RecursionError) as error:
        msg = f"it is not a regular expression: {error}"
        raise RegexError(msg) from None
    position = 0
    while position < len(body):
        token = _TOKEN.match(body, position)
        if token is None:
            msg = f"{body[position : position + 3]!r} is not supported on every database"
            raise RegexError(msg)
        _check_token(token)
        position = token.end()
    if re.search(r"[*+?}]\+", re.sub(r"\\.", "", body)):
        msg = "possessive repetition is not supported on every database"
        raise RegexError(msg)


def _check_token(token: re.Match[str]) -> None:
    escape = token["escape"]
    if escape and escape[1].isalnum() and escape[1] not in _ESCAPES and len(escape) == 2:
        msg = f"{escape!r} is not supported on every database"
        raise RegexError(msg)
    if token["klass"] and re.search(r"\\[DWSbB]|\[[:.=]", token["klass"]):
        msg = f"the class {token['klass']!r} is not supported on every database"
        raise RegexError(msg)
    bounds = [int(token[name] or 0) for name in ("low", "high")] if token["repeat"] else []
    if any(bound > MAX_REPEAT for bound in bounds):
        msg = f"a repetition goes above {MAX_REPEAT}"
        raise RegexError(msg)


_PARTS = re.compile(r"\\(?P<escape>.)|(?P<klass>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<dot>\.)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\n\f\r"}
_WORD = f"[{_CLASSES['w']}]"
_POSIX = {
    **{letter: f"[{members}]" for letter, members in _CLASSES.items()},
    **{letter.upper(): f"[^{members}]" for letter, members in _CLASSES.items()},
    "b": f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))",
    "B": f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))",
    "z": r"\Z",
}


def posix_of(regex: Regex) -> str:
    """Return a pattern in PostgreSQL's words, where `.` would match a line break too."""

    def written(part: re.Match[str]) -> str:
        if part["dot"]:
            return "." if regex.dot_all else r"[^\n]"
        if part["klass"]:
            return _ESCAPE.sub(lambda one: _CLASSES.get(one[1], one[0]), part[0])
        return _POSIX.get(part["escape"], part[0])

    return _PARTS.sub(written, regex.body)
