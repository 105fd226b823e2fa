"""Conditions on JSON columns, in each database's words; the tree travels as a parameter."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from dataflow.database.sqlite_json import tree_text
from dataflow.query.jsonpath import element_paths, paths_to, predicate_for

__all__ = ["JsonEqual", "JsonMatch"]


class _Condition(TypeDecorator[Any]):
    """A tree of conditions: a jsonpath predicate on PostgreSQL, JSON text elsewhere."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        return predicate_for if dialect.name == "postgresql" else tree_text


class _Paths(TypeDecorator[Any]):
    """The jsonpaths to what a tree compares as a whole."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.ARRAY(sa.Text()))
        return dialect.type_descriptor(sa.Text())

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        del dialect
        return _paths_of


class _Operand(TypeDecorator[Any]):
    """The value with which a tree compares."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        del dialect
        return lambda tree: json.dumps(tree[2])


def _paths_of(tree: list[Any]) -> list[str]:
    kind, path, _ = tree
    return paths_to(path) if kind == "deep" else element_paths(path)


class JsonMatch(sa.ColumnElement[bool]):
    """Whether a document fulfils a tree of conditions; unknown for null."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("document", InternalTraversal.dp_clauseelement),
        ("tree", InternalTraversal.dp_clauseelement),
    ]
    type = sa.Boolean()

    def __init__(self, document: sa.ColumnElement[Any], tree: str) -> None:
        """Test a document with the tree bound under a name."""
        self.document = document
        self.tree: sa.BindParameter[Any] = sa.bindparam(tree, type_=_Condition())


@compiles(JsonMatch)
def _match(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    document = compiler.process(element.document, **options)
    return f"dataflow_json_match({document}, {compiler.process(element.tree, **options)})"


@compiles(JsonMatch, "postgresql")
def _match_path(element: JsonMatch, compiler: SQLCompiler, **options: Any) -> str:
    document = compiler.process(element.document, **options)
    # Indexes of class jsonb_path_ops serve this operator.
    return f"({document} @@ CAST({compiler.process(element.tree, **options)} AS jsonpath))"


class JsonEqual(sa.ColumnElement[bool]):
    """Whether a document has a whole object or array at a path, or in an array there."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("document", InternalTraversal.dp_clauseelement),
        ("tree", InternalTraversal.dp_clauseelement),
        ("paths", InternalTraversal.dp_clauseelement),
        ("value", InternalTraversal.dp_clauseelement),
    ]
    type = sa.Boolean()

    def __init__(self, document: sa.ColumnElement[Any], tree: str, paths: str, value: str) -> None:
        """Compare with the tree bound under all three names."""
        self.document = document
        self.tree: sa.BindParameter[Any] = sa.bindparam(tree, type_=_Condition())
        self.paths: sa.BindParameter[Any] = sa.bindparam(paths, type_=_Paths())
        self.value: sa.BindParameter[Any] = sa.bindparam(value, type_=_Operand())


@compiles(JsonEqual)
def _equal(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return _match(element, compiler, **options)


@compiles(JsonEqual, "postgresql")
def _equal_path(element: JsonEqual, compiler: SQLCompiler, **options: Any) -> str:
    document = compiler.process(element.document, **options)
    paths = compiler.process(element.paths, **options)
    value = compiler.process(element.value, **options)
    return (
        f"(EXISTS (SELECT 1 FROM unnest({paths}) AS p(p), "
        f"jsonb_path_query({document}, CAST(p.p AS jsonpath), silent => true) AS x(x) "
        f"WHERE x.x = CAST({value} AS jsonb)))"
    )
