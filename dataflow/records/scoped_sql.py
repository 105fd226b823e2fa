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
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromGrouping, Join

from dataflow.context import session_tenant
from dataflow.errors import UnscopedStatementError
from dataflow.records.scope import Scope

__all__ = ["Rules", "scoped_compiler", "scoped_execution", "with_deleted"]

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

    def scope(self, table: Any) -> Scope | None:
        """Return the scope of a model's table, and None for another.

        Raises:
            UnscopedStatementError: If it is named like one that tenants share.
        """
        scope = self.scope_of(table.fullname)
        if scope is not None and scope.owns(table):
            return scope
        shared = {name.rpartition(".")[2].casefold() for name in self.tables()}
        if self.one_tenant and table.name.casefold() in shared:
            raise UnscopedStatementError(
                problem=f"the table {table.fullname!r} is not the one of the model, "
                "but is named like one that tenants share."
            )
        return None

    def owner(self, table: Any, columns: Any) -> sa.ColumnElement[bool] | None:
        """Return the condition that a record is the tenant's, or None."""
        scope = self.scope(table)
        if scope is None or scope.tenant is None or not self.one_tenant:
            return None
        column = scope.tenant.column
        mine = _Mine(
            f"dataflow_session_tenant_of_{table.name}",
            callable_=scope.tenant.of_session,
            type_=column.type,
            unique=True,
        )
        owner: sa.ColumnElement[bool] = columns[column.key] == mine
        return owner

    def conditions(self, table: Any, columns: Any) -> list[sa.ColumnElement[bool]]:
        """Return what holds for every record that may be seen."""
        scope = self.scope(table)
        found = [self.owner(table, columns)]
        if scope is not None and scope.live is not None and self.live:
            found.append(columns[scope.live.key].is_(None))
        return [condition for condition in found if condition is not None]

    def refuse_text(self, text: str) -> None:
        """Refuse SQL as text that names a table of tenants other than before a column.

        Raises:
            UnscopedStatementError: Naming the table.
        """
        if not self.one_tenant:
            return
        if re.search(r"\bu&", text, re.IGNORECASE):
            raise UnscopedStatementError(
                problem="SQL as text with escaped letters (U&) may name any table."
            )
        for full in self.tables():
            name = re.escape(full.rpartition(".")[2])
            if re.search(rf"\b{name}\b(?![\"`\]]?\s*\.)", text, re.IGNORECASE):
                raise UnscopedStatementError(
                    problem=f"SQL as text names {full!r}, which tenants share."
                )


class _Mine(sa.BindParameter[Any]):
    """The parameter that says whose records are meant; no caller can give its value."""

    inherit_cache = True


class _WithDeleted(sa.ColumnElement[bool]):
    """A condition that always holds, and tells that deleted records are wanted."""

    inherit_cache = True
    type = sa.Boolean()


@compiles(_WithDeleted)
def _compile_with_deleted(element: Any, compiler: Any, **options: Any) -> str:
    del element
    text: str = compiler.process(sa.true(), **options)
    return text


def with_deleted() -> sa.ColumnElement[bool]:
    """Return a condition for a session's `select`: deleted records are seen, too.

    `select(User).where(with_deleted(), User.name == "Ada")`
    """
    return _WithDeleted()


def scoped_compiler(base: type[Any], rules: Rules) -> type[Any]:
    """Return a dialect's compiler of statements with the scope of models in it."""
    return type("ScopedCompiler", (_ScopedStatements, base), {"rules": rules})


def scoped_execution(base: type[Any]) -> type[Any]:
    """Return a dialect's execution of statements that knows whose session they are of."""
    return type("ScopedExecution", (_ScopedExecution, base), {})


def _table_of(part: Any) -> sa.TableClause | None:
    """Return the table that a part of a FROM names, by an alias or itself."""
    while isinstance(part, AliasedReturnsRows):
        part = part.element
    return part if isinstance(part, sa.TableClause) else None


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


def _given_values(insert: Any, table: Any, names: frozenset[str]) -> Iterator[Any]:
    """Yield the values that an INSERT itself has for the columns of some names."""
    for row in (insert._values or {}, *chain.from_iterable(insert._multi_values)):  # noqa: SLF001 - shown nowhere else
        pairs = row.items() if isinstance(row, Mapping) else zip(table.c, row, strict=False)
        yield from (value for key, value in pairs if getattr(key, "key", key) in names)


def _is_plain(value: Any) -> bool:
    """Whether a value becomes the parameter that has the column's name."""
    if isinstance(value, sa.BindParameter):
        return bool(value.unique)
    return not isinstance(value, sa.ClauseElement) and not hasattr(value, "__clause_element__")


class _ScopedExecution:
    """Overrides of SQLAlchemy's execution context; mixed into that of a dialect."""

    @classmethod
    def _init_compiled(cls, dialect: Any, connection: Any, *args: Any, **options: Any) -> Any:
        # A statement's own options do not say whose it is: only its connection's do.
        session_tenant.set(connection.get_execution_options().get("dataflow_tenant"))
        return super()._init_compiled(dialect, connection, *args, **options)  # type: ignore[misc]  # of the dialect's own


class _ScopedStatements:
    """Overrides of SQLAlchemy's compiler; mixed into that of a dialect."""

    rules: ClassVar[Rules]
    process: Any
    stack: Any
    preparer: Any
    column_keys: Any
    bind_names: Any
    _apart: frozenset[int] = frozenset()
    """Identities of the parts of a FROM that are filtered before they are joined: an outer
    join may leave them empty, or no WHERE of a SELECT is theirs."""

    def construct_params(self, *args: Any, **options: Any) -> Any:
        values: dict[str, Any] = super().construct_params(*args, **options)  # type: ignore[misc]  # of the dialect's compiler
        for bind, name in self.bind_names.items():
            if isinstance(bind, _Mine):
                values[name] = bind.effective_value
        return values

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
        self._keep_apart(optional)
        text: str = super().visit_join(join, **options)  # type: ignore[misc]  # likewise
        return text

    def _keep_apart(self, parts: Any) -> None:
        self._apart |= {id(leaf) for part in parts for leaf in _leaves(part, always=False)}

    def update_from_clause(
        self, statement: Any, table: Any, extra: Any, *rest: Any, **kw: Any
    ) -> str:
        self._keep_apart(extra)
        text: str = super().update_from_clause(statement, table, extra, *rest, **kw)  # type: ignore[misc]  # likewise
        return text

    def delete_extra_from_clause(
        self, statement: Any, table: Any, extra: Any, *rest: Any, **kw: Any
    ) -> str:
        self._keep_apart(extra)
        text: str = super().delete_extra_from_clause(statement, table, extra, *rest, **kw)  # type: ignore[misc]  # likewise
        return text

    def visit_table(
        self,
        table: Any,
        asfrom: bool = False,  # noqa: FBT001, FBT002 - SQLAlchemy's own signature
        iscrud: bool = False,  # noqa: FBT001, FBT002 - likewise
        enclosing_alias: Any = None,
        **options: Any,
    ) -> str:
        self.rules.scope(table)  # refuses strangers
        text: str = super().visit_table(  # type: ignore[misc]  # of the dialect's compiler
            table, asfrom=asfrom, iscrud=iscrud, enclosing_alias=enclosing_alias, **options
        )
        alias = enclosing_alias
        named = alias is not None and _table_of(alias) is not None
        if not asfrom or iscrud or id(alias if named else table) not in self._apart:
            return text
        return self._filtered(table, text, named=named)

    def _filtered(self, table: sa.Table, text: str, *, named: bool) -> str:
        """Return a table that is filtered before it is joined."""
        found = self.rules.conditions(table, table.c)
        if not found:
            return text
        if table.schema:
            raise UnscopedStatementError(
                problem=f"a join of {table.fullname!r}, which is in a schema, cannot be "
                "kept to what may be seen."
            )
        condition = self.process(sa.and_(*found))
        inner = f"(SELECT * FROM {text} WHERE {condition})"
        return inner if named else f"{inner} AS {self.preparer.quote(table.name)}"

    def _owned(self, statement: Any, verb: str) -> Any:
        """Return an UPDATE or DELETE that touches the tenant's records alone."""
        table = _table_of(statement.table)
        if table is None:
            return statement
        self._refuse_change(table, verb)
        owner = self.rules.owner(table, statement.table.c)
        return statement if owner is None else statement.where(owner)

    def visit_update(self, update_stmt: Any, *args: Any, **options: Any) -> str:
        self._refuse_move(update_stmt)
        text: str = super().visit_update(self._owned(update_stmt, "update"), *args, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_delete(self, delete_stmt: Any, *args: Any, **options: Any) -> str:
        text: str = super().visit_delete(self._owned(delete_stmt, "delete"), *args, **options)  # type: ignore[misc]  # likewise
        return text

    def visit_insert(self, insert_stmt: Any, *args: Any, **options: Any) -> str:
        table = _table_of(insert_stmt.table)
        if table is not None and self.rules.owner(table, table.c) is not None:
            self._refuse_unchecked(insert_stmt, table, "visiting_cte" in options)
            self._refuse_replacing(insert_stmt, table)
        text: str = super().visit_insert(insert_stmt, *args, **options)  # type: ignore[misc]  # likewise
        return text

    def _refuse_unchecked(self, insert: Any, table: Any, within: bool) -> None:  # noqa: FBT001 - one call
        """Refuse an INSERT whose owners are not among its parameters, where they are checked."""
        if insert.select is not None or within:
            form = "within WITH" if within else "… SELECT"
            raise UnscopedStatementError(
                problem=f"INSERT {form} cannot tell whose records of {table.fullname!r} it makes."
            )
        scope = self.rules.scope(table)
        if scope is None or scope.tenant is None:
            return
        given = _given_values(insert, table, scope.tenant.names)
        if not all(map(_is_plain, given)):
            raise UnscopedStatementError(
                problem=f"{scope.tenant.name!r} of a new record of {table.fullname!r} is an "
                "expression."
            )

    def visit_on_conflict_do_update(self, on_conflict: Any, **options: Any) -> str:
        table = self.stack[-1]["selectable"].table
        self._refuse_change(table, "update")
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

    def _refuse_change(self, table: Any, verb: str) -> None:
        scope = self.rules.scope(table)
        if scope is not None:
            scope.refuse_append_only(verb)

    def _refuse_move(self, statement: Any) -> None:
        table = _table_of(statement.table)
        if table is None or self.rules.owner(table, table.c) is None:
            return
        given = [*(statement._values or ()), *(self.column_keys or ())]  # noqa: SLF001 - shown nowhere else
        self._refuse_names(table, {getattr(key, "key", key) for key in given})
        self._refuse_replacing(statement, table)

    def _refuse_names(self, table: Any, names: set[Any]) -> None:
        scope = self.rules.scope(table)
        if scope is None or scope.tenant is None:
            return
        if scope.tenant.names & names:
            raise UnscopedStatementError(
                problem=f"an UPDATE of {table.fullname!r} cannot change {scope.tenant.name!r}."
            )
        key = getattr(table.autoincrement_column, "key", None)
        if key in names:
            raise UnscopedStatementError(
                problem=f"an UPDATE of {table.fullname!r} cannot change {key!r}, which the "
                "database generates: conflicts would tell of other tenants."
            )

    def _refuse_replacing(self, statement: Any, table: Any) -> None:
        """Refuse OR REPLACE, which removes whatever record is in the way."""
        prefixes = " ".join(str(text) for text, _ in statement._prefixes)  # noqa: SLF001 - shown nowhere else
        if re.search(r"\breplace\b", prefixes, re.IGNORECASE):
            raise UnscopedStatementError(
                problem=f"OR REPLACE may remove other tenants' records of {table.fullname!r}; "
                "insert() of the dialect has on_conflict_do_update()."
            )

    def visit_textclause(self, textclause: Any, *args: Any, **options: Any) -> str:
        self.rules.refuse_text(textclause.text)
        text: str = super().visit_textclause(textclause, *args, **options)  # type: ignore[misc]  # likewise
        return text

    def escape_literal_column(self, text: str) -> str:
        self.rules.refuse_text(text)  # of a literal column, or of an operator
        escaped: str = super().escape_literal_column(text)  # type: ignore[misc]  # likewise
        return escaped

    def get_statement_hint_text(self, hint_texts: Any) -> str:
        self.rules.refuse_text(" ".join(hint_texts))
        text: str = super().get_statement_hint_text(hint_texts)  # type: ignore[misc]  # likewise
        return text

    def visit_extract(self, extract: Any, **options: Any) -> str:
        self.rules.refuse_text(extract.field)
        text: str = super().visit_extract(extract, **options)  # type: ignore[misc]  # likewise
        return text
