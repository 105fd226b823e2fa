"""Writes the reference page of operators: each with an example and the SQL it becomes.

Run as `make docs-operators`.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import operator_examples as examples
from pages import DOCS
from shortened_sql import condition_of, select_list, shortened

from dataflow import DataFlow

__all__ = ["PAGE", "render"]

PAGE = DOCS / "reference" / "operators.md"
_URLS = {"PostgreSQL": "postgresql://reader@localhost/none", "SQLite": "sqlite:///:memory:"}

HEAD = """\
# Operators

Every operator of filters and pipelines, with an example and the SQL that it becomes. This page is
written by `make docs-operators` from the statements themselves; `db.query(…).sql()` shows whole
ones.

The examples are of two models:

```python
import datetime as dt
from typing import Any

from dataflow import DataFlow

db = DataFlow()

@db.model(timestamps=False)
class Sale:
    city: str | None = None
    amount: int
    placed: dt.datetime
    tags: list[str]
    data: dict[str, Any]

@db.model(timestamps=False)
class City:
    name: str
```

The SQL is shortened: values stand where their parameters are, names have no quotes and no tables,
subqueries that only choose columns are folded into what uses them, and `…` is left out. `place` is
a row's number in the order. Functions that begin with `dataflow_` are the package's own, on SQLite.
"""
ON_COLUMNS = """\
In `db.query("sales").where(…)`, in the `filter` of nodes and verbs, and in `$match`. A field that
is a column of a type takes values of that type. `$ne`, `$nin` and `$not` hold for null. `$size`,
`$all` and `$elemMatch` are refused.

In `$regex`, as in MongoDB, classes know ASCII alone: `\\w` is `[A-Za-z0-9_]`, `\\d` is `[0-9]`,
`\\s` is a space, tab, line feed, form feed or carriage return, `\\b` stands where a run of `\\w`
begins or ends; `\\W`, `\\D`, `\\S` and `\\B` are their opposites. PostgreSQL gets them written out,
so no locale changes them: `ü` is no `\\w`. Write `[^\\s]`, or letters, where others count.
"""
ON_JSON = """\
In the same places, for fields of type `list` and `dict` and the dotted paths inside them. As in
MongoDB, a condition on a list holds if it holds for an element, and numbers in a path are indexes.
"""
JOINED = """\
Several fields, and several operators of one field, must all hold.
"""
OF_STAGES = """\
In `db.query("sales").aggregate([…])` and the node `AggregateNode`. A pipeline is one statement;
each stage works on the fields that the one before it leaves. `$set` is another name of
`$addFields`. `$match` takes `{"$expr": expression}` too.
"""
OF_ACCUMULATORS = """\
In `$group`, in the `output` of `$bucket`, and as a last stage of its own, which makes the result a
value. They take expressions. In JSON, `$sum` and `$avg` skip what is no number; `$min` and `$max`
skip null.
"""
OF_EXPRESSIONS = """\
In `$project`, `$addFields`, `$group`, `$bucket` and `$expr`. `"$field"` is a field's value,
`"$field.key"` goes inside, `"$$ROOT"` is the whole record and `"$$NOW"` the present instant.
`{"$date": …}` is an instant. Comparisons put null below every value. `$divide` and `$avg` of
Decimals have 16 places at the most, and no zeros at the end. `$mod` of floats is that of their
digits: `1.0` leaves nothing when divided by `0.1`. Where an enum meets another value, as in
`{"$ifNull": ["$colour", "none"]}`, the result is its stored value. Whole numbers beyond 64 bits are
refused with `DataValueError`, but for sums on PostgreSQL, which are exact.
"""


class Dialect:
    """The models on one kind of database, which is never connected to."""

    def __init__(self, url: str) -> None:
        self.db = DataFlow(url)

        @self.db.model(timestamps=False)
        class Sale:
            id: int
            city: str | None
            amount: int
            placed: dt.datetime
            tags: list[str]
            data: dict[str, Any]

        @self.db.model(timestamps=False)
        class City:
            name: str

        self.sales = self.db.query(Sale)

    def filter(self, example: Mapping[str, Any]) -> str:
        """Return the condition that a filter becomes."""
        return condition_of(*self.sales.where(example).sql())

    def expression(self, example: Mapping[str, Any]) -> str:
        """Return what an expression becomes."""
        return select_list(*self.sales.sql([{"$project": {"x": example}}]))

    def accumulator(self, example: Mapping[str, Any]) -> str:
        """Return what an accumulator becomes."""
        return select_list(*self.sales.sql([{"$group": {"_id": None, "x": example}}]))

    def stage(self, example: Mapping[str, Any]) -> str:
        """Return the statement of a pipeline of one stage."""
        return shortened(*self.sales.sql([example]))


def render() -> str:
    """Return the whole page."""
    dialects = {name: Dialect(url) for name, url in _URLS.items()}
    try:
        return "\n".join([HEAD, *_sections(dialects)])
    finally:
        for dialect in dialects.values():
            dialect.db.close()


def _sections(dialects: Mapping[str, Dialect]) -> list[str]:
    return [
        _section(dialects, *section)
        for section in (
            ("Filters on columns", ON_COLUMNS, examples.COLUMN_FILTERS, Dialect.filter),
            ("Filters on JSON", ON_JSON, examples.JSON_FILTERS, Dialect.filter),
            ("Filters joined", JOINED, examples.JOINED_FILTERS, Dialect.filter),
            ("Stages", OF_STAGES, examples.STAGES, Dialect.stage),
            ("Accumulators", OF_ACCUMULATORS, examples.ACCUMULATORS, Dialect.accumulator),
            ("Expressions", OF_EXPRESSIONS, examples.EXPRESSIONS, Dialect.expression),
        )
    ]


def _section(
    dialects: Mapping[str, Dialect],
    heading: str,
    words: str,
    found: Mapping[str, Any],
    sql_of: Callable[[Dialect, Any], str],
) -> str:
    lines = [f"## {heading}", "", words, f"| operator | example | {' | '.join(dialects)} |"]
    lines.append("|---|---|---|---|")
    for operator, example in found.items():
        cells = [f"`{operator}`", _code(_python(example))]
        cells += [_code(sql_of(dialect, example)) for dialect in dialects.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _python(example: Any) -> str:
    return re.sub(r"\btrue\b", "True", json.dumps(example))


def _code(text: str) -> str:
    """Return a cell of code; a bar is written so that it does not end the cell."""
    if "|" not in text and "`" not in text:
        return f"`{text}`"
    escaped = html.escape(text, quote=False)
    marked = re.sub(r"[|*_`]", lambda mark: f"&#{ord(mark[0])};", escaped)
    return f"<code>{marked}</code>"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
