"""Filters on JSON: MongoDB's operators, paths and missing values, on every database."""

from __future__ import annotations

import datetime as dt
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


@pytest.fixture
def profiles(db: DataFlow) -> DataFlow:
    @db.model
    class Profile:
        id: int
        name: str
        meta: dict[str, Any] | None = None
        tags: list[Any] = Field(default_factory=list)

    db.bulk_create(Profile, ROWS)
    return db


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
