"""The scope of models in statements that SQLAlchemy sessions execute.

A session's statements are anyone's: of mapped classes or of tables, with joins, unions,
subqueries, loaded links. So the scope is not added to what a caller writes but to what
is compiled, after the ORM has resolved it: each SELECT gets conditions for the tables
in its FROM, each UPDATE and DELETE for the table that it changes. What could get around
that, such as SQL as text, is refused.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromGrouping, Join

from dataflow.errors import UnscopedStatementError
from dataflow.records.scope import Scope

__all__ = ["Rules", "scoped_compiler", "with_deleted"]

ScopeOf = Callable[[str], Scope | None]


class Rules(NamedTuple):
    """What sessions of one kind see.

    Attributes:
        scope_of: Returns the scope of a table by its full name.
        tables: Returns the names of the tables that tenants share.
        one_tenant: Whether records of one tenant alone are seen.
        live: Whether deleted records are hidden.
    """

    scope_of: ScopeOf
    tables: Callable[[], list[str]]
    one_tenant: bool
    live: bool

    def owner(self, table: sa.Table, columns: Any) -> sa.ColumnElement[bool] | None:
        """Return the condition that a record is the tenant's, or None."""
        scope = self.scope_of(table.fullname)
        if scope is None or scope.tenant is None or not self.one_tenant:
            return None
        column = scope.tenant.column
        mine = sa.bindparam(
            f"dataflow_session_tenant_of_{table.name}",
            callable_=scope.tenant.of_session,
            type_=column.type,
        )
        owner: sa.ColumnElement[bool] = columns[column.key] == mine
        return owner

    def conditions(self, table: sa.Table, columns: Any) -> list[sa.ColumnElement[bool]]:
        """Return what holds for every record that may be seen."""
        scope = self.scope_of(table.fullname)
        found = [self.owner(table, columns)]
        if scope is not None and scope.live is not None and self.live:
            found.append(columns[scope.live.key].is_(None))
        return [condition for condition in found if condition is not None]


class _WithDeleted(sa.ColumnElement[bool]):
    """A condition that always holds, and tells that deleted records are wanted."""

    inherit_cache = True
    type = sa.Boolean()


@compiles(_WithDeleted)
def _compile_with_deleted(element: Any, compiler: Any, **options: Any) -> str:
    del element, compiler, options
    return "1 = 1"


def with_deleted() -> sa.ColumnElement[bool]:
    """Return a condition for a session's `select`: deleted records are seen, too.

    `select(User).where(with_deleted(), User.name == "Ada")`
    """
    return _WithDeleted()


def scoped_compiler(base: type[Any], rules: Rules) -> type[Any]:
    """Return a dialect's compiler of statements with the scope of models in it."""
    return type("ScopedCompiler", (_ScopedStatements, base), {"rules": rules})


def _table_of(part: Any) -> sa.Table | None:
    """Return the table that a part of a FROM names, by an alias or itself."""
    while isinstance(part, AliasedReturnsRows):
        part = part.element
    return part if isinstance(part, sa.Table) else None


def _leaves(part: Any, *, always: bool) -> Iterator[Any]:
    """Yield the parts of a FROM; with `always`, those that no outer join leaves empty."""
    if isinstance(part, FromGrouping):
        yield from _leaves(part.element, always=always)
    elif not isinstance(part, Join):
        yield part
    else:
        if not (always and part.full):
            yield from _leaves(part.left, always=always)
        if not (always and (part.full or part.isouter)):
            yield from _leaves(part.right, always=always)


class _ScopedStatements:
    """Overrides of SQLAlchemy's compiler; mixed into that of a dialect."""

    rules: ClassVar[Rules]
    process: Any
    stack: Any
    preparer: Any
    column_keys: Any
    _optional: frozenset[int] = frozenset()
    """Identities of the parts of a FROM that an outer join may leave empty."""

    def _compose_select_body(self, text: str, select: Any, *rest: Any) -> str:
        froms, found = rest[2], list[Any]()
        rules = self.rules
        if any(isinstance(given, _WithDeleted) for given in select._where_criteria):  # noqa: SLF001 - shown nowhere else
            rules = rules._replace(live=False)
        for part in froms:
            for leaf in _leaves(part, always=True):
                table = _table_of(leaf)
                found += [] if table is None else rules.conditions(table, leaf.c)
        if found:
            select = select._generate()  # noqa: SLF001 - a copy, as every method of select makes
            select._where_criteria += tuple(found)  # noqa: SLF001 - where() would coerce anew
        body: str = super()._compose_select_body(text, select, *rest)  # type: ignore[misc]  # of the dialect's compiler
        return body

    def visit_join(self, join: Any, **options: Any) -> str:
        optional = [join.right] if join.isouter or join.full else []
        optional += [join.left] if join.full else []
        inner = {id(leaf) for part in optional for leaf in _leaves(part, always=False)}
        self._optional = self._optional | inner
        text: str = super().visit_join(join, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_table(
        self,
        table: Any,
        asfrom: bool = False,  # noqa: FBT001, FBT002 - SQLAlchemy's own signature
        iscrud: bool = False,  # noqa: FBT001, FBT002 - likewise
        enclosing_alias: Any = None,
        **options: Any,
    ) -> str:
        text: str = super().visit_table(  # type: ignore[misc]  # of the dialect's compiler
            table, asfrom=asfrom, iscrud=iscrud, enclosing_alias=enclosing_alias, **options
        )
        alias = enclosing_alias
        named = alias is not None and _table_of(alias) is not None
        if not asfrom or iscrud or id(alias if named else table) not in self._optional:
            return text
        return self._filtered(table, text, named=named)

    def _filtered(self, table: sa.Table, text: str, *, named: bool) -> str:
        """Return a table that an outer join may leave empty, filtered before it is joined."""
        found = self.rules.conditions(table, table.c)
        if not found:
            return text
        if table.schema:
            raise UnscopedStatementError(
                problem=f"an outer join of {table.fullname!r}, which is in a schema, cannot be "
                "kept to what may be seen."
            )
        condition = self.process(sa.and_(*found))
        inner = f"(SELECT * FROM {text} WHERE {condition})"
        return inner if named else f"{inner} AS {self.preparer.quote(table.name)}"

    def _owned(self, statement: Any) -> Any:
        """Return an UPDATE or DELETE that touches the tenant's records alone."""
        table = _table_of(statement.table)
        if table is None:
            return statement
        owner = self.rules.owner(table, statement.table.c)
        return statement if owner is None else statement.where(owner)

    def visit_update(self, update_stmt: Any, *args: Any, **options: Any) -> str:
        self._refuse_move(update_stmt)
        text: str = super().visit_update(self._owned(update_stmt), *args, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_delete(self, delete_stmt: Any, *args: Any, **options: Any) -> str:
        text: str = super().visit_delete(self._owned(delete_stmt), *args, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_insert(self, insert_stmt: Any, *args: Any, **options: Any) -> str:
        table = _table_of(insert_stmt.table)
        owned = table is not None and self.rules.owner(table, table.c) is not None
        if owned and insert_stmt.select is not None:
            raise UnscopedStatementError(
                problem=f"INSERT … SELECT cannot tell whose records of {table} it makes."
            )
        text: str = super().visit_insert(insert_stmt, *args, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_on_conflict_do_update(self, on_conflict: Any, **options: Any) -> str:
        table = self.stack[-1]["selectable"].table
        owner = self.rules.owner(table, table.c)
        if owner is not None:
            given = dict(on_conflict.update_values_to_set)
            names = {getattr(key, "key", key) for key in given}
            self._refuse_names(table, names)
            mine = on_conflict.update_whereclause
            on_conflict = copy.copy(on_conflict)
            on_conflict.update_whereclause = owner if mine is None else sa.and_(mine, owner)
        text: str = super().visit_on_conflict_do_update(on_conflict, **options)  # type: ignore[misc]  # likewise
        return text

    def _refuse_move(self, statement: Any) -> None:
        table = _table_of(statement.table)
        if table is None or self.rules.owner(table, table.c) is None:
            return
        given = [*(statement._values or ()), *(self.column_keys or ())]  # noqa: SLF001 - shown nowhere else
        self._refuse_names(table, {getattr(key, "key", key) for key in given})

    def _refuse_names(self, table: sa.Table, names: set[Any]) -> None:
        scope = self.rules.scope_of(table.fullname)
        if scope is not None and scope.tenant is not None and scope.tenant.name in names:
            raise UnscopedStatementError(
                problem=f"an UPDATE of {table.fullname!r} cannot change {scope.tenant.name!r}."
            )

    def visit_textclause(self, textclause: Any, *args: Any, **options: Any) -> str:
        self._refuse_text(textclause.text)
        text: str = super().visit_textclause(textclause, *args, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_column(self, column: Any, *args: Any, **options: Any) -> str:
        if column.is_literal:
            self._refuse_text(column.name)
        text: str = super().visit_column(column, *args, **options)  # type: ignore[misc]  # likewise
        return text

    def _refuse_text(self, text: str) -> None:
        if not self.rules.one_tenant:
            return
        for name in self.rules.tables():
            named = rf"\b(from|join|update|into|only)\W+{re.escape(name)}\b"
            if re.search(named, text, re.IGNORECASE):
                raise UnscopedStatementError(
                    problem=f"SQL as text names {name!r}, which tenants share."
                )
