"""Lists of repositories and of the verbs agree, whatever the filter and the order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import DataFlow
from dataflow.repositories import QueryOptions, Repository

pytestmark = pytest.mark.long

WORDS = ("", "a", "A", "ab", "50%", "a_b", "é")
ROWS = [
    {"word": word, "number": number, "ok": ok, "data": data}
    for word, number, ok, data in zip(
        WORDS * 3,
        [None, -1, 0, 1, 2, 2**40, 7] * 3,
        [True, False, None] * 7,
        [None, {}, {"k": 1}, {"k": "1"}, {"k": None}, {"k": [1, "a"]}, {"o": {"k": 1}}] * 3,
        strict=True,
    )
]

word_terms = st.one_of(
    st.sampled_from(WORDS),
    st.builds(
        lambda op, value: {op: value},
        st.sampled_from(["$eq", "$ne", "$gt", "$lte", "$like", "$contains", "$startswith"]),
        st.sampled_from(WORDS),
    ),
    st.builds(
        lambda op, values: {op: values},
        st.sampled_from(["$in", "$nin"]),
        st.lists(st.sampled_from(WORDS), max_size=3),
    ),
)
number_terms = st.one_of(
    st.sampled_from([None, -1, 0, 2**40]),
    st.builds(
        lambda op, value: {op: value},
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
        st.integers(-2, 3),
    ),
    st.builds(lambda flag: {"$null": flag}, st.booleans()),
    st.builds(lambda low, high: {"$between": [low, high]}, st.integers(-2, 3), st.integers(-2, 3)),
    st.builds(lambda values: {"$nin": values}, st.lists(st.sampled_from([None, 0, 1]))),
)
data_terms = st.one_of(
    st.sampled_from([1, "1", None, [1, "a"]]),
    st.builds(lambda flag: {"$exists": flag}, st.booleans()),
    st.builds(lambda value: {"$ne": value}, st.sampled_from([1, "1"])),
)
terms = st.one_of(
    st.builds(lambda term: {"word": term}, word_terms),
    st.builds(lambda term: {"number": term}, number_terms),
    st.builds(lambda term: {"data.k": term}, data_terms),
    st.builds(lambda term: {"data.o.k": term}, data_terms),
    st.builds(lambda value: {"ok": value}, st.sampled_from([True, False, None])),
)
filters = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.builds(
            lambda op, parts: {op: parts},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=5,
)
sorts = st.lists(
    st.sampled_from(["word", "-word", "number", "-number", "ok", "-id"]),
    max_size=3,
    unique_by=lambda name: name.lstrip("-"),
)


class Both:
    """The verbs and a repository on one database."""

    def __init__(self, db: DataFlow) -> None:
        @db.model(timestamps=False)
        class Entry:
            id: int
            word: str
            number: int | None
            ok: bool | None
            data: dict[str, Any] | None

        db.bulk_create(Entry, ROWS)
        self.db = db
        self.session = db.session(read_only=True)
        self.repository = Repository(self.session, Entry)


@pytest.fixture
def both(db: DataFlow) -> Iterator[Both]:
    made = Both(db)
    yield made
    made.session.close()


@given(document=filters, order=sorts)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_repository_and_verbs_agree(both: Both, document: dict[str, Any], order: list[str]):
    verbs = both.db.list("Entry", document, sort=order or None, limit=None)["records"]
    found = both.repository.list(QueryOptions(document, sorts=order))

    assert [record.id for record in found] == [record["id"] for record in verbs]
    assert [record.data for record in found] == [record["data"] for record in verbs]
    assert both.repository.count(document) == len(verbs)
    assert both.repository.exists(document) is bool(verbs)
