"""Instants in filters, relative to now or not."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import FilterError
from dataflow.query.dates import instant_of, is_date

DAY = dt.timedelta(days=1)
SPANS = {
    "s": dt.timedelta(seconds=1), "m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1),
    "d": DAY, "w": 7 * DAY,
}  # fmt: skip


def instant(text: Any) -> dt.datetime:
    return instant_of({"$date": text})


@pytest.mark.parametrize(
    ("value", "found"),
    [({"$date": "now"}, True), ({"$date": 1, "x": 2}, False), ({}, False), ("now", False)],
    ids=str,
)
def test_a_date_is_a_dict_of_this_one_key(value: Any, found: bool):
    assert is_date(value) is found


@given(st.sampled_from("+-"), st.integers(0, 9_999), st.sampled_from(list(SPANS)))
def test_an_offset_counts_from_now(sign: str, number: int, unit: str):
    span = number * SPANS[unit] * (1 if sign == "+" else -1)

    before, found = dt.datetime.now(dt.UTC), instant(f"{sign}{number}{unit}")

    assert before + span <= found <= dt.datetime.now(dt.UTC) + span


def test_a_named_day_begins_at_midnight_in_utc():
    today = dt.datetime.combine(dt.datetime.now(dt.UTC).date(), dt.time(), dt.UTC)

    found = [instant(name) for name in ("yesterday", "today", "tomorrow")]

    assert found in ([today - DAY, today, today + DAY], [today, today + DAY, today + 2 * DAY])


@given(st.datetimes(timezones=st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=5))])))
def test_an_iso_text_and_a_datetime_mean_the_same_and_utc_without_a_zone(given_instant: Any):
    expected = given_instant if given_instant.tzinfo else given_instant.replace(tzinfo=dt.UTC)

    assert instant(given_instant.isoformat()) == instant(given_instant) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5m", "-5", "-5y", "--5m", "-5m ", "NOW", "today+1d", "-999999999w", "2024-13-01", None, 5,
     [], "-5m\n"],
    ids=repr,
)  # fmt: skip
def test_another_text_is_refused(text: Any):
    with pytest.raises(FilterError) as caught:
        instant(text)

    assert caught.value.problem_text() == f"$date cannot be {text!r}."
