"""What every kind of repository does, whatever session it is over."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from houses import Author, Book, Color, Country, Event, House, Note, PerCall, Sample, Seat

from dataflow.context import ALL_TENANTS, Setting, actor, tenant
from dataflow.errors import (
    AppendOnlyError,
    CursorError,
    DataFlowError,
    FilterError,
    MultipleRecordsError,
    ParameterError,
    RecordNotFoundError,
    RecordValidationError,
    StaleRecordError,
    TenantRequiredError,
    UnknownFieldError,
)
from dataflow.repositories import (
    CursorPaginationParams,
    FilterOperator,
    PaginationParams,
    QueryFilter,
    QueryOptions,
    SortField,
)

NOON = dt.datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=dt.UTC)


def titles(records: Any) -> list[str]:
    return [record.title for record in records]


def with_books(house: House, *pages: int | None) -> Any:
    """Return a repository of books named `book 0`, `book 1`, ….

    Mock repositories keep what they have; the others are committed.
    """
    books = house.repository(Book)
    books.bulk_create([{"title": f"book {n}", "pages": page} for n, page in enumerate(pages)])
    house.commit(books)
    return books


# ---------------------------------------------------------------------- create


def test_create_returns_a_record_with_its_key_and_defaults(house: House):
    books = house.repository(Book)

    book = books.create({"title": "Emma"})

    assert isinstance(book, Book)
    assert (book.id, book.title, book.pages, book.version) == (1, "Emma", None, 1)
    assert book.created_at == book.updated_at or book.updated_at > book.created_at
    assert book.deleted_at is None


def test_create_takes_keywords_and_a_dict_together(house: House):
    books = house.repository(Book)

    assert books.create(title="Emma").title == "Emma"
    assert books.create({"title": "Emma"}, pages=3).pages == 3


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"title": "x", "titel": "y"}, "titel"),
        ({"title": "x", "pages": "many"}, "pages"),
        ({"title": "x" * 41}, "title"),
        ({}, "title"),
        ({"title": None}, "title"),
    ],
)
def test_create_names_the_field_that_does_not_fit(house: House, data: dict[str, Any], field: str):
    books = house.repository(Book)

    with pytest.raises(RecordValidationError, match=field):
        books.create(data)

    assert books.count() == 0
    assert books.create({"title": "still usable"}).id is not None


@pytest.mark.parametrize("data", [[{"title": "Emma"}], 5, "Emma", []])
def test_what_is_no_record_is_refused_with_what_to_pass(house: House, data: Any):
    books = house.repository(Book)

    for call in (
        lambda: books.create(data),
        lambda: books.create(data, pages=3),
        lambda: books.bulk_create([data]),
        lambda: books.bulk_update([data]),
        lambda: books.update(books.create(title="Emma"), data),
    ):
        with pytest.raises(ParameterError, match="a 'Book' is values by name, not") as caught:
            call()
        assert "pass a dict" in str(caught.value)
    for rows in (5, {"title": "Emma"}, "Emma"):
        with pytest.raises(ParameterError, match="a list of dicts"):
            books.bulk_create(rows)
        with pytest.raises(ParameterError, match="a list of dicts"):
            books.bulk_update(rows)


def test_bulk_create_keeps_the_order_and_stores_all_or_none(house: House):
    books = house.repository(Book)

    made = books.bulk_create({"title": f"t{n}"} for n in range(5))
    with pytest.raises(RecordValidationError, match="pages"):
        books.bulk_create([{"title": "good"}, {"title": "bad", "pages": "many"}])

    assert titles(made) == ["t0", "t1", "t2", "t3", "t4"]
    assert [book.id for book in made] == sorted(book.id for book in made)
    assert books.count() == 5
    assert books.bulk_create([]) == []


def test_every_type_comes_back_as_it_was_stored(house: House):
    samples = house.repository(Sample)
    document = {"a": [1, None, {"b": "é"}], "big": 2**53, "none": None}
    key = uuid.uuid4()

    samples.create(
        id=key, name="x", price=Decimal("12.3400"), at=NOON, data=document, color=Color.RED
    )
    house.commit(samples)
    samples.session.expunge_all()
    found = samples.get(key)

    assert (found.id, found.price, found.at) == (key, Decimal("12.34"), NOON)
    assert (found.data, found.color) == (document, Color.RED)


def test_values_are_converted_as_the_verbs_convert_them(house: House):
    samples = house.repository(Sample)

    made = samples.create(name="x", price="1.5", at="2026-01-02T12:00:00.123456Z", color="blue")

    assert (made.price, made.at, made.color) == (Decimal("1.5"), NOON, Color.BLUE)
    assert samples.get(str(made.id)) is made


# ------------------------------------------------------------------------ find


def test_get_finds_by_key_or_names_what_is_missing(house: House):
    books = with_books(house, 1)

    assert books.get(1).title == "book 0"
    with pytest.raises(RecordNotFoundError, match="key 99"):
        books.get(99)
    with pytest.raises(RecordValidationError, match="id"):
        books.get("no number")


def test_get_by_id_returns_none_for_what_is_missing(house: House):
    books = with_books(house, 1)

    assert books.get_by_id(1).title == "book 0"
    assert books.get_by_id(99) is None


@pytest.mark.parametrize("key", [{"line": "A", "number": 2}, ("A", 2), ["A", 2]])
def test_a_key_of_several_fields_is_a_dict_or_a_tuple(house: House, key: Any):
    seats = house.repository(Seat)
    seats.bulk_create([{"line": "A", "number": 1}, {"line": "A", "number": 2}])

    assert seats.get(key).number == 2
    assert seats.update(key, {"taken": True}).taken is True
    assert seats.delete(key) is True
    assert seats.count() == 1


def test_an_incomplete_key_is_refused(house: House):
    seats = house.repository(Seat)

    for key in (1, ("A",), {"line": "A"}, ("A", 2, 3)):
        with pytest.raises(ParameterError, match="the key of 'Seat' is line, number"):
            seats.get(key)


def test_keys_may_be_texts(house: House):
    countries = house.repository(Country)
    countries.create(code="de", name="Germany")

    assert countries.get("de").name == "Germany"
    assert countries.get_by_id("DE") is None


def test_get_by_field_returns_one_none_or_an_error(house: House):
    books = with_books(house, 10, 10, 20)

    assert books.get_by_field("pages", 20).title == "book 2"
    assert books.get_by_field("pages", 30) is None
    with pytest.raises(MultipleRecordsError):
        books.get_by_field("pages", 10)
    with pytest.raises(UnknownFieldError, match="page"):
        books.get_by_field("page", 10)


def test_get_or_create_returns_the_one_that_is_there_or_a_new_one(house: House):
    countries = house.repository(Country)

    made, is_new = countries.get_or_create({"code": "de"}, {"name": "Germany"})
    again, is_new_again = countries.get_or_create({"code": "de"}, {"name": "Another"})

    assert (made.name, is_new) == ("Germany", True)
    assert (again.name, is_new_again) == ("Germany", False)
    assert countries.count() == 1


def test_update_or_create_changes_the_one_that_is_there_or_makes_it(house: House):
    books = with_books(house, 1, 2)

    changed = books.update_or_create({"title": "book 1"}, {"pages": 20}, user_id="ada")
    made = books.update_or_create({"title": "Emma", "pages": None}, {"author_id": None})

    assert (changed[0].id, changed[0].pages, changed[1]) == (2, 20, False)
    assert (made[0].id, made[0].title, made[1]) == (3, "Emma", True)
    assert books.count() == 3


def test_what_names_the_record_to_get_or_create_is_checked(house: House):
    books = with_books(house, 10, 10)

    with pytest.raises(MultipleRecordsError):
        books.get_or_create({"pages": 10})
    with pytest.raises(UnknownFieldError, match="titel"):
        books.get_or_create({"titel": "Emma"})
    with pytest.raises(RecordValidationError, match="pages"):
        books.get_or_create({"title": "Emma"}, {"pages": "many"})
    with pytest.raises(RecordValidationError, match="title"):
        books.update_or_create({"title": {"$like": "%"}}, {"pages": 1})
    for nothing in ({}, None, "Emma"):
        with pytest.raises(ParameterError, match="values by field"):
            books.get_or_create(nothing)
    assert books.count() == 2


def test_list_takes_filters_in_every_form(house: House):
    books = with_books(house, 10, None, 20)

    for filters in (
        {"pages": {"$gte": 15}},
        [QueryFilter("pages", FilterOperator.GTE, 15)],
        QueryOptions(filters=[QueryFilter("pages", "gte", 15)]),
        QueryOptions(filters={"pages": {"$gte": 15}}),
    ):
        assert titles(books.list(filters)) == ["book 2"]
    assert titles(books.list()) == ["book 0", "book 1", "book 2"]
    assert titles(books.list({})) == titles(books.list())


@pytest.mark.long
@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        ("eq", 10, [0]),
        ("ne", 10, [1, 2, 3]),
        ("gt", 10, [2, 3]),
        ("gte", 10, [0, 2, 3]),
        ("lt", 20, [0]),
        ("lte", 20, [0, 2]),
        ("in", [10, 30], [0, 3]),
        ("in", [], []),
        ("not_in", [10, 30], [1, 2]),
        ("between", [10, 20], [0, 2]),
        ("is_null", None, [1]),
        ("is_null", True, [1]),
        ("is_null", False, [0, 2, 3]),
    ],
)
def test_operators_of_query_filters(house: House, operator: str, value: Any, found: list[int]):
    books = with_books(house, 10, None, 20, 30)

    listed = books.list([QueryFilter("pages", operator, value)])

    assert titles(listed) == [f"book {number}" for number in found]


TEXTS = [
    ("ilike", "EMMA", ["Emma"]),
    ("ilike", "%mm%", ["Emma"]),
    ("ilike", "BUNG", ["Übung 100%"]),
    ("icontains", "100%", ["Übung 100%"]),
    ("icontains", "_", ["snake_case"]),
    ("contains", "100%", ["Übung 100%"]),
    ("starts_with", "Em", ["Emma"]),
    ("ends_with", "case", ["snake_case"]),
    ("like", "E__a", ["Emma"]),
    ("regex", "^[A-F].*a$", ["Emma"]),
]


def test_text_operators(house: House):
    books = house.repository(Book)
    books.bulk_create({"title": title} for title in ("Emma", "Übung 100%", "snake_case"))

    found = [
        (operator, value, titles(books.list([QueryFilter("title", operator, value)])))
        for operator, value, _ in TEXTS
    ]

    assert found == TEXTS


def test_filters_reach_into_documents(house: House):
    samples = house.repository(Sample)
    samples.bulk_create([{"name": "a", "data": {"n": {"m": 1}}}, {"name": "b", "data": {"n": 2}}])

    assert [item.name for item in samples.list({"data.n.m": 1})] == ["a"]


def test_filters_that_cannot_be_are_refused_and_the_session_goes_on(house: House):
    books = with_books(house, 1)

    with pytest.raises(UnknownFieldError, match="titel"):
        books.list({"titel": "x"})
    with pytest.raises(FilterError, match=r"\$gtt"):
        books.list({"pages": {"$gtt": 1}})
    with pytest.raises(RecordValidationError, match="pages"):
        books.list({"pages": "many"})
    with pytest.raises(ParameterError, match="QueryFilters"):
        books.list(["pages"])

    assert books.count() == 1


def test_lists_are_ordered_and_equals_by_key(house: House):
    books = with_books(house, 2, 1, None, 1)

    up = books.list(QueryOptions(sorts=[SortField("pages")]))
    down = books.list(QueryOptions(sorts=[SortField("pages", "desc"), "-id"]))

    assert titles(up) == ["book 2", "book 1", "book 3", "book 0"]
    assert titles(down) == ["book 0", "book 3", "book 1", "book 2"]


def test_lists_have_windows(house: House):
    books = with_books(house, *range(10))

    assert titles(books.get_all(2, 3)) == ["book 2", "book 3", "book 4"]
    assert len(books.list(QueryOptions(skip=8))) == 2
    assert titles(books.list(QueryOptions(skip=1, limit=2))) == ["book 1", "book 2"]
    paged = QueryOptions(pagination=PaginationParams(page=2, per_page=4))
    assert titles(books.list(paged)) == ["book 4", "book 5", "book 6", "book 7"]


def test_a_window_below_zero_is_refused(house: House):
    books = with_books(house, 1)
    windows: list[tuple[Any, Any]] = [(-1, 5), (0, -1), ("a", 5), (0, 2**63)]

    for skip, limit in windows:
        with pytest.raises(ParameterError, match="whole number"):
            books.get_all(skip, limit)
        with pytest.raises(ParameterError, match="whole number"):
            books.search("b", skip=skip, limit=limit)


def test_counts_and_exists(house: House):
    books = with_books(house, 1, 2, None)

    assert (books.count(), books.count({"pages": {"$gt": 1}})) == (3, 1)
    assert books.exists({"pages": 2}) is True
    assert books.exists({"pages": {"$in": [7, 8]}}) is False
    assert books.exists() is True
    assert books.count_by("pages", {"pages": {"$in": [1, 2]}}) == {1: 1, 2: 1}


def test_search_takes_wildcards_as_they_are(house: House):
    books = house.repository(Book)
    books.bulk_create({"title": title} for title in ("50% off", "50 off", "a_b", "axb", "ÄPFEL"))

    assert titles(books.search("0% o")) == ["50% off"]
    assert titles(books.search("A_B")) == ["a_b"]
    assert titles(books.search("pfel")) == ["ÄPFEL"]
    assert titles(books.search("off", ["title"], skip=1, limit=1)) == ["50 off"]
    assert titles(books.search("off", options={"title": {"$contains": "%"}})) == ["50% off"]
    with pytest.raises(UnknownFieldError, match="titel"):
        books.search("off", ["titel"])


def test_links_are_loaded_when_asked_for(house: House):
    if not house.shared:
        pytest.skip("a mock repository has one model")
    authors = house.repository(Author)
    ada = authors.create(name="Ada")
    house.commit(authors)
    books = house.repository(Book)
    books.bulk_create({"title": f"t{n}", "author_id": ada.id} for n in range(3))
    house.commit(books)

    (found,) = authors.list(QueryOptions(include=["books"]))
    of_ada = titles(found.books)
    house.commit(authors)
    book = books.get(1, include=["author"])

    assert of_ada == ["t0", "t1", "t2"]
    assert book.author.name == "Ada"
    with pytest.raises(UnknownFieldError, match="boks"):
        authors.list(QueryOptions(include=["boks"]))


# ----------------------------------------------------------------------- pages


def test_pages_by_number_cover_all_records_once(house: House):
    books = with_books(house, *range(7))

    pages = [
        books.list_paginated(QueryOptions(pagination={"page": n, "per_page": 3})) for n in (1, 2, 3)
    ]

    assert [titles(page) for page in pages] == [
        ["book 0", "book 1", "book 2"],
        ["book 3", "book 4", "book 5"],
        ["book 6"],
    ]
    assert [(p.total, p.pages, p.page, p.has_next, p.has_prev) for p in pages] == [
        (7, 3, 1, True, False),
        (7, 3, 2, True, True),
        (7, 3, 3, False, True),
    ]
    past = books.list_paginated(QueryOptions(pagination={"page": 9, "per_page": 3}))
    assert (past.items, past.total, past.has_next) == ([], 7, False)


def test_a_page_needs_no_total(house: House):
    books = with_books(house, 1, 2)

    page = books.list_paginated(QueryOptions(pagination={"per_page": 1, "count": False}))

    assert (page.total, page.pages, page.has_next, len(page)) == (None, None, True, 1)


def read_all(books: Any, field: str, direction: str, limit: int = 2, **options: Any) -> list[str]:
    """Return the titles of all pages by cursor."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        after = CursorPaginationParams(limit, cursor, field, direction)  # type: ignore[arg-type]  # a text is what users give
        page = books.cursor_paginate(QueryOptions(cursor_pagination=after, **options))
        found += titles(page)
        assert page.has_more is (page.next_cursor is not None)
        if page.next_cursor is None:
            return found
        assert len(page) == limit
        cursor = page.next_cursor


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_cursors_cover_all_records_once_in_the_order_of_a_list(house: House, direction: Any):
    books = with_books(house, 1, None, 1, 1, None, 0, 3)

    for field in ("pages", "title", "created_at", "id"):
        listed = books.list(QueryOptions(sorts=[SortField(field, direction)]))
        if direction == "asc":
            assert read_all(books, field, direction) == titles(listed)
        assert sorted(read_all(books, field, direction)) == sorted(titles(listed))


def test_cursors_take_decimals_instants_enums_and_filters(house: House):
    samples = house.repository(Sample)
    for number in range(5):
        at = NOON + dt.timedelta(microseconds=number % 2)
        samples.create(name=f"{number}", price=Decimal(number) / 4, at=at)

    for field in ("price", "at", "name", "id"):
        cursor, names = None, []
        for _ in range(3):
            after = CursorPaginationParams(2, cursor, field)
            page = samples.cursor_paginate(
                QueryOptions({"name": {"$ne": "9"}}, cursor_pagination=after)
            )
            names += [item.name for item in page]
            cursor = page.next_cursor
        assert cursor is None
        assert sorted(names) == ["0", "1", "2", "3", "4"], field


def test_cursors_survive_inserts_between_pages(house: House):
    books = with_books(house, 10, 20, 30, 40)
    first = books.cursor_paginate(
        QueryOptions(cursor_pagination=CursorPaginationParams(2, None, "pages"))
    )

    books.create(title="before", pages=5)
    books.create(title="after", pages=35)
    after = CursorPaginationParams(5, first.next_cursor, "pages")
    second = books.cursor_paginate(QueryOptions(cursor_pagination=after))

    assert titles(first) == ["book 0", "book 1"]
    assert titles(second) == ["book 2", "after", "book 3"]


def test_altered_and_foreign_cursors_are_refused(house: House):
    books = with_books(house, 1, 2, 3)
    page = books.cursor_paginate(
        QueryOptions(cursor_pagination=CursorPaginationParams(1, None, "pages"))
    )
    cursor = page.next_cursor
    flipped = ("B" if cursor[0] == "A" else "A") + cursor[1:]

    for wrong, field, filters in [
        (flipped, "pages", None),
        (cursor[:-3], "pages", None),
        ("", "pages", None),
        ("no cursor", "pages", None),
        (cursor, "title", None),
        (cursor, "pages", {"pages": 2}),
    ]:
        after = CursorPaginationParams(1, wrong, field)
        with pytest.raises(CursorError):
            books.cursor_paginate(QueryOptions(filters, cursor_pagination=after))


def test_a_list_returns_the_page_by_cursor_that_its_options_ask_for(house: House):
    books = with_books(house, 3, 1, 2)
    after = CursorPaginationParams(2, None, "pages")

    assert titles(books.list(QueryOptions(cursor_pagination=after))) == ["book 1", "book 2"]
    with pytest.raises(ParameterError, match="cursor_field"):
        books.cursor_paginate(QueryOptions(sorts="title", cursor_pagination=after))


def test_an_order_by_an_unknown_field_is_refused(house: House):
    books = with_books(house, 1)

    with pytest.raises(UnknownFieldError, match="page"):
        books.cursor_paginate(QueryOptions(cursor_pagination={"cursor_field": "page"}))
    with pytest.raises(FilterError):
        books.cursor_paginate(
            QueryOptions(cursor_pagination={"cursor_field": "pages", "direction": "up"})
        )


# ---------------------------------------------------------------------- change


def test_update_changes_by_key_and_by_record(house: House):
    books = with_books(house, 1)

    by_key = books.update(1, {"pages": 2})
    by_record = books.update(by_key, {"pages": 3})
    by_record.pages = 4
    as_it_is = books.update(by_record)

    assert as_it_is is by_key
    assert (as_it_is.pages, as_it_is.version) == (4, 4)
    assert as_it_is.updated_at > as_it_is.created_at
    with pytest.raises(RecordNotFoundError):
        books.update(99, {"pages": 2})


def test_update_names_the_field_that_does_not_fit(house: House):
    books = with_books(house, 1)

    with pytest.raises(RecordValidationError, match="pages"):
        books.update(1, {"pages": "many"})
    with pytest.raises(RecordValidationError, match="titel"):
        books.update(1, {"titel": "x"})
    with pytest.raises(ParameterError, match="'id' of 'Book' cannot be changed"):
        books.update(1, {"id": 5})

    assert books.update(1, {"id": 1, "pages": 7}).pages == 7


def test_expected_versions_are_checked(house: House):
    books = with_books(house, 1)

    books.update(1, {"pages": 2}, expect_version=1)
    with pytest.raises(StaleRecordError):
        books.update(1, {"pages": 3}, expect_version=1)

    assert books.get(1).pages == 2


def test_what_is_no_version_is_refused(house: House):
    books = with_books(house, 1)

    for version in ("1", 1.0, True, 1.5, 2**70, [1]):
        with pytest.raises(ParameterError, match="expect_version must be a whole number"):
            books.update(1, {"pages": 2}, expect_version=version)

    assert books.get(1).pages == 1


def test_an_expected_version_of_a_model_without_versions_is_refused(house: House):
    authors = house.repository(Author)
    authors.create({"name": "Ada"})

    with pytest.raises(ParameterError, match="'Author' is not versioned"):
        authors.update(1, {"name": "Bob"}, expect_version=1)


def test_a_given_version_is_ignored(house: House):
    books = with_books(house, 1)

    assert books.update(1, {"pages": 2, "version": 50}).version == 2
    assert books.bulk_update([{"id": 1, "pages": 3, "version": 1}]) == 1
    assert books.get(1).version == 3


def test_of_two_sessions_that_change_a_record_the_second_is_refused(house: House):
    if not house.shared or (house.database == "sqlite" and house.scoped):
        pytest.skip("sessions on this database wait for each other")
    first = with_books(house, 1)
    second = house.repository(Book)
    theirs = second.get(1)
    house.commit(second)

    first.update(1, {"pages": 2})
    house.commit(first)
    with pytest.raises(
        StaleRecordError, match=r"'Book' (was changed or removed|id=1 is at version 2)"
    ):
        second.update(theirs, {"pages": 3}, expect_version=1)
    house.rollback(second)

    assert second.get(1).pages == 2


def test_a_value_that_was_changed_in_place_is_written_when_it_is_given(house: House):
    samples = house.repository(Sample)
    sample = samples.create(name="x", data={"log": []})
    key = sample.id
    house.commit(samples)

    changes: list[Any] = [
        lambda: samples.update(sample, {"data": sample.data}),
        lambda: samples.update(sample, sample),
        lambda: samples.bulk_update([{"id": key, "data": sample.data}]),
        lambda: samples.update_or_create({"name": "x"}, {"data": sample.data}),
    ]
    for number, change in enumerate(changes):
        sample = samples.get(key)
        sample.data["log"].append(number)
        change()
        house.commit(samples)
        samples.session.expunge_all()

        assert samples.get(key).data == {"log": list(range(number + 1))}


def test_an_equal_value_changes_nothing(house: House):
    books = with_books(house, 1)

    books.update(1, {"title": books.get(1).title, "pages": 1})

    assert books.get(1).version == 1


def test_bulk_update_changes_each_row_by_its_key(house: House):
    books = with_books(house, 1, 2, 3)

    assert books.bulk_update([{"id": 1, "pages": 10}, {"id": 3, "pages": 30}]) == 2

    assert [book.pages for book in books.list()] == [10, 2, 30]
    with pytest.raises(RecordNotFoundError):
        books.bulk_update([{"id": 99, "pages": 1}])
    with pytest.raises(DataFlowError, match="id"):
        books.bulk_update([{"pages": 1}])


def test_bulk_update_is_the_work_of_one_user(house: House):
    books = with_books(house, 1, 2, 3)

    books.bulk_update([{"id": n, "pages": 10 * n} for n in (1, 2, 3)], user_id="ada")

    assert {book.updated_by for book in books.list()} == {"ada"}


def test_append_only_models_are_not_changed(house: House):
    events = house.repository(Event)
    event = events.create(what="x")

    for change in (
        lambda: events.update(event.id, {"what": "y"}),
        lambda: events.delete(event.id),
        lambda: events.bulk_update([{"id": event.id, "what": "y"}]),
        lambda: events.bulk_delete([event.id]),
    ):
        with pytest.raises(AppendOnlyError):
            change()
    assert events.get(event.id).what == "x"


# ---------------------------------------------------------------------- delete


def test_delete_hides_restore_shows_and_a_hard_delete_removes(house: House):
    books = with_books(house, 1, 2)

    assert books.delete(1) is True
    assert books.delete(1) is False
    assert books.get_by_id(1) is None
    assert books.get_by_id(1, include_deleted=True).deleted_at is not None
    assert (books.count(), len(books.list(QueryOptions(include_deleted=True)))) == (1, 2)
    assert books.restore(1).deleted_at is None
    assert books.count() == 2
    assert books.delete(1, soft_delete=False) is True
    assert books.get_by_id(1, include_deleted=True) is None
    with pytest.raises(RecordNotFoundError):
        books.restore(1)
    with pytest.raises(RecordNotFoundError):
        books.soft_delete(1)


def test_a_user_whom_no_database_can_name_is_refused_before_anything_is_written(house: House):
    books = with_books(house, 1)

    for write in (
        lambda who: books.create({"title": "x"}, user_id=who),
        lambda who: books.update(1, {"pages": 7}, user_id=who),
        lambda who: books.soft_delete(1, user_id=who),
        lambda who: books.delete(1, user_id=who),
    ):
        for who in ("a\0b", "\ud800", "a" * 256):
            with pytest.raises(ParameterError, match="user_id"):
                write(who)

    assert [(book.title, book.pages) for book in books.list()] == [("book 0", 1)]


def test_soft_delete_marks_a_record_and_who_did_it(house: House):
    books = with_books(house, 1)

    gone = books.soft_delete(1, user_id="eve")

    assert gone.deleted_at is not None
    assert gone.deleted_by == "eve"
    assert books.restore(gone, user_id="bob").deleted_by is None
    assert gone.updated_by == "bob"


def test_models_without_soft_delete_are_deleted_for_good(house: House):
    countries = house.repository(Country)
    countries.bulk_create([{"code": "de", "name": "Germany"}, {"code": "fr", "name": "France"}])

    assert countries.delete("de") is True
    assert countries.count() == 1
    with pytest.raises(ParameterError, match="soft delete"):
        countries.soft_delete("fr")
    with pytest.raises(ParameterError, match="soft delete"):
        countries.restore("fr")


def test_a_record_that_was_deleted_for_good_is_not_there(house: House):
    countries = house.repository(Country)
    gone = countries.create(code="de", name="Germany")
    house.commit(countries)

    assert countries.delete(gone) is True
    for after in ("the flush", "the commit"):
        assert countries.delete(gone) is False
        with pytest.raises(RecordNotFoundError, match="key code='de'"):
            countries.update(gone, {"name": after})
        house.commit(countries)
    assert gone.name == "Germany"


def test_a_rollback_brings_back_what_was_deleted_for_good(house: House):
    countries = house.repository(Country)
    country = countries.create(code="de", name="Germany")
    house.commit(countries)

    countries.delete(country)
    house.rollback(countries)
    countries.update(country, {"name": "Deutschland"})
    house.commit(countries)
    countries.session.expunge_all()

    assert countries.get("de").name == "Deutschland"


def test_bulk_delete_takes_keys_and_records(house: House):
    books = with_books(house, 1, 2, 3)

    assert books.bulk_delete([1, books.get(2), 99]) == 2

    assert titles(books.list()) == ["book 2"]


# -------------------------------------------------------------------- who, whose


def test_user_id_is_who_did_it(house: House):
    books = house.repository(Book)

    book = books.create({"title": "x"}, user_id="ada")
    assert (book.created_by, book.updated_by) == ("ada", "ada")
    books.update(book, {"pages": 1}, user_id="bob")
    assert (book.created_by, book.updated_by) == ("ada", "bob")
    books.delete(book, user_id=uuid.UUID(int=7))
    assert book.deleted_by == str(uuid.UUID(int=7))


def test_the_actor_of_the_call_is_who_did_it(house: House):
    books = house.repository(Book)

    with Setting(actor, "ada"):
        book = books.create({"title": "x"})
        books.bulk_create([{"title": "y"}])
        books.soft_delete(book)

    assert (book.created_by, book.deleted_by) == ("ada", "ada")
    assert books.get_by_field("title", "y").created_by == "ada"


def test_without_a_tenant_nothing_is_read_or_written(house: House):
    notes = house.repository(Note)

    for call in (
        lambda: notes.create(text="x"),
        notes.list,
        notes.count,
        notes.exists,
        lambda: notes.get(1),
        lambda: notes.update(1, {"text": "x"}),
        lambda: notes.delete(1),
        notes.list_paginated,
        notes.cursor_paginate,
        lambda: notes.search("x"),
    ):
        with pytest.raises(TenantRequiredError):
            call()


def test_the_tenant_may_be_given_the_sessions_or_the_calls(house: House):
    if not house.shared:
        pytest.skip("each mock repository has a database of its own")
    given = house.repository(Note, "acme")
    given.create(text="mine")
    house.commit(given)
    other = house.repository(Note, "globex")
    other.create(text="theirs")
    house.commit(other)

    sessions = house.repository(Note, session_tenant="acme")
    calls = house.repository(Note)

    assert [note.text for note in given.list()] == ["mine"]
    house.commit(given)
    assert [note.text for note in sessions.list()] == ["mine"]
    house.commit(sessions)
    with Setting(tenant, "globex"):
        assert [note.text for note in calls.list()] == ["theirs"]
        assert calls.count() == 1


def test_a_tenants_record_of_another_is_not_there(house: House):
    if not house.shared:
        pytest.skip("each mock repository has a database of its own")
    mine = house.repository(Note, "acme")
    key = mine.create(text="mine").id
    house.commit(mine)
    theirs = house.repository(Note, "globex")

    assert theirs.get_by_id(key) is None
    assert theirs.get_by_id(key, include_deleted=True) is None
    assert theirs.delete(key) is False
    assert theirs.delete(key, soft_delete=False) is False
    for call in (
        lambda: theirs.get(key),
        lambda: theirs.update(key, {"text": "x"}),
        lambda: theirs.restore(key),
        lambda: theirs.soft_delete(key),
        lambda: theirs.bulk_update([{"id": key, "text": "x"}]),
    ):
        with pytest.raises(RecordNotFoundError):
            call()
    house.rollback(theirs)
    assert mine.get(key).text == "mine"


def test_a_record_at_hand_of_another_tenant_is_not_touched(house: House):
    if not house.shared:
        pytest.skip("each mock repository has a database of its own")
    mine = house.repository(Note, "acme")
    note = mine.create(text="mine")
    mine.session.expunge_all()
    house.commit(mine)
    theirs = house.repository(Note, "globex")

    for call in (
        lambda: theirs.update(note, {"text": "x"}),
        lambda: theirs.soft_delete(note),
        lambda: theirs.restore(note),
    ):
        with pytest.raises(RecordNotFoundError):
            call()
    assert theirs.delete(note) is False
    assert theirs.delete(note, soft_delete=False) is False
    house.rollback(theirs)
    assert mine.get(note.id).text == "mine"


def test_a_tenant_of_a_model_that_tenants_do_not_share_is_refused(house: House):
    if type(house) is PerCall:
        pytest.skip("its sessions have the tenants")

    with pytest.raises(ParameterError, match="tenants do not share 'Book'"):
        house.repository(Book, "acme")
    with pytest.raises(ParameterError, match="tenants do not share 'Book'"):
        house.repository(Book).find_by_tenant("acme")


def test_a_record_of_another_tenant_is_not_made(house: House):
    notes = house.repository(Note, "acme")

    with pytest.raises(RecordValidationError, match=r"tenant_id: is not the tenant .*globex"):
        notes.create(text="x", tenant_id="globex")
    with pytest.raises(DataFlowError, match="tenant_id"):
        notes.update(notes.create(text="x"), {"tenant_id": "globex"})

    assert notes.create(text="x", tenant_id="acme").tenant_id == "acme"


def test_find_by_tenant_refuses_another_tenant(house: House):
    notes = house.repository(Note, "acme")
    notes.create(text="mine")

    assert [note.text for note in notes.find_by_tenant("acme", {"text": "mine"})] == ["mine"]
    if type(house) is not PerCall:
        with pytest.raises(ParameterError, match="acme"):
            notes.find_by_tenant("globex")
        with pytest.raises(ParameterError, match="acme"):
            notes.get_by_id(1, "globex")


def test_all_tenants_are_read_and_not_written(house: House):
    if not house.shared:
        pytest.skip("each mock repository has a database of its own")
    for name in ("acme", "globex"):
        notes = house.repository(Note, name)
        notes.create(text=name)
        house.commit(notes)

    with Setting(tenant, ALL_TENANTS):
        everyone = house.repository(Note)
        assert [note.text for note in everyone.list()] == ["acme", "globex"]
        assert everyone.count() == 2
        with pytest.raises(TenantRequiredError):
            everyone.create(text="x")


# ---------------------------------------------------------------- transactions


def test_nothing_commits_but_the_owner(house: House):
    if not house.shared:
        pytest.skip("a mock repository has one session")
    if house.database == "sqlite" and house.scoped:
        pytest.skip("sessions on this database wait for each other")
    books = house.repository(Book)
    book = books.create(title="x")
    books.update(book, {"pages": 1})
    books.bulk_create([{"title": "y"}])
    reader = house.repository(Book)

    assert reader.count() == 0
    house.rollback(reader)
    house.commit(books)
    assert reader.count() == 2


def test_a_rollback_takes_everything_back(house: House):
    books = with_books(house, 1)

    books.create(title="x")
    books.update(1, {"pages": 9})
    books.delete(1)
    house.rollback(books)

    assert (books.count(), books.get(1).pages, books.get(1).version) == (1, 1, 1)


def test_after_an_error_of_the_database_a_rollback_makes_the_session_usable(house: House):
    authors = house.repository(Author)
    authors.create(name="Ada", email="ada@example.com")
    house.commit(authors)

    with pytest.raises(Exception, match=r"(?i)unique"):
        authors.create(name="Eve", email="ada@example.com")
    house.rollback(authors)

    assert authors.create(name="Eve").id is not None
    assert authors.count() == 2
