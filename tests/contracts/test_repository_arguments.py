"""What every kind of repository refuses, in words that say what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from houses import Author, Book, Country, House, Sample

from dataflow import DataFlow
from dataflow.errors import DataFlowError, OptionError, ParameterError
from dataflow.repositories import AsyncRepository, QueryFilter, QueryOptions, Repository, SortField

Call = Callable[[Any], Any]
REFUSED: dict[str, tuple[Call, str]] = {
    "sorts are a number": (
        lambda books: books.list(QueryOptions(sorts=5)),
        "sorts must be SortFields or names of fields, not 5.",
    ),
    "a sort is a number": (
        lambda books: books.list(QueryOptions(sorts=[5])),
        "a sort entry cannot be 5.",
    ),
    "include is a number": (
        lambda books: books.list(QueryOptions(include=5)),
        "include must be a list of names, not 5.",
    ),
    "include of one record is a number": (
        lambda books: books.get(1, include=5),
        "include must be a list of names, not 5.",
    ),
    "include names no link": (
        lambda books: books.get(1, include="nope"),
        "model 'Book' has no field 'nope'.",
    ),
    "fields of a search are a number": (
        lambda books: books.search("x", 5),
        "fields must be a list of names, not 5.",
    ),
    "options of a page are a number": (
        lambda books: books.list_paginated(5),
        "filters must be QueryFilters or a filter document, not 5.",
    ),
    "options of a page by cursor are a number": (
        lambda books: books.cursor_paginate(5),
        "filters must be QueryFilters or a filter document, not 5.",
    ),
    "a field to count by is a number": (
        lambda books: books.count_by(5),
        "model 'Book' has no field 5.",
    ),
    "a field to count by is a list": (
        lambda books: books.count_by(["pages"]),
        "model 'Book' has no field ['pages'].",
    ),
    "a field of a filter is a list": (
        lambda books: books.list([QueryFilter(["pages"], "eq", 1)]),  # type: ignore[arg-type]  # refused
        "the name of a field is a text, not ['pages'].",
    ),
    "a field to get by is a list": (
        lambda books: books.get_by_field(["pages"], 1),
        "the name of a field is a text, not ['pages'].",
    ),
    "what to delete is a number": (
        lambda books: books.bulk_delete(5),
        "many of 'Book' are a list of records or keys, not 5.",
    ),
}


def test_a_wrong_argument_is_refused_by_what_is_expected(house: House):
    books = house.repository(Book)
    books.create({"title": "Emma"})
    told = dict[str, str]()

    for name, (call, problem) in REFUSED.items():
        with pytest.raises(DataFlowError) as caught:
            call(books)
        told[name] = caught.value.problem_text()
        assert str(caught.value).startswith(problem)

    assert told == {name: problem for name, (_, problem) in REFUSED.items()}
    assert books.count() == 1


def test_a_text_is_no_list_of_keys(house: House):
    countries = house.repository(Country)
    countries.bulk_create([{"code": "c", "name": "C"}, {"code": "l", "name": "L"}])

    with pytest.raises(ParameterError, match="a list of records or keys"):
        countries.bulk_delete("cl")

    assert countries.count() == 2


def test_documents_are_not_counted_by(house: House):
    samples = house.repository(Sample)
    samples.create({"name": "a", "data": {"k": 1}})

    with pytest.raises(DataFlowError, match="field 'data' holds documents or lists"):
        samples.count_by("data")


def test_one_name_is_a_list_of_one(house: House):
    authors = house.repository(Author)
    authors.create({"name": "Ada", "email": "bob"})

    assert [author.name for author in authors.search("ada", "name")] == ["Ada"]
    assert authors.search("ada", "email") == []
    assert authors.get(1, include="books").books == []


def test_an_order_is_taken_in_every_spelling_of_a_list(house: House):
    books = house.repository(Book)
    books.bulk_create([{"title": title} for title in "abc"])

    for sort in ("-title", {"field": "title", "direction": "desc"}, SortField("title", "desc")):
        options = QueryOptions(sorts=[sort])  # type: ignore[list-item]  # a dict, too
        assert [book.title for book in books.list(options)] == ["c", "b", "a"]


NUMBERED = 'pass QueryOptions(pagination={"page": …, "per_page": …})'
BY_CURSOR = 'pass QueryOptions(cursor_pagination={"limit": …})'
WINDOWS: list[tuple[Call, str]] = [
    (lambda books: books.list_paginated(QueryOptions(limit=2)), NUMBERED),
    (lambda books: books.list_paginated(QueryOptions(skip=1)), NUMBERED),
    (lambda books: books.list_paginated(QueryOptions(limit=0)), NUMBERED),
    (lambda books: books.list_paginated(QueryOptions(pagination={"page": 1}, skip=1)), NUMBERED),
    (lambda books: books.cursor_paginate(QueryOptions(limit=2)), BY_CURSOR),
    (lambda books: books.cursor_paginate(QueryOptions(skip=1)), BY_CURSOR),
    (lambda books: books.list(QueryOptions(cursor_pagination={}, limit=2)), BY_CURSOR),
]


def test_numbers_that_a_page_would_pass_over_are_refused_with_where_they_belong(house: House):
    books = house.repository(Book)
    books.bulk_create([{"title": title} for title in "abc"])

    for call, advice in WINDOWS:
        with pytest.raises(ParameterError, match="skip and limit are for lists") as caught:
            call(books)
        assert advice in str(caught.value)


def test_a_search_may_go_through_pages_by_cursor(house: House):
    books = house.repository(Book)
    books.bulk_create([{"title": f"t{number}"} for number in range(3)])

    options = QueryOptions(cursor_pagination={"limit": 2, "cursor_field": "title"})
    found = books.search("t", options=options)

    assert [book.title for book in found] == ["t0", "t1"]


@pytest.mark.parametrize("kind", [Repository, AsyncRepository])
def test_what_is_no_session_is_refused(kind: Any):
    with pytest.raises(ParameterError, match=r"needs an? .*[sS]ession, not 5"):
        kind(5, Book)


def test_what_is_no_model_is_refused(memory: DataFlow):
    with memory.session() as session, pytest.raises(OptionError, match="neither a model nor"):
        Repository(session, 5)  # type: ignore[arg-type]  # refused
