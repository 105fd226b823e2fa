"""The aggregates that SQLite gets from us."""

import json
import statistics
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.database.sqlite_aggregates import AGGREGATES, canonical

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)
decimals = st.lists(st.decimals(-(10**9), 10**9, places=4, allow_nan=False), min_size=1)


def aggregate(name: str, *rows: tuple[Any, ...]) -> Any:
    found = AGGREGATES[f"dataflow_{name}"][1]()
    for row in rows:
        found.step(*row)
    return found.finalize()


def single(name: str, values: list[Any]) -> Any:
    return aggregate(name, *((value,) for value in values))


def test_first_and_last_go_by_position_and_null_counts():
    rows = [(3, "c"), (1, None), (2, "b")]

    assert (aggregate("first", *rows), aggregate("last", *rows)) == (None, "c")
    assert aggregate("first") is None


def test_push_keeps_the_order_and_leaves_out_what_is_missing():
    assert aggregate("push", (2, '"b"'), (1, "null"), (3, None)) == '[null,"b"]'
    assert aggregate("push") == "[]"


def test_a_set_has_equal_values_once():
    values = ["1", "1.0", '"1"', '{"a":1,"b":2}', '{"b":2.0,"a":1}', None, "null", "null"]

    assert json.loads(single("collect", values)) == [1, "1", {"a": 1, "b": 2}, None]


def test_the_least_and_the_greatest_leave_null_out():
    values = ["null", '"b"', "2", "true", None, "-1.5", "[0]"]

    assert (single("json_least", values), single("json_greatest", values)) == ("-1.5", "true")
    assert single("json_least", ["null", None]) is None


@given(decimals)
def test_sums_of_decimals_are_exact(values: list[Decimal]):
    found = single("sum_decimal", [None, *map(str, values)])

    assert Decimal(found) == sum(values)
    assert "E" not in found


def test_without_a_value_there_is_no_sum_mean_or_deviation():
    names = ("sum_decimal", "avg_decimal", "deviation_of_all", "deviation_of_sample")

    assert [single(name, [None]) for name in names] == [None] * 4


def test_a_mean_of_decimals_has_16_places():
    means = [single("avg_decimal", values) for values in (["1", "0", "0"], ["2", "0", "0"])]

    assert means == ["0.3333333333333333", "0.6666666666666667"]
    assert single("avg_decimal", ["1.50", "2.50"]) == "2"


@given(numbers)
def test_deviations_are_those_of_statistics(values: list[float]):
    found = single("deviation_of_all", values), single("deviation_of_sample", values)

    assert found == pytest.approx(
        (statistics.pstdev(values), statistics.stdev(values)), rel=1e-6, abs=1e-6
    )


def test_a_sample_of_one_has_no_deviation():
    assert single("deviation_of_sample", [5]) is None
    assert single("deviation_of_all", [5]) == 0.0


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [("1", "1.0", True), ('{"a":1,"b":[2]}', '{"b":[2.0],"a":1}', True), ("1", '"1"', False),
     ("true", "1", False), ("[1,2]", "[2,1]", False), (None, "null", False), ("1e2", "100", True)],
)  # fmt: skip
def test_equal_json_has_one_spelling(left: str, right: str, same: bool):
    assert (canonical(left) == canonical(right)) is same
