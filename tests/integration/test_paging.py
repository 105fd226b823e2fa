"""Lists: order, limits, cursors, chosen fields and counts."""

import base64
import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import DataFlow
from dataflow.errors import CursorError, FilterError, ParameterError, UnknownFieldError

ROWS = [
    {"name": "a", "rank": 2, "day": dt.date(2024, 1, 1)},
    {"name": "b", "rank": None, "day": dt.date(2024, 1, 2)},
    {"name": "c", "rank": 1, "day": None},
    {"name": "d", "rank": None, "day": dt.date(2024, 1, 1)},
    {"name": "e", "rank": 2, "day": None},
    {"name": "f", "rank": 3, "day": dt.date(2024, 1, 3)},
]


def declare_items(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Item:
        id: int
        name: str
        rank: int | None
        day: dt.date | None

    db.bulk_create("Item", ROWS)
    return db


@pytest.fixture(scope="module")
def items(shared_db: DataFlow) -> DataFlow:
    return declare_items(shared_db)


def order(db: DataFlow, **options: Any) -> str:
    return "".join(record["name"] for record in db.list("Item", **options)["records"])


SORTS: list[tuple[Any, str]] = [
    (None, "abcdef"),
    ("name", "abcdef"),
    ("-name", "fedcba"),
    ("+name", "abcdef"),
    ({"name": -1}, "fedcba"),
    ({"name": 1}, "abcdef"),
    ({"name": "desc"}, "fedcba"),
    ({"rank": 1, "name": -1}, "dbceaf"),
    (["-rank", "name"], "faecbd"),
    ([("rank", 1), ("day", -1)], "bdcaef"),
    ([{"field": "rank", "direction": "desc"}, {"field": "name"}], "faecbd"),
    ({"field": "name", "direction": "desc"}, "fedcba"),
    ([{"field": "name", "direction": -1}], "fedcba"),
    (["rank", "-day"], "bdcaef"),
]


@pytest.mark.parametrize(("sort", "expected"), SORTS, ids=[str(item[0]) for item in SORTS])
def test_every_spelling_of_a_sort_gives_the_order(items: DataFlow, sort: Any, expected: str):
    assert order(items, sort=sort) == expected


@pytest.mark.parametrize(
    ("sort", "kind", "text"),
    [
        ("nam", UnknownFieldError,
         "model 'Item' has no field 'nam'.\n  help: did you mean 'name'?\n  code: DF108"),
        ({"name": "down"}, FilterError,
         ("a sort entry cannot be ('name', 'down').\n  help: write \"-created_at\", "
         '{"created_at": -1} or {"field": …, "direction": "desc"}\n  code: DF109')),
        (5, FilterError, "a sort cannot be 5.\n  code: DF109"),
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_sort_is_refused(items: DataFlow, sort: Any, kind: Any, text: str):
    with pytest.raises(kind) as caught:
        items.list("Item", sort=sort)

    assert str(caught.value) == text


def test_a_page_has_records_count_total_and_next(items: DataFlow):
    page = items.list("Item", {"rank": 2}, limit=1, count=True)

    cursor = page.pop("next")
    assert page == {"records": [{"id": 1, **ROWS[0]}], "count": 1, "total": 2}
    assert isinstance(cursor, str)


def test_the_last_page_has_no_next_and_no_total_unless_asked(items: DataFlow):
    page = items.list("Item", {"name": "f"}, limit=1)

    assert page == {"records": [{"id": 6, **ROWS[5]}], "count": 1, "total": None, "next": None}


def test_a_list_ends_at_100_records_unless_told_otherwise(db: DataFlow):
    @db.model(timestamps=False)
    class Item:
        id: int

    db.bulk_create("Item", [{"id": number} for number in range(1, 151)])

    first = db.list("Item", count=True)
    every = db.list("Item", limit=None)

    assert (first["count"], first["total"], first["next"] is None) == (100, 150, False)
    assert (every["count"], every["next"]) == (150, None)


def test_limit_and_offset_choose_a_window(items: DataFlow):
    assert order(items, limit=2, offset=1) == "bc"
    assert order(items, limit=None, offset=4) == "ef"
    assert order(items, offset=99) == ""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"limit": 0}, ("limit must be a whole number from 1 (got 0).\n"
         "  help: limit=None returns all records\n  code: DF103")),
        ({"limit": -1}, ("limit must be a whole number from 1 (got -1).\n"
         "  help: limit=None returns all records\n  code: DF103")),
        ({"limit": "5"}, ("limit must be a whole number from 1 (got '5').\n"
         "  help: limit=None returns all records\n  code: DF103")),
        ({"limit": 2**63 - 1},
         ("limit must be a whole number from 1 to 2**62 (got 9223372036854775807).\n"
         "  help: limit=None returns all records\n  code: DF103")),
        ({"limit": True}, ("limit must be a whole number from 1 (got True).\n"
         "  help: limit=None returns all records\n  code: DF103")),
        ({"offset": -1}, "offset must be a whole number from 0 (got -1).\n  code: DF103"),
        ({"offset": 1.5}, "offset must be a whole number from 0 (got 1.5).\n  code: DF103"),
    ],
    ids=str,
)  # fmt: skip
def test_a_senseless_limit_or_offset_is_refused(items: DataFlow, options: Any, text: str):
    with pytest.raises(ParameterError) as caught:
        items.list("Item", **options)

    assert str(caught.value) == text


def test_a_very_large_limit_works(items: DataFlow):
    assert order(items, limit=2**61) == "abcdef"


def pages(db: DataFlow, model: str = "Item", filter: Any = None, **options: Any) -> list[Any]:
    found, after = [], None
    while True:
        page = db.list(model, filter, after=after, **options)
        found += page["records"]
        after = page["next"]
        if after is None:
            return found
        assert page["count"] == options["limit"]


@pytest.mark.parametrize("limit", [1, 2, 4, 6])
@pytest.mark.parametrize(
    "sort",
    [None, "name", "-name", "rank", "-rank", ["rank", "-day"], ["-rank", "day"],
     {"rank": -1, "day": -1}, ["day", "rank", "name"], ["-id"], ["-day", "id"]],
    ids=str,
)  # fmt: skip
def test_cursors_visit_every_record_once_in_order(memory: DataFlow, sort: Any, limit: int):
    @memory.model(timestamps=False)
    class Item:
        id: int
        name: str
        rank: int | None
        day: dt.date | None

    memory.bulk_create("Item", ROWS)

    paged = pages(memory, sort=sort, limit=limit)

    assert paged == memory.list("Item", sort=sort)["records"]


def test_cursors_visit_every_record_once_on_every_database(items: DataFlow):
    sorts: list[Any] = ["-name", ["rank", "-day"], ["-rank", "day"], {"rank": -1, "day": -1}]

    paged = [pages(items, sort=sort, limit=2) for sort in sorts]

    assert paged == [items.list("Item", sort=sort)["records"] for sort in sorts]


fields = st.sampled_from(["rank", "name", "day", "id"])
sorts = st.lists(st.tuples(fields, st.sampled_from([1, -1])), max_size=3, unique_by=lambda p: p[0])
item_rows = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from("ab"),
            "rank": st.none() | st.integers(0, 2),
            "day": st.none() | st.sampled_from([dt.date.min, dt.date(2024, 1, 1)]),
        }
    ),
    max_size=8,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=item_rows, sort=sorts, limit=st.integers(1, 3))
def test_any_order_is_paged_without_gaps_or_repeats(
    db: DataFlow, rows: list[dict[str, Any]], sort: list[Any], limit: int
):
    if not db.list_models():

        @db.model(timestamps=False)
        class Item:
            id: int
            name: str
            rank: int | None
            day: dt.date | None

    db.bulk_delete("Item", all=True)
    db.bulk_create("Item", rows)

    paged = pages(db, sort=sort, limit=limit)

    assert paged == db.list("Item", sort=sort)["records"]
    assert len({record["id"] for record in paged}) == len(rows)


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (float, [0.1, 1e308, 5e-324, 1 / 3]),
        (Decimal, [Decimal("0.1"), Decimal("0.10000000000000000000000000001"), Decimal("1E+3")]),
        (dt.datetime, [dt.datetime(2024, 1, 1, 0, 0, 0, n, tzinfo=dt.UTC) for n in (1, 2, 3)]),
        (dt.timedelta, [dt.timedelta(microseconds=n) for n in (-1, 0, 1)]),
        (dt.time, [dt.time(1, 2, 3, 4), dt.time(1)]),
        (uuid.UUID, [uuid.UUID(int=n) for n in (3, 1, 2)]),
        (bytes, [b"\xff", b"\x00", b"a"]),
        (bool, [True, False]),
        (str, ["\"'", "😀", "\\"]),
        (int, [2**63 - 1, -(2**63), 2**53 + 1]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_cursor_carries_values_of_every_type(db: DataFlow, annotation: Any, values: list[Any]):
    @db.model(timestamps=False)
    class Item:
        id: int
        value: annotation  # type: ignore[valid-type]  # a parameter of the test

    db.bulk_create("Item", [{"value": value} for value in values * 2])

    paged = pages(db, sort="-value", limit=1)

    assert paged == db.list("Item", sort="-value")["records"]


def test_a_cursor_follows_records_that_were_inserted_or_deleted_meanwhile(db: DataFlow):
    items = declare_items(db)
    first = items.list("Item", sort="name", limit=2)
    items.delete("Item", {"name": "b"})
    items.create("Item", {"name": "bb", "rank": 0, "day": None})

    second = items.list("Item", sort="name", limit=2, after=first["next"])

    assert [record["name"] for record in second["records"]] == ["bb", "c"]


def test_a_cursor_works_with_a_filter_fields_and_a_count(items: DataFlow):
    filter = {"rank": {"$null": False}}
    options: Any = {"sort": "-rank", "limit": 2, "fields": ["name"], "count": True}
    first = items.list("Item", filter, **options)

    second = items.list("Item", filter, after=first["next"], **options)

    assert first["records"] == [{"name": "f"}, {"name": "e"}]
    assert second == {
        "records": [{"name": "a"}, {"name": "c"}], "count": 2, "total": 4, "next": None,
    }  # fmt: skip


def flipped(cursor: str, place: int) -> str:
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[place] ^= 1
    return base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")


def test_a_cursor_with_any_byte_changed_is_refused(items: DataFlow):
    cursor = items.list("Item", limit=2)["next"]
    length = len(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))

    for place in range(length):
        with pytest.raises(CursorError) as caught:
            items.list("Item", limit=2, after=flipped(cursor, place))

        assert str(caught.value) == (
            "the cursor was altered, or belongs to another query.\n"
            "  help: pass the value of 'next' from the previous page, with the same filter "
            "and sort\n"
            "  code: DF117"
        )


@pytest.mark.parametrize(
    "cursor", ["", "x", "%%%", "ü", 5, b"abc", "a" * 10_000, {"a": 1}], ids=str
)
def test_what_is_no_cursor_is_refused(items: DataFlow, cursor: Any):
    with pytest.raises((CursorError, ParameterError)):
        items.list("Item", after=cursor)


def test_a_cursor_of_another_query_is_refused(items: DataFlow):
    cursor = items.list("Item", {"name": {"$gt": "a"}}, sort="name", limit=1)["next"]
    others: list[tuple[Any, Any]] = [
        ({"name": {"$gt": "a"}}, "-name"),
        ({"name": {"$gt": "a"}}, ["name", "rank"]),
        ({"name": {"$gte": "a"}}, "name"),
        ({"name": {"$gt": "b"}}, "name"),
        (None, "name"),
    ]

    for filter, sort in others:
        with pytest.raises(CursorError):
            items.list("Item", filter, sort=sort, limit=1, after=cursor)


def test_only_the_chosen_fields_are_returned_in_their_order(items: DataFlow):
    page = items.list("Item", {"name": "a"}, fields=["rank", "name"])

    assert [list(record.items()) for record in page["records"]] == [[("rank", 2), ("name", "a")]]


def test_an_unknown_field_among_the_chosen_is_refused(items: DataFlow):
    with pytest.raises(UnknownFieldError) as caught:
        items.list("Item", fields=["nme"])

    assert str(caught.value) == (
        "model 'Item' has no field 'nme'.\n  help: did you mean 'name'?\n  code: DF108"
    )
