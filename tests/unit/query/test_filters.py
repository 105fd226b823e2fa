"""Filters: split into a shape without values, and the values."""

from typing import Any

import pytest
from sqlalchemy.dialects.sqlite import aiosqlite

from dataflow import DataFlow
from dataflow.errors import FilterError, RecordValidationError
from dataflow.models.spec import ModelSpec
from dataflow.query.conditions import condition_for
from dataflow.query.filters import EMPTY, Filter, parse_filter
from dataflow.records.validation import Validator


@pytest.fixture
def spec(memory: DataFlow) -> ModelSpec:
    @memory.model(timestamps=False)
    class Person:
        id: int
        name: str
        age: int | None
        extra: dict | None

    found: ModelSpec = Person.__dataflow__
    return found


def parse(spec: ModelSpec, filter: Any) -> Filter:
    return parse_filter(spec, filter, Validator(spec).comparisons)


@pytest.mark.parametrize("filter", [None, {}])
def test_no_filter_is_empty(spec: ModelSpec, filter: Any):
    assert parse(spec, filter) == EMPTY


@pytest.mark.parametrize("filter", [[], "", 0, (), False], ids=str)
def test_an_empty_value_that_is_no_dict_is_refused(spec: ModelSpec, filter: Any):
    with pytest.raises(FilterError):
        parse(spec, filter)


def test_filters_that_differ_in_values_alone_have_one_shape(spec: ModelSpec):
    first = parse(spec, {"name": "a", "age": {"$gt": 1, "$in": [1, 2]}})
    second = parse(spec, {"name": "b", "age": {"$gt": 5, "$in": []}})

    assert first.shape == second.shape
    assert hash(first.shape) == hash(second.shape)
    assert (first.parameters, second.parameters) == (
        {"w0": "a", "w1": 1, "w2": [1, 2]}, {"w0": "b", "w1": 5, "w2": []},
    )  # fmt: skip


def test_values_are_converted_to_the_type_of_their_field(spec: ModelSpec):
    assert parse(spec, {"age": {"$in": ["1", 2.0]}}).values == ([1, 2],)


def test_a_value_of_another_type_is_refused(spec: ModelSpec):
    with pytest.raises(RecordValidationError):
        parse(spec, {"age": {"$between": [1, "x"]}})


def test_an_order_of_whole_documents_is_refused(spec: ModelSpec):
    with pytest.raises(FilterError) as caught:
        parse(spec, {"extra.a": {"$gt": [1]}})

    assert caught.value.problem_text() == (
        "$gt of 'a' compares single values, not objects or arrays."
    )


def test_a_document_may_be_present_or_not(spec: ModelSpec):
    assert parse(spec, {"extra": {"$exists": True}}).shape == ("notnull", "extra")


@pytest.mark.parametrize(
    "filter", [{"$and": [{}]}, {"$or": [{}]}, {"$and": [{}, {}]}, {"$or": [{"age": 1}, {}]}],
    ids=str,
)  # fmt: skip
def test_a_filter_that_matches_everything_by_form_is_empty(spec: ModelSpec, filter: Any):
    assert parse(spec, filter).shape == ()


def test_nothing_of_a_value_stands_in_the_statement(spec: ModelSpec):
    payload = "x' OR 1=1; DROP TABLE people; --"
    filter = parse(spec, {"name": {"$in": [payload], "$ne": payload, "$gte": payload}})

    sql = str(condition_for(spec, filter.shape).compile(dialect=aiosqlite.dialect()))

    assert payload not in sql
    assert "DROP" not in sql


@pytest.mark.parametrize("key", ["na'me", "name; --", "name\0", "Name", "", "__class__"])
def test_only_names_of_fields_are_keys(spec: ModelSpec, key: str):
    with pytest.raises(Exception, match="has no field") as caught:
        parse(spec, {key: 1})

    assert caught.value.code == "DF108"
