"""The reference of operators is complete, up to date, and all of its examples run."""

from __future__ import annotations

import datetime as dt
from typing import Any

import operator_examples as examples
import pytest
from operators_page import PAGE, render
from pages import code_of, tables_of

from dataflow import DataFlow
from dataflow.errors import FilterError
from dataflow.query import accumulators, documents, expressions, filters, stages

JSON_ONLY = {"$size", "$all", "$elemMatch"}
FILTERS = [*examples.COLUMN_FILTERS.items(), *examples.JSON_FILTERS.items(),
           *examples.JOINED_FILTERS.items()]  # fmt: skip
PIPELINES = [
    *([stage] for stage in examples.STAGES.values()),
    *([{"$group": {"_id": "$city", "x": found}}] for found in examples.ACCUMULATORS.values()),
    *([{"$project": {"x": found}}] for found in examples.EXPRESSIONS.values()),
]


def test_the_page_is_what_make_docs_operators_writes():
    assert PAGE.read_text(encoding="utf-8") == render()


@pytest.mark.parametrize(
    ("heading", "operators"),
    [
        ("## Filters on columns", {*filters._OPERATORS, "$not"} - JSON_ONLY),
        ("## Filters on JSON", {*documents.OPERATORS, "$not"}),
        ("## Filters joined", {"$and", "$or", "$nor", "$not"}),
        ("## Stages", set(stages.STAGES)),
        ("## Accumulators", set(accumulators.ACCUMULATORS)),
        ("## Expressions", set(expressions.EXPRESSIONS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_page_has_every_operator_with_an_example_and_both_databases_sql(
    heading: str, operators: set[str]
):
    rows = tables_of(PAGE, heading)

    assert {code_of(row[0]) for row in rows} == operators
    assert all(len(row) == 4 and all(row) for row in rows)
    assert all(f'"{code_of(name)}"' in example for name, example, *_ in rows)


@pytest.fixture
def sales(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Sale:
        city: str | None
        amount: int
        placed: dt.datetime
        tags: list[str]
        data: dict[str, Any]

    @db.model(timestamps=False)
    class City:
        name: str

    return db


def test_every_example_of_the_page_runs(sales: DataFlow):
    query = sales.query("Sale")

    assert [query.where(example).all() for _, example in FILTERS] == [[]] * len(FILTERS)
    for pipeline in PIPELINES:
        query.aggregate(pipeline)


@pytest.mark.parametrize("operator", sorted(JSON_ONLY))
def test_an_operator_for_lists_is_refused_on_a_column_as_the_page_says(
    sales: DataFlow, operator: str
):
    with pytest.raises(FilterError):
        sales.query("Sale").where({"amount": {operator: 1}})
