"""Filters on JSON: MongoDB's operators, paths and missing values, on every database."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import JSON
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import FilterError

ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "a", "tags": ["premium", "x"],
     "meta": {"p": {"theme": "dark", "n": 5}, "items": [{"q": 1}, {"q": 7}]}},
    {"id": 2, "name": "b", "tags": ["x"], "meta": {"p": {"theme": "light", "n": 7.5}}},
    {"id": 3, "name": "c\nd", "tags": [], "meta": {"p": None, "items": []}},
    {"id": 4, "name": "dé", "tags": [1, 2, 3, 4, ["premium"]], "meta": None},
    {"id": 5, "name": "e", "tags": ["pre", None],
     "meta": {"p": {"theme": ["dark", "blue"], "o": {"k": 1}}, "items": [{"z": 1}, 3]}},
]  # fmt: skip


@pytest.fixture(scope="module")
def profiles(shared_db: DataFlow) -> DataFlow:
    @shared_db.model
    class Profile:
        id: int
        name: str
        meta: dict[str, Any] | None = None
        tags: list[Any] = Field(default_factory=list)

    shared_db.bulk_create(Profile, ROWS)
    return shared_db


CASES: list[tuple[dict[str, Any], list[int]]] = [
    ({"meta.p.theme": "dark"}, [1, 5]),
    ({"tags": {"$contains": "premium"}}, [1]),
    ({"tags": "premium"}, [1]),
    ({"tags": {"$contains": ["premium"]}}, [4]),
    ({"tags": {"$size": {"$gt": 2}}}, [4]),
    ({"tags": {"$size": 0}}, [3]),
    ({"meta.items": {"$size": 2}}, [1, 5]),
    ({"meta.items.q": {"$gt": 5}}, [1]),
    ({"meta.items.1.q": 7}, [1]),
    ({"meta.items.0.q": 1}, [1]),
    ({"tags.0": "premium"}, [1]),
    ({"tags.4.0": "premium"}, [4]),
    ({"meta.p.n": {"$gte": 5, "$lt": 7}}, [1]),
    ({"meta.p.n": {"$between": [5, 6]}}, [1]),
    ({"meta.p.n": {"$not": {"$gt": 6}}}, [1, 3, 4, 5]),
    ({"meta.p.n": {"$gt": "4"}}, []),
    ({"meta": None}, [4]),
    ({"meta.p": None}, [3, 4]),
    ({"meta.p.theme": None}, [3, 4]),
    ({"meta.p.theme": {"$null": False}}, [1, 2, 5]),
    ({"meta.p.theme": {"$exists": True}}, [1, 2, 5]),
    ({"meta.p.theme": {"$exists": False}}, [3, 4]),
    ({"meta.p.theme": {"$ne": "dark"}}, [2, 3, 4]),
    ({"meta.p.theme": {"$in": ["light", "blue", None]}}, [2, 3, 4, 5]),
    ({"meta.p.theme": {"$nin": ["light", "blue"]}}, [1, 3, 4]),
    ({"tags": {"$all": ["x", "premium"]}}, [1]),
    ({"tags": {"$all": []}}, []),
    ({"tags": {"$in": [["x"], []]}}, [2, 3]),
    ({"tags": ["x"]}, [2]),
    ({"meta.items": []}, [3]),
    ({"meta.p.o": {"k": 1}}, [5]),
    ({"meta.p.theme": ["dark", "blue"]}, [5]),
    ({"meta.items": {"$elemMatch": {"q": {"$gt": 1}}}}, [1]),
    ({"meta.items": {"$elemMatch": {"q": {"$exists": False}}}}, [5]),
    ({"tags": {"$elemMatch": {"$gt": 2, "$lt": 4}}}, [4]),
    ({"meta.p.theme": {"$regex": "^d.r"}}, [1, 5]),
    ({"meta.p.theme": {"$startswith": "li"}}, [2]),
    ({"meta.p.theme": {"$ilike": "D%K"}}, [1, 5]),
    ({"meta.p.theme": {"$contains": "ar"}}, [1]),
    ({"tags": {"$contains": "pre"}}, [5]),
    ({"tags": None}, [5]),
    ({"tags": {"$elemMatch": {"$regex": "^PRE", "$options": "i"}}}, [1, 4, 5]),
    ({"meta.items": {"$elemMatch": {"$eq": {"q": 7}}}}, [1]),
    ({"meta.items": {"$elemMatch": {"q": 1, "z": None}}}, [1]),
    ({"name": {"$ilike": "Dé"}}, [4]),
    ({"$nor": [{"meta.p.theme": "dark"}, {"tags": []}]}, [2, 4]),
    ({"name": {"$regex": "^(a|b)$"}}, [1, 2]),
    ({"name": {"$regex": "C.D", "$options": "is"}}, [3]),
    ({"name": {"$regex": "C.D", "$options": "i"}}, []),
    ({"name": {"$regex": r"\bd"}}, [3, 4]),
    ({"meta.x'; DROP TABLE profiles; --": 1}, []),
    ({'meta."': {"$eq": '"'}}, []),
]


@pytest.mark.parametrize(("filter", "found"), CASES, ids=str)
def test_a_filter_on_json_finds_what_mongodb_finds(
    profiles: DataFlow, filter: dict[str, Any], found: list[int]
):
    records = profiles.query("Profile").where(filter).sort("id").all()

    assert [record.id for record in records] == found


@pytest.fixture(
    params=[JSON, JSONB, MutableDict.as_mutable(JSON)], ids=["json", "jsonb", "mutable"]
)
def adopted(db: DataFlow, request: pytest.FixtureRequest) -> DataFlow:
    """The same records in a class of SQLAlchemy's, with a type of its own for documents."""
    kind = (
        JSON().with_variant(request.param(), "postgresql")
        if request.param is JSONB
        else request.param
    )

    class Base(DeclarativeBase):
        pass

    class Profile(Base):
        __tablename__ = "profiles"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        meta: Mapped[dict[str, Any] | None] = mapped_column(kind)
        tags: Mapped[list[Any]] = mapped_column(JSON)

    db.adopt(Profile)
    db.bulk_create("Profile", ROWS)
    return db


def test_documents_of_sqlalchemys_own_types_are_looked_into_likewise(adopted: DataFlow):
    query = adopted.query("Profile")
    found = [[record.id for record in query.where(case).sort("id").all()] for case, _ in CASES]

    assert found == [wanted for _, wanted in CASES]


def test_documents_of_sqlalchemys_own_types_are_aggregated(adopted: DataFlow):
    themes = adopted.query("Profile").aggregate(
        [
            {"$group": {"_id": "$meta.p.theme", "tags": {"$push": "$tags"}}},
            {"$match": {"_id": "light"}},
        ]
    )
    kept = adopted.query("Profile").aggregate([{"$match": {"id": 4}}, {"$project": {"meta": 1}}])

    assert themes == [{"_id": "light", "tags": [["x"]]}]
    assert kept == [{"meta": None}]
    with pytest.raises(FilterError, match="holds JSON and has no order"):
        adopted.query("Profile").sort("meta").all()


@pytest.mark.parametrize(
    ("filter", "problem"),
    [
        ({"name.x": 1}, "field 'name' holds no JSON, so 'name.x' names nothing in it."),
        ({"meta..x": 1}, "the path 'meta..x' must have 1 to 32 parts of plain text."),
        (
            {"meta.x": {"$foo": 1}},
            "there is no operator '$foo' (in the filter of field 'meta.x').",
        ),
        ({"meta.x": {"$size": -1}}, "$size of 'meta.x' takes a whole number from 0, not -1."),
        ({"meta.x": {"$in": "abc"}}, "$in of field 'meta' takes a list."),
        ({"meta.x": {"$gt": None}}, "$gt of 'meta.x' cannot compare with None."),
        (
            {"meta.x": b"1"},
            "$eq of 'meta.x' cannot compare JSON with bytes b'1'.",
        ),
        ({"name": {"$size": 1}}, "$size takes a JSON list, and field 'name' holds none."),
    ],
    ids=str,
)
def test_a_filter_that_json_cannot_answer_is_refused(
    profiles: DataFlow, filter: dict[str, Any], problem: str
):
    with pytest.raises(FilterError) as caught:
        profiles.query("Profile").where(filter)

    assert caught.value.problem_text() == problem


@pytest.mark.parametrize(
    ("text", "found"),
    [("-5m", [2]), ("-2h", [1, 2]), ("2020-01-01", [1, 2]), ("now", []), ("tomorrow", [])],
)
def test_instants_may_be_given_relative_to_now(db: DataFlow, text: str, found: list[int]):
    @db.model
    class Session:
        id: int
        seen: dt.datetime

    now = dt.datetime.now(dt.UTC)
    db.create("Session", id=1, seen=now - dt.timedelta(hours=1))
    db.create("Session", id=2, seen=now - dt.timedelta(minutes=1))
    query = db.query("Session").where({"seen": {"$gte": {"$date": text}}})

    assert [record.id for record in query.sort("id").all()] == found


LARGE = [6.02214076e23, 1e23, 1.5e300, -1e23, 2.0**57, 1e16, 2**62, 2**63 + 2**11, 10**400]


@pytest.mark.parametrize("number", LARGE, ids=lambda number: f"{str(number)[:25]}")
def test_a_large_number_in_a_document_finds_its_own_record(db: DataFlow, number: float):
    @db.model(timestamps=False)
    class Star:
        id: int
        doc: dict[str, Any]

    near = int(number) + 1 if isinstance(number, int) else math.nextafter(number, 0)
    db.bulk_create(
        Star, [{"id": 1, "doc": {"n": number, "l": [number]}}, {"id": 2, "doc": {"n": near}}]
    )
    filters: list[Any] = [
        {"doc.n": number},
        {"doc.n": {"$in": [number, "x"]}},
        {"doc.n": {"$between": [number, number]}},
        {"doc.n": {"$gte": number, "$lte": number}},
        {"doc.n": {"$ne": near}},
        {"doc.n": {"$nin": [near]}},
        {"doc.l": {"$contains": number}},
        {"doc.l": [number]},
        {"doc": {"n": number, "l": [number]}},
        {"doc.l": {"$elemMatch": {"$gte": number, "$lte": number}}},
    ]

    assert db.read(Star, 1)["doc"]["n"] == number
    assert type(db.read(Star, 1)["doc"]["n"]) is type(number)
    for filter in filters:
        assert [record["id"] for record in db.list(Star, filter)["records"]] == [1], filter
    assert (
        db.count(Star, {"doc.n": {"$gt": number}}) + db.count(Star, {"doc.n": {"$lt": number}}) == 1
    )


@pytest.mark.parametrize("number", [6.02214076e23, 1.5e300, 2.0**57], ids=str)
def test_a_large_number_in_a_document_is_equal_to_itself_in_an_expression(
    db: DataFlow, number: float
):
    @db.model(timestamps=False)
    class Star:
        mass: float
        doc: dict[str, Any]

    db.create(Star, mass=number, doc={"n": number})
    for other in (number, "$mass"):
        (found,) = db.query("Star").aggregate(
            [
                {"$match": {"$expr": {"$eq": ["$doc.n", other]}}},
                {
                    "$project": {
                        "same": {"$gte": ["$doc.n", other]},
                        "among": {"$in": ["$doc.n", [other]]},
                    }
                },
            ]
        )
        assert found == {"same": True, "among": True}


@pytest.mark.parametrize("number", [2.0**57, 6.02214076e23], ids=str)
def test_a_large_float_is_the_whole_number_that_it_is(db: DataFlow, number: float):
    @db.model(timestamps=False)
    class Star:
        id: int
        doc: dict[str, Any]

    db.bulk_create(Star, [{"id": 1, "doc": {"n": number}}, {"id": 2, "doc": {"n": int(number)}}])
    filters: list[Any] = [
        {"doc.n": Decimal(number)},
        {"doc.n": int(number)},
        {"doc.n": {"$in": [int(number)]}},
        {"doc.n": {"$gte": number}},
        {"doc.n": {"$lte": Decimal(number)}},
        {"doc.n": {"$between": [number, number]}},
    ]

    for filter in filters:
        assert [record["id"] for record in db.list(Star, filter)["records"]] == [1, 2], filter


NESTED: list[dict[str, Any]] = [
    {"id": 1, "doc": {"tags": [], "k": {}, "t": "x"}},
    {"id": 2, "doc": {"l": [{"tags": [], "k": {}}]}},
    {"id": 3, "doc": [{"tags": [], "k": {}, "t": "x"}]},
    {"id": 4, "doc": [[{"tags": [], "k": {}}], []]},
    {"id": 5, "doc": [[[{"tags": []}]], [[]]]},
    {"id": 6, "doc": {"0": {"tags": [[]]}}},
    {"id": 7, "doc": {}},
    {"id": 8, "doc": 5},
    {"id": 9, "doc": "x"},
    {"id": 10, "doc": {"x": [[{"y": 1}], {"x": 1}]}},
]
INDEXES: list[tuple[dict[str, Any], list[int]]] = [
    ({"doc.0.t": "x"}, [3]),
    ({"doc.0.tags": []}, [3, 4, 6]),
    ({"doc.0.tags": {"$in": [[], 5]}}, [3, 4, 6]),
    ({"doc.0.tags": {"$nin": [[], 5]}}, [1, 2, 5, 7, 8, 9, 10]),
    ({"doc.0.tags": {"$ne": []}}, [1, 2, 5, 7, 8, 9, 10]),
    ({"doc.0.tags": {"$contains": []}}, [6]),
    ({"doc.0.k": {}}, [3, 4]),
    ({"doc.0.0.tags": []}, [4, 5]),
    ({"doc.l.0.tags": []}, [2]),
    ({"doc.l.0.k": {}}, [2]),
    ({"doc.k.0": {}}, []),
    ({"doc.0": {}}, []),
    ({"doc.0": []}, []),
    ({"doc.1": []}, [4, 5]),
    ({"doc.0": {"$contains": {"k": {}, "tags": []}}}, [4]),
    ({"doc": {}}, [7]),
    ({"doc": {"$contains": {}}}, []),
    ({"doc": {"$contains": []}}, [4]),
]


@pytest.fixture(scope="module")
def nests(shared_db: DataFlow) -> DataFlow:
    @shared_db.model(timestamps=False)
    class Nest:
        id: int
        doc: Any

    shared_db.bulk_create(Nest, NESTED)
    return shared_db


def nests_found(nests: DataFlow, filter: dict[str, Any]) -> list[int]:
    return [record.id for record in nests.query("Nest").where(filter).sort("id").all()]


@pytest.mark.parametrize(("filter", "found"), INDEXES, ids=str)
def test_a_number_in_a_path_is_an_index_of_lists_alone(
    nests: DataFlow, filter: dict[str, Any], found: list[int]
):
    assert nests_found(nests, filter) == found


MISSING: list[tuple[dict[str, Any], list[int]]] = [
    ({"doc.x": None}, [1, 2, 3, 6, 7, 8, 9]),
    ({"doc.x": {"$null": True}}, [1, 2, 3, 6, 7, 8, 9]),
    ({"doc.x": {"$in": [None, 5]}}, [1, 2, 3, 6, 7, 8, 9]),
    ({"doc.x": {"$ne": None}}, [4, 5, 10]),
    ({"doc.x.y": None}, [1, 2, 3, 6, 7, 8, 9, 10]),
    ({"doc.t.x": None}, [1, 2, 3, 6, 7, 8, 9, 10]),
    ({"doc.0.k": None}, [1, 2, 3, 6, 7, 8, 9, 10]),
    ({"doc.0.t": None}, [1, 2, 3, 4, 6, 7, 8, 9, 10]),
]


@pytest.mark.parametrize(("filter", "found"), MISSING, ids=str)
def test_what_a_path_does_not_find_below_a_single_value_is_missing(
    nests: DataFlow, filter: dict[str, Any], found: list[int]
):
    assert nests_found(nests, filter) == found


GRIDS: list[dict[str, Any]] = [
    {"id": 1, "doc": {"m": [[1, 2], [3]]}},
    {"id": 2, "doc": {"m": [[4]]}},
    {"id": 3, "doc": {"m": [1, 9, {"q": 1}]}},
    {"id": 4, "doc": {"m": [[{"q": 1}], [[5, 6]]]}},
    {"id": 5, "doc": {"m": [[1, 9]]}},
    {"id": 6, "doc": {"m": []}},
    {"id": 7, "doc": [{"m": [[1, 2]]}, {"m": 7}]},
    {"id": 8, "doc": [[{"m": [1, 2]}], [{"m": [[7]]}]]},
]
IN_GRIDS: list[tuple[dict[str, Any], list[int]]] = [
    ({"$size": 2}, [1, 5, 7]),
    ({"$size": {"$gte": 1}}, [1, 2, 4, 5, 7]),
    ({"$elemMatch": {"$gt": 3}}, [2, 4, 5]),
    ({"$elemMatch": {"$size": 2}}, [4]),
    ({"$elemMatch": {"$elemMatch": {"$gte": 6}}}, [4]),
    ({"$elemMatch": {"q": 1}}, [4]),
    ({"q": 1}, [3]),
    ({"q": None}, []),
    ({"$eq": {"q": 1}}, [3, 4]),
    ({"$gt": 5, "$lt": 3}, [5]),
    ({"$gt": 5}, [3, 5]),
    ({"$all": [1, 2]}, [1, 7]),
    ({"$contains": 3}, [1]),
    ({"$not": {"$size": 1}}, [1, 3, 5, 7]),
    ({"$exists": True}, [1, 2, 3, 4, 5, 7]),
    ({"$ne": 1}, [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("filter", "found"), IN_GRIDS, ids=str)
def test_an_element_may_be_a_list_itself(db: DataFlow, filter: dict[str, Any], found: list[int]):
    @db.model(timestamps=False)
    class Grid:
        id: int
        doc: Any

    db.bulk_create(Grid, GRIDS)
    query = db.query(Grid).where({"doc.m": {"$elemMatch": filter}})

    assert [record.id for record in query.sort("id").all()] == found
