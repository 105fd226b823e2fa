"""MongoDB's expressions: what `$project`, `$addFields`, `$group` and `$match`'s `$expr` compute."""

from __future__ import annotations

import datetime as dt
import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import sqlalchemy as sa

from dataflow.errors import FilterError, UnknownFieldError, did_you_mean, shown
from dataflow.query.dates import instant_of, is_date
from dataflow.query.kinds import (
    ANY,
    BOOL,
    FLOAT,
    INSTANT,
    INT,
    NUMBER,
    NUMBERS,
    TEXT,
    Array,
    Document,
    Json,
)
from dataflow.query.terms import (
    Term,
    alike,
    as_json,
    bound,
    call,
    cast_number,
    compared,
    document,
    folded,
    get_path,
    literal,
    number_of,
    text_of,
    truth,
    typed_null,
    unpacked,
)

__all__ = ["EXPRESSIONS", "Expressions"]

MAX_DEPTH = 32
MAX_OPERANDS = 100
MAX_PARTS = 16
MAX_WEIGHT = 20_000
Rule = Callable[["Expressions", str, Any, int], Term]


class Expressions:
    """Compiles expressions over the fields of one stage."""

    def __init__(
        self, fields: Mapping[str, Term], at: str | None = None, model: str = "the stage"
    ) -> None:
        """Read fields from terms by name; errors name the model."""
        self.fields = fields
        self.at = at
        self.model = model

    def refuse(self, problem: str, advise: str | None = None) -> NoReturn:
        """Raise the error for a malformed expression."""
        raise FilterError(problem=problem, advise=advise, at=self.at)

    def compile(self, expression: Any, depth: int = 1) -> Term:
        """Return the term of an expression.

        Raises:
            FilterError: For an unknown operator or field, operands of a wrong type, more
                than 32 levels, or an expression that grows too large.
        """
        if depth > MAX_DEPTH:
            self.refuse(f"an expression is nested deeper than {MAX_DEPTH}.")
        term = self._compile(expression, depth)
        if term.weight > MAX_WEIGHT:
            self.refuse("an expression is too large; it repeats its own parts.")
        return term

    def _compile(self, expression: Any, depth: int) -> Term:
        if isinstance(expression, str) and expression.startswith("$"):
            return self.path(expression)
        if is_date(expression):
            return literal(instant_of(expression, self.at))
        if isinstance(expression, Mapping):
            return self._mapping(expression, depth)
        if isinstance(expression, list | tuple):
            if len(expression) > MAX_OPERANDS:
                self.refuse(f"a list in an expression has at most {MAX_OPERANDS} items.")
            items = [as_json(self.compile(item, depth + 1), exact=False) for item in expression]
            return call("array", *items) if items else call("json empty array")
        return self._literal(expression)

    def _literal(self, value: Any) -> Term:
        try:
            check_literal(value)
            return literal(value)
        except (TypeError, ValueError, RecursionError):
            self.refuse(f"an expression cannot be {shown(value)}.")

    def _mapping(self, expression: Mapping[str, Any], depth: int) -> Term:
        if not any(str(key).startswith("$") for key in expression):
            parts = {str(key): self.compile(item, depth + 1) for key, item in expression.items()}
            return document(parts)
        if len(expression) != 1:
            self.refuse(f"an expression has one operator, not {sorted(map(str, expression))}.")
        operator, operand = next(iter(expression.items()))
        rule = EXPRESSIONS.get(operator)
        if rule is None:
            known = did_you_mean(str(operator), EXPRESSIONS)
            self.refuse(f"there is no operator {operator!r} for expressions.", known)
        return rule(self, operator, operand, depth)

    # ------------------------------------------------------------------ fields

    def path(self, text: str) -> Term:
        """Return the term of `"$field"`, `"$field.key"`, `"$$ROOT"` or `"$$NOW"`."""
        if text.startswith("$$"):
            return self._variable(text)
        return self.field(text[1:])

    def _variable(self, text: str) -> Term:
        name, _, rest = text[2:].partition(".")
        if name == "NOW" and not rest:
            return literal(dt.datetime.now(dt.UTC))
        if name not in ("ROOT", "CURRENT"):
            self.refuse(f"there is no variable {text!r}.", did_you_mean(name, ("ROOT", "NOW")))
        if rest:
            return self.field(rest)
        return document({name: term for name, term in self.fields.items() if name[:1] != "\0"})

    def field(self, path: str) -> Term:
        """Return the term of a dotted path."""
        head, *rest = path.split(".")
        if len(rest) >= MAX_PARTS:
            self.refuse(f"a path has at most {MAX_PARTS} parts.")
        term = self.fields.get(head)
        if term is None:
            raise UnknownFieldError(
                name=head, model=self.model, known=tuple(self.fields), at=self.at
            )
        while rest and term.is_document:
            found = term.parts.get(rest[0])
            if found is None:
                self.refuse(f"there is no field {path!r} at this stage.",
                            did_you_mean(rest[0], term.parts))  # fmt: skip
            term, rest = found, rest[1:]
        return self._inside(term, tuple(rest), path) if rest else term

    def _inside(self, term: Term, rest: tuple[str, ...], path: str) -> Term:
        if not all(rest) or any(mark in part for part in rest for mark in '"\\\0'):
            self.refuse(f"the path {path!r} has an empty part, or one with quotes.")
        if isinstance(term.kind, Document):
            return self._packed(term, rest, path)
        if isinstance(term.kind, Array) and isinstance(term.kind.item, Document):
            return self._parts_of_items(term, rest, path)
        if not isinstance(term.kind, Json | Array):
            self.refuse(f"{path!r} names nothing: what it begins with holds no JSON.")
        return get_path(term, rest)

    def _parts_of_items(self, term: Term, rest: tuple[str, ...], path: str) -> Term:
        """Return the list of a part of each object in a list, in its own kind."""
        kind: Any = term.kind.item  # type: ignore[union-attr]  # a list of objects
        found = term
        for number, key in enumerate(rest):
            if not isinstance(kind, Document):
                return get_path(Term(ANY, found.sql, weight=found.weight), rest[number:])
            if key not in kind.fields:
                self.refuse(f"there is no field {path!r} at this stage.")
            kind = kind.fields[key]
            found = call("json step" if number else "json get", found, bound(key, sa.Text()))
        return Term(Array(kind), found.sql, weight=found.weight)

    def _packed(self, term: Term, rest: tuple[str, ...], path: str) -> Term:
        """Go into an object that is encoded in JSON with known keys."""
        found = unpacked(term, term.kind).parts.get(rest[0])
        if found is None:
            self.refuse(f"there is no field {path!r} at this stage.")
        return self._inside(found, rest[1:], path) if rest[1:] else found

    # ---------------------------------------------------------------- operands

    def operands(self, operator: str, operand: Any, depth: int, count: int | None) -> list[Term]:
        """Return the terms of an operator's list; one operand may stand alone."""
        items = list(operand) if isinstance(operand, list | tuple) else [operand]
        if len(items) > MAX_OPERANDS:
            self.refuse(f"{operator} takes at most {MAX_OPERANDS} operands, not {len(items)}.")
        if count is not None and len(items) != count:
            self.refuse(f"{operator} takes {count} operand(s), not {len(items)}.")
        if not items:
            self.refuse(f"{operator} takes at least one operand.")
        return [self.compile(item, depth + 1) for item in items]

    def numbers(self, operator: str, operand: Any, depth: int, count: int | None) -> list[Term]:
        """Return an operator's operands as numbers."""
        terms = self.operands(operator, operand, depth, count)
        numbers = [self._as(number_of, "numbers", operator, term) for term in terms]
        return [typed_null(INT) if term.family == "null" else term for term in numbers]

    def texts(self, operator: str, operand: Any, depth: int, count: int | None) -> list[Term]:
        """Return an operator's operands as texts."""
        terms = self.operands(operator, operand, depth, count)
        texts = [self._as(text_of, "text", operator, term) for term in terms]
        return [typed_null(TEXT) if term.family == "null" else term for term in texts]

    def _as(
        self, convert: Callable[[Term], Term | None], wanted: str, operator: str, term: Term
    ) -> Term:
        found = convert(term)
        if found is None:
            self.refuse(f"{operator} takes {wanted}, not {term.kind.name}.")
        return found

    def instant(self, operator: str, operand: Any, depth: int) -> Term:
        """Return an operator's only operand as an instant."""
        (term,) = self.operands(operator, operand, depth, 1)
        if term.family == "date":
            return call("instant of date", term, kind=INSTANT)
        if term.family not in ("instant", "null"):
            self.refuse(f"{operator} takes a date or an instant, not {term.kind.name}.")
        return typed_null(INSTANT) if term.family == "null" else term

    def options(
        self, operator: str, operand: Any, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> Mapping[str, Any]:
        """Return an operator's named operands, checked."""
        known = (*required, *optional)
        if not isinstance(operand, Mapping) or not set(required) <= set(operand) <= set(known):
            self.refuse(f"{operator} takes a dict of {', '.join(known)}.")
        return operand


def check_literal(value: Any) -> None:
    """Refuse constants that not every database can hold.

    Raises:
        ValueError: For NaN, infinities, U+0000, lone surrogates and integers above 64 bits.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if isinstance(value, str) and ("\0" in value or not value.isascii()):
        value.encode()
        if "\0" in value:
            raise ValueError
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise ValueError


# ------------------------------------------------------------------------ rules


def _sum_family(terms: list[Term]) -> str:
    families = [NUMBERS.index(str(term.family)) for term in terms if term.family != "null"]
    return NUMBERS[max(families, default=0)]


def _folded(name: str) -> Rule:
    """Return the rule of an operator that joins any number of numbers."""

    def rule(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
        terms = scope.numbers(operator, operand, depth, 2 if name == "subtract" else None)
        family = _sum_family(terms)
        numbers = [cast_number(term, family) for term in terms]
        kind = next((term.kind for term in numbers if term.family != "null"), numbers[0].kind)
        if len(numbers) > 1 and family == "int":
            kind = INT  # which notices where SQLite went on with a float
        return folded(f"decimal {name}" if family == "decimal" else name, numbers, kind)

    return rule


def _divide(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    terms = scope.numbers(operator, operand, depth, 2)
    family = "decimal" if _sum_family(terms) == "decimal" else "float"
    a, b = (cast_number(term, family) for term in terms)
    return call("decimal divide" if family == "decimal" else "divide", a, b, kind=a.kind)


def _mod(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    terms = scope.numbers(operator, operand, depth, 2)
    family = _sum_family(terms)
    a, b = (cast_number(term, family) for term in terms)
    names = {"decimal": "decimal mod", "int": "int mod"}
    found = call(names.get(family, "mod"), a, b, kind=NUMBER if family == "float" else a.kind)
    return call("float of number", found, kind=FLOAT) if family == "float" else found


def _abs(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    (term,) = scope.numbers(operator, operand, depth, 1)
    return call("decimal abs" if term.family == "decimal" else "abs", term, kind=term.kind)


def _round(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    given = operand if isinstance(operand, list | tuple) else [operand]
    places = given[1] if len(given) == 2 else 0
    if not isinstance(places, int) or isinstance(places, bool) or not -20 <= places <= 100:
        scope.refuse(f"{operator} takes a number and its places, a whole number from -20 to 100.")
    (term,) = scope.numbers(operator, given[:1], depth, 1)
    rounded = call("decimal round", cast_number(term, "decimal"), bound(places, sa.Integer()))
    if term.family == "decimal":
        return Term(term.kind, rounded.sql, weight=rounded.weight)
    back = call("float of decimal", rounded, kind=FLOAT)
    return call("int of float", back, kind=INT) if term.family == "int" else back


def _concat(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    return folded("concat", scope.texts(operator, operand, depth, None), TEXT)


def _case(name: str) -> Rule:
    def rule(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
        (text,) = scope.texts(operator, operand, depth, 1)
        made = call(name, text, kind=TEXT)
        return Term(TEXT, sa.func.coalesce(made.sql, sa.literal("")), weight=made.weight)

    return rule


def _substr(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    given = operand if isinstance(operand, list | tuple) else []
    numbers = given[1:]
    if len(given) != 3 or not all(type(item) is int for item in numbers) or numbers[0] < 0:
        scope.refuse(f"{operator} takes [text, start from 0, length], the length -1 for the rest.")
    (text,) = scope.texts(operator, given[:1], depth, 1)
    start, length = (bound(item, sa.Integer()) for item in numbers)
    part = call("substr", text, start, length, kind=TEXT)
    return Term(TEXT, sa.func.coalesce(part.sql, sa.literal("")), weight=part.weight)


_NEVER_TEXT = {"instant", "date", "time", "duration", "uuid", "bytes"}


def _comparison(symbol: str) -> Rule:
    def rule(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
        a, b = scope.operands(operator, operand, depth, 2)
        if "text" in (a.family, b.family) and {a.family, b.family} & _NEVER_TEXT:
            problem = f"{operator} compares {a.kind.name} with {b.kind.name}, which is never equal."
            scope.refuse(problem, 'give dates as {"$date": "2024-01-31"}, or as Python values')
        return compared(symbol, a, b)

    return rule


def _logic(join: Callable[..., Any]) -> Rule:
    def rule(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
        terms = [truth(term) for term in scope.operands(operator, operand, depth, None)]
        weight = sum(term.weight for term in terms)
        return Term(BOOL, join(*(term.sql for term in terms)), weight=weight)

    return rule


def _not(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    (term,) = scope.operands(operator, operand, depth, 1)
    test = truth(term)
    return Term(BOOL, sa.not_(test.sql), weight=test.weight)


def _choice(tests: list[Term], values: list[Term]) -> Term:
    """Return CASE: the value of the first test that is true, else the last value."""
    *found, other = alike(values)
    pairs = [(test.sql, value.sql) for test, value in zip(tests, found, strict=True)]
    weight = sum(term.weight for term in (*tests, *values))
    return Term(other.kind, sa.case(*pairs, else_=other.sql), weight=weight)


def _cond(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    if isinstance(operand, Mapping):
        named = scope.options(operator, operand, ("if", "then", "else"), ())
        operand = [named["if"], named["then"], named["else"]]
    test, then, other = scope.operands(operator, operand, depth, 3)
    return _choice([truth(test)], [then, other])


def _switch(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    named = scope.options(operator, operand, ("branches", "default"), ())
    branches = named["branches"]
    if not isinstance(branches, list | tuple) or not branches:
        scope.refuse(f"{operator} takes a non-empty list of branches.")
    tests, values = [], []
    for branch in branches:
        pair = scope.options(f"a branch of {operator}", branch, ("case", "then"), ())
        tests.append(truth(scope.compile(pair["case"], depth + 1)))
        values.append(scope.compile(pair["then"], depth + 1))
    return _choice(tests, [*values, scope.compile(named["default"], depth + 1)])


def _if_null(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    terms = scope.operands(operator, operand, depth, None)
    if len(terms) < 2:
        scope.refuse(f"{operator} takes a value and what stands for null.")
    terms = alike(terms)
    parts = [term.sql if term.family else call("json or null", term).sql for term in terms[:-1]]
    weight = sum(term.weight for term in terms)
    return Term(terms[-1].kind, sa.func.coalesce(*parts, terms[-1].sql), weight=weight)


def _date_part(name: str) -> Rule:
    def rule(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
        return call(name, scope.instant(operator, operand, depth), kind=INT)

    return rule


_WEEKDAYS = ("monday", "sunday", "saturday", "friday", "thursday", "wednesday", "tuesday")
_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


def _date_trunc(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    named = scope.options(operator, operand, ("date", "unit"), ("timezone", "startOfWeek"))
    instant, unit = scope.instant(operator, named["date"], depth), named["unit"]
    if unit not in _UNITS:
        scope.refuse(f"{operator} has no unit {unit!r}.", did_you_mean(str(unit), _UNITS))
    zone = bound(_zone(scope, operator, named.get("timezone", "UTC")), sa.Text())
    if unit != "week":
        return call("truncate", bound(unit, sa.Text()), instant, zone, kind=INSTANT)
    day = str(named.get("startOfWeek", "sunday")).casefold()
    if day not in _WEEKDAYS:
        scope.refuse(f"{operator} cannot start weeks with {day!r}.", did_you_mean(day, _WEEKDAYS))
    shift = bound(_WEEKDAYS.index(day), sa.Integer())
    return call("truncate week", instant, zone, shift, kind=INSTANT)


def _zone(scope: Expressions, operator: str, name: Any) -> str:
    # Loaded where a zone is named: few programs name one, and all would wait for it.
    zones = importlib.import_module("zoneinfo").available_timezones()
    if not isinstance(name, str) or name not in zones:
        scope.refuse(f"{operator} knows no timezone {name!r}; use a name such as Europe/Paris.")
    return name


def _size(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    (term,) = scope.operands(operator, operand, depth, 1)
    if not isinstance(term.kind, Json | Array):
        scope.refuse(f"{operator} takes a list, not {term.kind.name}.")
    return call("json size", as_json(term), kind=INT)


def _in(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    value, array = scope.operands(operator, operand, depth, 2)
    if not isinstance(array.kind, Json | Array):
        scope.refuse(f"{operator} takes a value and a list, not {array.kind.name}.")
    return call("json contains", as_json(value, exact=False), as_json(array), kind=BOOL)


def _literal_rule(scope: Expressions, operator: str, operand: Any, depth: int) -> Term:
    del operator, depth
    return scope._literal(operand)  # noqa: SLF001 - part of Expressions


EXPRESSIONS: dict[str, Rule] = {
    "$add": _folded("add"),
    "$subtract": _folded("subtract"),
    "$multiply": _folded("multiply"),
    "$divide": _divide,
    "$mod": _mod,
    "$abs": _abs,
    "$round": _round,
    "$concat": _concat,
    "$toUpper": _case("upper"),
    "$toLower": _case("lower"),
    "$substr": _substr,
    "$eq": _comparison("=="),
    "$ne": _comparison("!="),
    "$gt": _comparison(">"),
    "$gte": _comparison(">="),
    "$lt": _comparison("<"),
    "$lte": _comparison("<="),
    "$and": _logic(sa.and_),
    "$or": _logic(sa.or_),
    "$not": _not,
    "$cond": _cond,
    "$switch": _switch,
    "$ifNull": _if_null,
    "$dateTrunc": _date_trunc,
    "$year": _date_part("year"),
    "$month": _date_part("month"),
    "$dayOfMonth": _date_part("day"),
    "$dayOfWeek": _date_part("weekday"),
    "$dayOfYear": _date_part("yearday"),
    "$hour": _date_part("hour"),
    "$minute": _date_part("minute"),
    "$second": _date_part("second"),
    "$size": _size,
    "$in": _in,
    "$literal": _literal_rule,
}
