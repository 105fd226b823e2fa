"""Values in a pipeline: an SQL expression and the kind of what it yields."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.models.columntypes import EnumValue, JsonValue
from dataflow.models.spec import FieldSpec
from dataflow.query.call import Call, uses_of
from dataflow.query.foreignenums import as_values
from dataflow.query.foreignjson import as_document
from dataflow.query.kinds import (
    ANY,
    BOOL,
    DECIMAL,
    FLOAT,
    INSTANT,
    INT,
    NULL,
    NUMBER,
    NUMBERS,
    TEXT,
    Array,
    Document,
    Json,
    Kind,
    Scalar,
    kind_of,
)

__all__ = [
    "Term", "alike", "as_json", "bound", "call", "cast_number", "column_term", "compared",
    "document", "folded", "get_path", "leaves", "literal", "number_of", "rebuilt", "text_of",
    "truth", "typed_null", "unified", "unpacked",
]  # fmt: skip

JSON_TYPE = JsonValue()
_PARTS_AT_ONCE = 40


@dataclass(frozen=True, slots=True)
class Term:
    """One value per row.

    Attributes:
        sql: The expression; None for an object, whose parts are terms.
        parts: The parts of an object whose keys are known, in order.
        weight: How many calls the database may evaluate for it.
        nullable: Whether it may be null or missing.
    """

    kind: Kind
    sql: Any = None
    parts: Mapping[str, Term] = field(default_factory=dict)
    weight: int = 1
    nullable: bool = True

    @property
    def is_document(self) -> bool:
        """Whether it is an object in columns of its own."""
        return self.sql is None

    @property
    def family(self) -> str | None:
        """The family of a scalar, or None."""
        return self.kind.family if isinstance(self.kind, Scalar) else None

    @property
    def is_number(self) -> bool:
        """Whether it is a number on every row, or null."""
        return self.family in NUMBERS


def column_term(spec: FieldSpec) -> Term:
    """Return the value of a column."""
    values = as_values(spec.column)
    if values is not None:
        return Term(kind_of(values.type, spec.declared), values, nullable=spec.nullable)
    if isinstance(spec.column.type, sa.ARRAY):
        listed = sa.type_coerce(sa.func.to_jsonb(spec.column), JSON_TYPE)
        return Term(Array(kind_of(spec.column.type.item_type, Any)), listed, nullable=spec.nullable)
    kind = kind_of(spec.column.type, spec.declared)
    nullable = spec.nullable or isinstance(spec.column.type, sa.JSON)
    return Term(kind, as_document(spec.column), nullable=nullable)


def bound(value: Any, type_: TypeEngine[Any]) -> sa.BindParameter[Any]:
    """Return a constant as a parameter."""
    return sa.bindparam(None, value, type_=type_, unique=True)


def call(name: str, *args: Any, kind: Kind = ANY) -> Term:
    """Return the result of a call on terms or SQL expressions."""
    weight = 1 + sum(
        arg.weight * uses_of(name, number)
        for number, arg in enumerate(args)
        if isinstance(arg, Term)
    )
    sql = [arg.sql if isinstance(arg, Term) else arg for arg in args]
    type_ = kind.type if isinstance(kind, Scalar) else JSON_TYPE
    return Term(kind, Call(name, *sql, type_=type_), weight=weight)


def document(parts: Mapping[str, Term]) -> Term:
    """Return an object made of terms."""
    kind = Document({name: part.kind for name, part in parts.items()})
    return Term(kind, None, dict(parts), 1 + sum(part.weight for part in parts.values()))


_LITERALS: list[tuple[type, Scalar]] = [
    (bool, BOOL),
    (int, INT),
    (float, FLOAT),
    (Decimal, DECIMAL),
    (str, TEXT),
    (dt.datetime, INSTANT),
    (dt.date, Scalar("date", sa.Date(), dt.date)),
    (uuid.UUID, Scalar("uuid", sa.Uuid(), uuid.UUID)),
]


def literal(value: Any) -> Term:
    """Return a constant; lists and dicts become JSON."""
    if value is None:
        return Term(NULL, sa.null())
    for type_, kind in _LITERALS:
        if isinstance(value, type_):
            # PostgreSQL must be told the type where nothing around it does.
            return call("typed", bound(value, kind.type), kind.type, kind=kind)
    return call("json literal", bound(json.dumps(value, allow_nan=False), sa.Text()))


def typed_null(kind: Scalar) -> Term:
    """Return null where a value of a kind is expected; PostgreSQL may not guess which."""
    return call("typed", sa.null(), kind.type, kind=kind)


def leaves(term: Term) -> Iterator[Term]:
    """Yield the terms that are columns."""
    if not term.is_document:
        yield term
    for part in term.parts.values():
        yield from leaves(part)


def rebuilt(term: Term, columns: Iterator[Any], *, light: bool = False) -> Term:
    """Return the term with its leaves read from columns, in the order of `leaves`.

    Args:
        term: A term.
        columns: One per leaf.
        light: Whether the columns are computed once, however often they are used.
    """
    weight = 1 if light else term.weight
    if not term.is_document:
        return replace(term, sql=next(columns), weight=weight)
    parts = {name: rebuilt(part, columns, light=light) for name, part in term.parts.items()}
    return replace(term, parts=parts, weight=weight)


# ------------------------------------------------------------------------ JSON


def as_json(term: Term, *, exact: bool = True) -> Term:
    """Return a term as JSON, with null for null; a missing value stays missing.

    Args:
        term: Any value.
        exact: Keep Decimals as text, to be read back by kind; else as JSON numbers.
    """
    if term.is_document:
        return _object(term, exact=exact)
    kind = term.kind
    if isinstance(kind, Json) and kind.declared is not None:
        return replace(call("json column", term), kind=kind)
    if not isinstance(kind, Scalar):
        return term
    name = {"date": "text", "time": "text"}.get(kind.family, kind.family)
    if kind.family == "decimal" and not exact:
        return replace(call("json number of decimal", term), kind=ANY)
    made = call(f"json of {name}", term)
    return replace(made, kind=kind if exact else ANY)


def _object(term: Term, *, exact: bool) -> Term:
    fixed: list[Any] = []
    found: list[Term] = []
    for name, part in term.parts.items():
        value, key = as_json(part, exact=exact), bound(name, sa.Text())
        if _may_be_missing(part):
            found.append(call("object part", key, value))  # leaves no key where it is missing
            continue
        fixed += [key, value]
        if len(fixed) == 2 * _PARTS_AT_ONCE:
            found.append(call("object", *fixed))
            fixed = []
    if fixed or not found:
        found.append(call("object", *fixed) if fixed else call("object empty"))
    return replace(folded("object join", found, ANY), kind=term.kind if exact else ANY)


def _may_be_missing(part: Term) -> bool:
    whole_column = isinstance(part.kind, Json) and part.kind.declared is not None
    return not (isinstance(part.kind, Scalar) or part.is_document or whole_column)


def folded(name: str, terms: list[Term], kind: Kind) -> Term:
    """Join terms two by two, so that calls do not nest deeper than they must."""
    while len(terms) > 1:
        pairs = [terms[n : n + 2] for n in range(0, len(terms), 2)]
        terms = [call(name, *pair, kind=kind) if len(pair) == 2 else pair[0] for pair in pairs]
    return terms[0]


def unpacked(value: Term, kind: Kind) -> Term:
    """Return the term of a kind that is encoded in JSON, as `as_json` did it."""
    if isinstance(kind, Document):
        parts = {
            name: unpacked(call("json get", value, bound(name, sa.Text())), part)
            for name, part in kind.fields.items()
        }
        return document(parts)
    if not isinstance(kind, Scalar):
        return replace(value, kind=ANY if isinstance(kind, Json) else kind)
    if kind.family in ("bytes", "duration", "instant", "uuid"):
        return call(f"{kind.family} of json", value, kind=kind)
    return call("typed", call("scalar of json", value, kind=kind), kind.type, kind=kind)


def get_path(term: Term, path: tuple[str, ...]) -> Term:
    """Return what a path leads to inside JSON; going into arrays yields an array."""
    first, *rest = path
    value = call("json get", as_json(term, exact=False), bound(first, sa.Text()))
    for key in rest:
        value = call("json step", value, bound(key, sa.Text()))
    return value


# ----------------------------------------------------------------- conversions


def number_of(term: Term) -> Term | None:
    """Return a term as a number; JSON that holds none is null. None: it never is one."""
    if isinstance(term.kind, Scalar) and isinstance(term.kind.type, EnumValue) and term.is_number:
        return replace(term, kind=INT, sql=sa.type_coerce(term.sql, INT.type))
    if term.is_number or term.family == "null":
        return term
    if isinstance(term.kind, Json):
        return call("number of json", as_json(term), kind=NUMBER)
    return None


def cast_number(term: Term, family: str) -> Term:
    """Return a number in a wider family."""
    if term.family in (family, "null"):
        return term
    kinds = {"int": INT, "float": FLOAT, "decimal": DECIMAL, "number": NUMBER}
    return call(f"{family} of {term.family}", term, kind=kinds[family])


def text_of(term: Term) -> Term | None:
    """Return a term as text; JSON that holds none is null. None: it never is text."""
    if term.family in ("text", "null"):
        return term
    if isinstance(term.kind, Json):
        return call("text of json", as_json(term), kind=TEXT)
    return None


def truth(term: Term) -> Term:
    """Return whether a value counts as true: not null, missing, false or zero."""
    if term.is_document or isinstance(term.kind, Array):
        return Term(BOOL, sa.true())
    if isinstance(term.kind, Json):
        return call("json truth", as_json(term), kind=BOOL)
    if term.family == "bool":
        return Term(BOOL, sa.func.coalesce(term.sql, sa.false()), weight=term.weight)
    if term.is_number:
        zero = cast_number(literal(0), str(term.family)).sql
        test = _test("!=", term.sql, zero, decimal=term.family == "decimal")
        return Term(BOOL, sa.and_(term.sql.is_not(None), test), weight=term.weight)
    return Term(BOOL, term.sql.is_not(None), weight=term.weight)


def unified(terms: list[Term]) -> list[Term]:
    """Return terms in one kind: the widest number, the common type, else JSON."""
    real = [term for term in terms if term.family != "null"]
    if all(term.is_number for term in real):
        families = [NUMBERS.index(str(term.family)) for term in real] or [0]
        return [cast_number(term, NUMBERS[max(families)]) for term in terms]
    families_of = {term.family for term in real}
    if len(families_of) == 1 and None not in families_of:
        return terms
    return [as_json(term, exact=False) for term in terms]


_KINDS = {scalar.family: scalar for scalar in (BOOL, INT, FLOAT, DECIMAL, NUMBER, TEXT, INSTANT)}


def alike(terms: list[Term]) -> list[Term]:
    """Return values of one kind, one of which is the result; null takes the others' kind."""
    packed = _packed_kind([term.kind for term in terms if term.family != "null"])
    terms = unified(terms)
    if isinstance(packed, Json):
        return [replace(call("json or null", term), kind=packed) for term in terms]
    if packed is not None:
        return [replace(term, kind=packed) for term in terms]
    kinds = [term.kind for term in terms if term.family != "null"]
    terms = [Term(NULL, sa.null()) if term.family == "null" else term for term in terms]
    if not kinds:
        return terms
    kind, *others = kinds
    if any(_declared(other) != _declared(kind) for other in others):
        kind = _KINDS.get(kind.family, kind) if isinstance(kind, Scalar) else ANY
    if not isinstance(kind, Scalar):
        return [replace(term, kind=kind) for term in terms]
    return [replace(term, kind=kind, sql=sa.type_coerce(term.sql, kind.type)) for term in terms]


def _packed_kind(kinds: list[Kind]) -> Kind | None:
    """Return the kind that all JSON has whose kind is known; None if there is no such one."""
    known = [kind for kind in kinds if kind != ANY]
    if not known or any(isinstance(kind, Scalar) for kind in kinds):
        return None
    return known[0] if all(_declared(kind) == _declared(known[0]) for kind in known) else None


def _declared(kind: Kind) -> Any:
    """Return what tells kinds apart that are read in different ways."""
    if isinstance(kind, Json):
        return None if kind.declared is None else kind.declared.annotation
    return kind.declared if isinstance(kind, Scalar) else kind


# ------------------------------------------------------------------ comparison


def _test(operator: str, x: Any, y: Any, *, decimal: bool) -> Any:
    """Return a comparison; `==` and `!=` know null."""
    if decimal:
        return Call(f"decimal {operator}", x, y, type_=BOOL.type)
    tests: dict[str, Callable[[], Any]] = {
        "==": lambda: x.is_not_distinct_from(y),
        "!=": lambda: x.is_distinct_from(y),
        "<": lambda: x < y,
        "<=": lambda: x <= y,
        ">": lambda: x > y,
        ">=": lambda: x >= y,
    }
    return tests[operator]()


def compared(operator: str, left: Term, right: Term) -> Term:
    """Return the truth of `==`, `!=`, `<`, `<=`, `>` or `>=`; null is below every value.

    Values of different types compare by MongoDB's order of types.
    """
    a, b = unified([left, right])
    weight = a.weight + b.weight + 1
    if a.family is None:
        return _json_compared(operator, a, b)
    x, y = a.sql, b.sql
    nulls = {
        "<": sa.and_(x.is_(None), y.is_not(None)),
        "<=": x.is_(None),
        ">": sa.and_(x.is_not(None), y.is_(None)),
        ">=": y.is_(None),
    }.get(operator)
    if "null" in (a.family, b.family) and nulls is not None:
        return Term(BOOL, nulls, weight=weight)
    plain = _test(operator, x, y, decimal="decimal" in (a.family, b.family))
    if nulls is None:
        return Term(BOOL, plain, weight=weight)
    return Term(BOOL, sa.func.coalesce(plain, nulls), weight=weight)


def _json_compared(operator: str, a: Term, b: Term) -> Term:
    ranks = [call("json rank", term, kind=INT) for term in (a, b)]
    order = call("json compare", a, b, *ranks, kind=INT).sql
    test = {
        "==": order == 0, "!=": order != 0, "<": order < 0,
        "<=": order <= 0, ">": order > 0, ">=": order >= 0,
    }[operator]  # fmt: skip
    return Term(BOOL, test, weight=4 * (a.weight + b.weight))
