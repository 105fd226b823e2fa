"""The functions that SQLite gets from us, compared with Python's own."""

import datetime as dt
import math
import zoneinfo
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataflow.database.sqlite_functions import FUNCTIONS

WIDE = Context(prec=200)
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
UNITS = ("year", "quarter", "month", "day", "hour", "minute", "second")
decimals = st.decimals(-(10**12), 10**12, places=6, allow_nan=False)
instants = st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2037, 12, 30)).map(
    lambda found: found.replace(tzinfo=dt.UTC)
)


def call(name: str, *args: Any) -> Any:
    return FUNCTIONS[f"dataflow_{name}"][1](*args)


def stored(instant: dt.datetime) -> str:
    return instant.isoformat(" ", "microseconds")


@given(decimals, decimals)
def test_arithmetic_of_decimals_is_exact(a: Decimal, b: Decimal):
    found = [Decimal(call(f"decimal_{name}", str(a), str(b)))
             for name in ("add", "subtract", "multiply")]  # fmt: skip

    assert found == [WIDE.add(a, b), WIDE.subtract(a, b), WIDE.multiply(a, b)]
    assert call("decimal_compare", str(a), str(b)) == (a > b) - (a < b)


@given(decimals, decimals.filter(bool))
def test_a_remainder_has_the_sign_of_what_is_divided(a: Decimal, b: Decimal):
    found = Decimal(call("decimal_mod", str(a), str(b)))

    assert found == WIDE.remainder(a, b)
    assert abs(found) < abs(b)


@given(decimals, st.integers(-8, 8))
def test_rounding_goes_to_the_even_neighbour(value: Decimal, places: int):
    expected = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, WIDE)

    assert Decimal(call("decimal_round", str(value), places)) == expected


def test_rounding_a_half_takes_the_even_neighbour():
    halves = [call("decimal_round", text, 0) for text in ("0.5", "1.5", "2.5", "-0.5", "-1.5")]

    assert [int(Decimal(text)) for text in halves] == [0, 2, 2, 0, -2]


@given(st.integers(-(2**53), 2**53), st.integers(-(10**6), 10**6))
def test_a_remainder_of_whole_numbers_is_exact(a: int, b: int):
    found = call("mod", a, b)

    assert found == (None if b == 0 else a - b * int(WIDE.divide_int(Decimal(a), Decimal(b))))
    assert found is None or isinstance(found, int)


@given(st.floats(-1e9, 1e9), st.floats(0.001, 1e6))
def test_a_remainder_of_floats_is_that_of_their_digits(a: float, b: float):
    dividend, divisor = Fraction(repr(a)), Fraction(repr(b))
    rest = dividend - divisor * math.trunc(dividend / divisor)

    assert call("mod", a, b) == float(rest)


def test_division_by_zero_is_null():
    names = ("decimal_divide", "decimal_mod")

    assert [call(name, "1", "0.00") for name in names] == [None, None]
    assert (call("mod", 1, 0), call("mod", 1.5, 0.0)) == (None, None)


@pytest.mark.parametrize("name", ["mod", "decimal_add", "truncate", "upper", "decimal_round"])
def test_null_yields_null(name: str):
    count = FUNCTIONS[f"dataflow_{name}"][0]

    assert call(name, *[None] * count) is None


@given(instants, st.sampled_from(UNITS), st.sampled_from(ZONES))
@example(dt.datetime(2000, 5, 31, tzinfo=dt.UTC), "quarter", "UTC")
def test_a_truncated_instant_is_the_last_beginning_of_the_unit(
    instant: dt.datetime, unit: str, name: str
):
    found = dt.datetime.fromisoformat(call("truncate", unit, stored(instant), name))

    local, zone = found.astimezone(zoneinfo.ZoneInfo(name)), zoneinfo.ZoneInfo(name)
    assert found <= instant + dt.timedelta(hours=1)
    assert call("truncate", unit, stored(found), name) == stored(found)
    here = instant.astimezone(zone)
    place = UNITS.index(unit)
    if unit == "quarter":
        assert (local.year, (local.month - 1) // 3) == (here.year, (here.month - 1) // 3)
    else:
        count = place + (place == 0)
        assert local.timetuple()[:count] == here.timetuple()[:count]


@given(instants, st.sampled_from(ZONES), st.integers(0, 6))
def test_a_week_begins_on_the_chosen_day_at_midnight(instant: dt.datetime, name: str, shift: int):
    text = call("truncate_week", stored(instant), name, shift)

    local = dt.datetime.fromisoformat(text).astimezone(zoneinfo.ZoneInfo(name))
    here = instant.astimezone(zoneinfo.ZoneInfo(name))
    assert local.weekday() == (-shift) % 7
    assert (local.hour, local.minute) == (0, 0)
    assert 0 <= (here.date() - local.date()).days < 7


def test_parts_of_a_document_are_kept_through_lists():
    document = '{"a": [{"b": 1, "c": 2}, 5, {"c": 3}], "d": 4}'

    assert call("json_keep", document, '{"a": {"b": {}}}') == '{"a": [{"b": 1}, {}]}'
    assert call("json_keep", '"text"', '{"a": {}}') is None


def test_objects_are_joined_and_what_is_missing_leaves_no_key():
    parts = [call("object_part", 'k"', "1"), call("object_part", "gone", None)]

    assert call("object_join", *parts) == '{"k\\"":1}'
    assert call("object_join", parts[0], '{"z":2}') == '{"k\\"":1,"z":2}'


def test_a_value_is_found_in_a_list_by_json_equality():
    assert call("json_contains", "1", "[1.0]") is True
    assert call("json_contains", "true", "[1]") is False
    assert call("json_contains", "1", '{"a": 1}') is False
