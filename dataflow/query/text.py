"""Text in filters: patterns with their wildcards escaped, and plain regular expressions."""

from __future__ import annotations

import re

__all__ = [
    "ESCAPE",
    "escape_like",
    "pattern_for",
    "pattern_of_regex",
    "pattern_problem",
    "regex_of_like",
]

ESCAPE = "\\"
MAX_PATTERN = 10_000
_WILDCARDS = re.compile(r"([\\%_])")
_PLAIN_REGEX = re.compile(
    r"(?P<start>\^?)(?P<text>(?:[^\\.^$*+?{}\[\]|()]|\\[^\w\s])*)(?P<end>\$?)\Z"
)
_FORMS = {
    "$startswith": "{}%",
    "$endswith": "%{}",
    "$contains": "%{}%",
    "$icontains": "%{}%",
}


def escape_like(text: str) -> str:
    """Return a text in which LIKE finds nothing but the text itself."""
    return _WILDCARDS.sub(r"\\\1", text)


def pattern_for(operator: str, text: str) -> str:
    """Return the LIKE pattern of `$startswith`, `$endswith`, `$contains` or `$icontains`.

    `$like` and `$ilike` patterns are taken as they are.
    """
    form = _FORMS.get(operator)
    return text if form is None else form.replace("{}", escape_like(text))


def pattern_problem(operator: str, text: str) -> str | None:
    """Return why a text is no pattern on every database, or None."""
    if len(text) > MAX_PATTERN:
        return f"takes at most {MAX_PATTERN} characters, not {len(text)}"
    backslashes = len(text) - len(text.rstrip(ESCAPE))
    if operator in ("$like", "$ilike") and backslashes % 2:
        return "ends with a backslash that escapes nothing"
    return None


def pattern_of_regex(regex: str) -> str | None:
    """Return the LIKE pattern that means the same as a regular expression, or None.

    `^John` becomes `John%`, `son$` becomes `%son`, `oh` becomes `%oh%`.
    """
    found = _PLAIN_REGEX.match(regex)
    if found is None:
        return None
    text = escape_like(re.sub(r"\\(.)", r"\1", found["text"]))
    return f"{'' if found['start'] else '%'}{text}{'' if found['end'] else '%'}"


def regex_of_like(pattern: str) -> str:
    """Return the regular expression for a whole text that a LIKE pattern means."""
    parts = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == ESCAPE and position + 1 < len(pattern):
            position += 1
            parts.append(re.escape(pattern[position]))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
        position += 1
    return f"^{''.join(parts)}$"
