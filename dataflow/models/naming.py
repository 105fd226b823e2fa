"""Names: table names from class names, and the one rule for identifiers."""

from __future__ import annotations

import hashlib
import re

from dataflow.errors import IdentifierError

__all__ = [
    "MAX_LENGTH",
    "NAMING",
    "check_identifier",
    "class_name",
    "index_name",
    "plural_of",
    "snake_case",
    "table_name",
]

MAX_LENGTH = 63
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, so that migrations can refer to them."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SINGULAR = (
    ("ies", "y"), ("sses", "ss"), ("zzes", "zz"), ("xes", "x"), ("shes", "sh"),
    ("eaches", "each"), ("aches", "ache"), ("ches", "ch"), ("ouses", "ouse"), ("uses", "us"),
    ("us", "us"), ("s", ""),
)  # fmt: skip
_IRREGULAR = {"person": "people", "child": "children", "man": "men", "woman": "women"}


def check_identifier(name: str, kind: str) -> str:
    """Return the name if every database stores it whole and unchanged.

    Raises:
        IdentifierError: If it is longer than 63 characters or has other characters
            than ASCII letters, digits and underscores.
    """
    if len(name) > MAX_LENGTH:
        raise IdentifierError(kind=kind, name=name, problem=f"has {len(name)} characters")
    if not _IDENTIFIER.match(name):
        raise IdentifierError(kind=kind, name=name, problem="is not an identifier")
    return name


def snake_case(name: str) -> str:
    """Return `BlogPost` as `blog_post`, `HTTPServer` as `http_server`."""
    return _SPLIT.sub("_", name).lower()


def plural_of(word: str) -> str:
    """Return the English plural of a snake-case word: `blog_posts`, `categories`."""
    head, _, last = word.rpartition("_")
    prefix = f"{head}_" if head else ""
    if last in _IRREGULAR:
        return prefix + _IRREGULAR[last]
    if re.search(r"[^aeiou]y$", last):
        return f"{prefix}{last[:-1]}ies"
    if re.search(r"(s|x|z|ch|sh)$", last):
        return f"{prefix}{last}es"
    return f"{prefix}{last}s"


def table_name(class_name: str) -> str:
    """Return the table name of a model class: plural snake case."""
    return plural_of(snake_case(class_name))


def index_name(prefix: str, table: str, columns: tuple[str, ...]) -> str:
    """Return a name of at most 63 characters, made unique by a digest when cut."""
    name = "_".join((prefix, table, *columns))
    if len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name[: MAX_LENGTH - 11]}_{digest}"


def class_name(table: str) -> str:
    """Return the class name of a table: `blog_posts` is `BlogPost`."""
    head, _, last = table.lower().rpartition("_")
    singular = {plural: word for word, plural in _IRREGULAR.items()}.get(last, last)
    if singular == last:
        for ending, replacement in _SINGULAR:
            if last.endswith(ending) and not last.endswith("ss"):
                singular = last.removesuffix(ending) + replacement
                break
    words = [word for word in (*head.split("_"), singular) if word]
    return "".join(word[:1].upper() + word[1:] for word in words)
