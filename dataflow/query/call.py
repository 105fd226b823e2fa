"""A function of SQL whose words differ between databases."""

from __future__ import annotations

from functools import lru_cache
from string import Formatter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import TypeClause
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeEngine

from dataflow.query.words import WORDS

__all__ = ["Call", "uses_of"]


@lru_cache(maxsize=1_000)
def uses_of(name: str, number: int) -> int:
    """Return how often an argument stands in the words of a call, where it does most."""
    texts = [words.get(name, "{all}") for words in WORDS.values()]
    return max(text.count(f"{{{number}}}") + text.count("{all}") for text in texts)


class Call(sa.ColumnElement[Any]):
    """A name and its arguments; `words` holds what each database says for it.

    A call that a database has no words for is a function `dataflow_<name>`, which its
    driver brings.
    """

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("name", InternalTraversal.dp_string),
        ("args", InternalTraversal.dp_clauseelement_tuple),
        ("type", InternalTraversal.dp_type),
    ]

    def __init__(self, name: str, *args: Any, type_: TypeEngine[Any]) -> None:
        """Call a function on expressions (or types, by name) with a result of a type."""
        self.name = name
        self.args = tuple(TypeClause(a) if isinstance(a, TypeEngine) else a for a in args)
        self.type = type_


@compiles(Call)
def _compile(element: Call, compiler: SQLCompiler, **options: Any) -> str:
    backend = compiler.dialect.name
    if backend not in WORDS:
        msg = f"{element.name} is not known on {backend}"
        raise CompileError(msg)
    words = WORDS[backend].get(element.name)
    if words is None:
        words = f"dataflow_{element.name.replace(' ', '_')}({{all}})"
    used = {name for _, name, _, _ in Formatter().parse(words)}
    # What is not written must not be compiled either: it could leave a parameter behind.
    args = [
        compiler.process(arg, **options) if "all" in used or str(number) in used else ""
        for number, arg in enumerate(element.args)
    ]
    return words.format(*args, all=", ".join(args))
