"""The rows between two stages of a pipeline: where they come from, and their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.errors import FilterError, UnknownFieldError
from dataflow.models.columntypes import JsonValue
from dataflow.models.fields import FieldInfo
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.query.call import Call
from dataflow.query.filters import Validate
from dataflow.query.kinds import INT, Json, PackedJson, Scalar
from dataflow.query.terms import Term, as_json, call, column_term, leaves, rebuilt

__all__ = ["Joined", "Order", "Plan", "Rows", "Table", "order_columns", "rows_of"]


MAX_INLINE_WEIGHT = 100


class Order(NamedTuple):
    """One entry of an order."""

    term: Term
    descending: bool


class Joined(NamedTuple):
    """Rows of another model, which of them belong to a row, and the list that they make."""

    foreign: Any
    test: Any
    made: Term


class Table(NamedTuple):
    """A model that a pipeline reads, with the conditions that its scope adds."""

    spec: ModelSpec
    conditions: list[Any]


@dataclass
class Plan:
    """What the stages of one pipeline share.

    Attributes:
        table_of: Returns the table of a model by class, name or table name.
        validate: Checks values of filters.
        values: Parameters of filters by name, filled while stages are compiled.
        model: Name of the model that the pipeline begins with, for errors.
    """

    table_of: Callable[[Any], Table]
    validate: Callable[[], Validate]
    model: str
    at: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    numbers: Iterable[int] = field(default_factory=count)

    def number(self) -> int:
        """Return a number that nothing else in the statement has."""
        return next(iter(self.numbers))


@dataclass(frozen=True)
class Rows:
    """A SELECT in the making.

    Attributes:
        fields: The document of each row.
        order: The order that was asked for.
        natural: The order of the primary key, where there is one still.
        joins: Lists of other models' records, as joins that may replace them.
    """

    plan: Plan
    source: Any
    fields: Mapping[str, Term]
    where: tuple[Any, ...] = ()
    order: tuple[Order, ...] = ()
    natural: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    group_by: tuple[Any, ...] = ()
    having: Any = None
    joins: Mapping[str, Joined] = field(default_factory=dict)

    # ------------------------------------------------------------------- fields

    @cached_property
    def specs(self) -> dict[str, FieldSpec]:
        """The fields as a filter wants them, parts of objects under dotted names."""
        return dict(self._specs(self.fields, ""))

    def _specs(self, fields: Mapping[str, Term], prefix: str) -> Iterable[tuple[str, FieldSpec]]:
        for name, term in fields.items():
            if term.is_document:
                yield from self._specs(term.parts, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", _spec_of(f"{prefix}{name}", term)

    def field(self, name: str, at: str | None = None) -> FieldSpec:
        """Return a field for filters.

        Raises:
            UnknownFieldError: Naming the nearest one.
        """
        found = self.specs.get(name)
        if found is None:
            raise UnknownFieldError(
                name=name, model=self.plan.model, known=tuple(self.specs), at=at or self.plan.at
            )
        return found

    def refuse(self, problem: str, advise: str | None = None) -> FilterError:
        """Return the error for a malformed stage."""
        return FilterError(problem=problem, advise=advise, at=self.plan.at)

    # ------------------------------------------------------------------- shapes

    def replaced(self, **changes: Any) -> Rows:
        """Return other rows of the same plan."""
        return replace(self, **changes)

    @property
    def is_limited(self) -> bool:
        """Whether what follows must not change which rows these are."""
        return self.limit is not None or bool(self.offset)

    @property
    def position(self) -> tuple[Order, ...]:
        """The order asked for, else the primary key's."""
        return self.order or self.natural

    def select(self, columns: Iterable[Any]) -> Any:
        """Return the SELECT of columns."""
        labelled = [column.label(f"c{n}") for n, column in enumerate(columns)]
        statement = sa.select(*(labelled or [sa.true().label("c0")])).select_from(self.source)
        statement = statement.where(*self.where)
        if self.group_by:
            statement = statement.group_by(*self.group_by)
        if self.having is not None:
            statement = statement.having(self.having)
        if self.is_limited and self.position:
            statement = statement.order_by(*order_columns(self.position))
        return self._limited(statement)

    def _limited(self, statement: Any) -> Any:
        integer = sa.BigInteger()
        if self.limit is not None:
            statement = statement.limit(sa.bindparam(None, self.limit, type_=integer, unique=True))
        if self.offset:
            offset = sa.bindparam(None, self.offset, type_=integer, unique=True)
            statement = statement.offset(offset)
        return statement

    def nested(
        self, extra: Mapping[str, Term] | None = None, *, once: bool = False, named: bool = True
    ) -> Rows:
        """Return the same rows with every field a column of a named subquery.

        Named ones (WITH) stay flat in the text, where nested ones overflow SQLite's parser.

        Args:
            extra: More fields to compute.
            once: Compute fields that are more than columns here, however often they are used.
            named: Whether to name it; what stands in a subquery of each row must not be, because
                PostgreSQL keeps a named one as a table without indexes.
        """
        fields = {**self.fields, **(extra or {})}
        orders = [entry.term for entry in (*self.order, *self.natural)]
        terms = [*fields.values(), *orders]
        flat = [leaf.sql for term in terms for leaf in leaves(term)]
        statement = self.select(flat)
        name = f"s{self.plan.number()}"
        source = statement.cte(name) if named else statement.subquery(name)
        limit = 1 if once else MAX_INLINE_WEIGHT
        if heavy := named and any(term.weight > limit for term in fields.values()):
            # The planner would put the expression in place of each use of its column.
            source = source.prefix_with("MATERIALIZED")
        found = iter(list(source.c))
        moved = {name: rebuilt(term, found, light=heavy) for name, term in fields.items()}
        order = tuple(Order(rebuilt(e.term, found), e.descending) for e in self.order)
        natural = tuple(Order(rebuilt(e.term, found), e.descending) for e in self.natural)
        return Rows(self.plan, source, moved, order=order, natural=natural)

    def free(self) -> Rows:
        """Return rows to which conditions and orders may be added."""
        return self.nested() if self.is_limited or self.group_by else self

    def numbered(self) -> tuple[Rows, Term]:
        """Return the rows with the number of their place in the order."""
        rows = self.free()
        if not rows.position:
            return rows, Term(INT, sa.literal(0, sa.Integer()))
        place = sa.func.row_number().over(order_by=order_columns(rows.position))
        rows = rows.nested({"\0place": Term(INT, place)})
        fields = dict(rows.fields)
        term = fields.pop("\0place")
        return rows.replaced(fields=fields), term


def rows_of(plan: Plan, table: Table) -> Rows:
    """Return all rows of a model."""
    spec = table.spec
    fields = {name: column_term(field) for name, field in spec.fields.items()}
    natural = tuple(Order(fields[name], descending=False) for name in spec.key)
    where = tuple(condition for condition in table.conditions if condition is not None)
    return Rows(plan, spec.table, fields, where=where, natural=natural)


def order_columns(order: Iterable[Order]) -> list[Any]:
    """Return ORDER BY entries; null sorts below every value, JSON by MongoDB's order."""
    entries: list[Any] = []
    for term, descending in order:
        for leaf in leaves(term):
            for column in _sort_keys(leaf):
                entry = column.desc() if descending else column.asc()
                if leaf.nullable:
                    entry = entry.nulls_last() if descending else entry.nulls_first()
                entries.append(entry)
    return entries


def _sort_keys(term: Term) -> list[Any]:
    if isinstance(term.kind, Scalar):
        return [call("decimal key", term).sql if term.family == "decimal" else term.sql]
    value = call("json column", as_json(term))  # what is missing sorts with null
    number, text = (call(name, value).sql for name in ("number of json", "json text key"))
    return [call("json rank", value).sql, number, text, call("json rest", value).sql]


def _spec_of(name: str, term: Term) -> FieldSpec:
    column: Any = term.sql
    declared: Any = Any
    if isinstance(term.kind, Scalar):
        declared = term.kind.declared
        if term.family == "decimal":
            column = Call("decimal key", column, type_=term.kind.type)
        elif column.type is not term.kind.type:
            column = sa.type_coerce(column, term.kind.type)
    elif not (isinstance(term.kind, Json) and term.kind.declared is not None):
        packed = JsonValue() if isinstance(term.kind, Json) else PackedJson(term.kind)
        column = Call("json or null", column, type_=packed)
    return FieldSpec(name, declared, column, FieldInfo(), declared, nullable=True)
