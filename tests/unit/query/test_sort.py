"""Sort orders."""

from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import FilterError, UnknownFieldError
from dataflow.models.spec import ModelSpec
from dataflow.query.sort import order_for, parse_sort, total_order


@pytest.fixture
def spec(memory: DataFlow) -> ModelSpec:
    @memory.model(timestamps=False)
    class Seat:
        row: int = Field(primary_key=True)
        letter: str = Field(primary_key=True)
        guest: str | None
        extra: dict | None

    found: ModelSpec = Seat.__dataflow__
    return found


@pytest.mark.parametrize(
    "sort",
    ["-guest", ["-guest"], {"guest": -1}, {"guest": "desc"}, [("guest", -1)],
     {"field": "guest", "direction": "desc"}, [{"field": "guest", "direction": -1}],
     [["guest", "DESC"]]],
    ids=str,
)  # fmt: skip
def test_every_spelling_means_the_same(spec: ModelSpec, sort: Any):
    assert parse_sort(spec, sort) == (("guest", True),)


def test_no_sort_is_empty(spec: ModelSpec):
    assert [parse_sort(spec, sort) for sort in (None, [], {}, ())] == [(), (), (), ()]


@pytest.mark.parametrize(
    "sort",
    [5, [5], [("guest",)], [("guest", 2)], {"guest": "down"}, {"guest": None}, [None],
     [{"direction": 1}], [("guest", 1, 2)], [{"field": "guest", "dir": -1}],
     {"guest": 1.5}],
    ids=str,
)  # fmt: skip
def test_another_shape_is_refused(spec: ModelSpec, sort: Any):
    with pytest.raises(FilterError):
        parse_sort(spec, sort)


def test_a_document_has_no_order(spec: ModelSpec):
    with pytest.raises(FilterError) as caught:
        parse_sort(spec, "extra")

    assert str(caught.value) == "field 'extra' holds JSON and has no order.\n  code: DF109"


def test_the_key_makes_an_order_total(spec: ModelSpec):
    assert total_order(spec, ()) == (("row", False), ("letter", False))
    assert total_order(spec, (("guest", True),)) == (
        ("guest", True), ("row", True), ("letter", True),
    )  # fmt: skip
    assert total_order(spec, (("row", True),)) == (("row", True), ("letter", True))


def test_null_sorts_below_every_value(spec: ModelSpec):
    order = [str(entry) for entry in order_for(spec, (("guest", False), ("row", True)))]
    down = [str(entry) for entry in order_for(spec, (("guest", True),))]

    assert order == ['"seats"."guest" ASC NULLS FIRST', '"seats"."row" DESC']
    assert down == ['"seats"."guest" DESC NULLS LAST']


def test_only_one_sign_stands_before_a_name(spec: ModelSpec):
    with pytest.raises(UnknownFieldError):
        parse_sort(spec, "--row")
