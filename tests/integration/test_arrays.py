"""Arrays of PostgreSQL in adopted classes: what they take, and how filters see them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow
from dataflow.errors import FilterError, RecordValidationError

KEY = uuid.UUID(int=7)


@pytest.fixture
def items(postgres_db: DataFlow) -> DataFlow:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "items"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[str] | None] = mapped_column(ARRAY(sa.String(9)))
        sizes: Mapped[list[int] | None] = mapped_column(ARRAY(sa.Integer))
        grid: Mapped[list[Any] | None] = mapped_column(sa.ARRAY(sa.Integer, dimensions=2))
        keys: Mapped[list[uuid.UUID] | None] = mapped_column(ARRAY(sa.Uuid))

    postgres_db.adopt(Item)
    postgres_db.bulk_create(
        Item,
        [
            {"id": 1, "tags": ["a", "b"], "sizes": [1, 5], "keys": [KEY]},
            {"id": 2, "tags": ["c", None], "sizes": [7], "grid": [[1, 2], [3, 4]]},
            {"id": 3, "tags": [], "keys": []},
            {"id": 4},
        ],
    )
    return postgres_db


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"tags": "a"}, [1]),
        ({"tags": ["a", "b"]}, [1]),
        ({"tags": {"$in": ["a", "c"]}}, [1, 2]),
        ({"tags": {"$in": [["a", "b"], []]}}, [1, 3]),
        ({"tags": {"$nin": ["a"]}}, [2, 3, 4]),
        ({"tags": {"$contains": "b"}}, [1]),
        ({"tags": {"$all": ["a", "b"]}}, [1]),
        ({"tags": {"$size": 0}}, [3]),
        ({"tags": {"$startswith": "c"}}, [2]),
        ({"tags.1": "b"}, [1]),
        ({"tags": {"$exists": False}}, [4]),
        ({"sizes": {"$in": [5]}}, [1]),
        ({"sizes": {"$gt": 5}}, [2]),
        ({"sizes": {"$elemMatch": {"$gt": 2, "$lt": 6}}}, [1]),
        ({"grid": [[1, 2], [3, 4]]}, [2]),
        ({"keys": [KEY]}, [1]),
        ({"keys": {"$ne": [KEY]}}, [2, 3, 4]),
        ({"keys": None}, [2, 4]),
    ],
    ids=str,
)
def test_filters_look_into_arrays_as_into_lists(
    items: DataFlow, filter: dict[str, Any], found: list[int]
):
    assert [r["id"] for r in items.list("Item", filter, sort="id")["records"]] == found
    stages = [{"$match": filter}, {"$sort": {"id": 1}}, {"$project": {"id": 1}}]
    assert [r["id"] for r in items.query("Item").aggregate(stages)] == found


@pytest.mark.parametrize("operator", [{"$in": [KEY]}, {"$contains": KEY}, {"$gt": [KEY]}], ids=str)
def test_arrays_of_what_json_has_not_are_compared_as_a_whole(
    items: DataFlow, operator: dict[str, Any]
):
    with pytest.raises(FilterError) as caught:
        items.list("Item", {"keys": operator})

    assert caught.value.problem_text() == (
        f"{next(iter(operator))} of field 'keys': such arrays are compared as a whole."
    )
    assert caught.value.advice() == (
        "in a pipeline they are lists: {'$expr': {'$in': [value, '$keys']}}"
    )
    stages = [{"$match": {"$expr": {"$in": [KEY, "$keys"]}}}, {"$project": {"id": 1}}]
    assert items.query("Item").aggregate(stages) == [{"id": 1}]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"tags": "red"}, "tags: Input should be a valid list (got 'red')"),
        ({"tags": {"red": 1}}, "tags: Input should be a valid list (got {'red': 1})"),
        ({"tags": 5}, "tags: Input should be a valid list (got 5)"),
        ({"tags": ["a", 1]}, "tags.1: Input should be a valid string (got 1)"),
        ({"tags": ["0123456789"]}, "tags.0: String should have at most 9 characters"),
        ({"tags": ["\ud800"]}, "tags.0: text cannot hold lone surrogates"),
        ({"sizes": [1.5]}, "sizes.0: Input should be a valid integer"),
        ({"sizes": [[1], [2, 3]]}, "an array cannot hold this: its lists differ in length"),
        ({"sizes": [[1], 2]}, "an array cannot hold this: it has values beside lists"),
        ({"grid": [1, 2]}, "an array cannot hold this: its lists are not nested 2 deep"),
        ({"keys": ["x"]}, "keys.0: Input should be a valid UUID"),
    ],
    ids=str,
)
def test_what_an_array_cannot_hold_is_refused_by_every_verb(
    items: DataFlow, values: dict[str, Any], problem: str
):
    before = items.list("Item")["records"]
    writes: dict[str, Callable[[], Any]] = {
        "create": lambda: items.create("Item", values),
        "update": lambda: items.update("Item", 1, values),
        "bulk": lambda: items.bulk_create("Item", [values]),
        "copy": lambda: items.bulk_create("Item", [{"tags": ["x"]}] * 600 + [values]),
        "rows": lambda: items.bulk_update("Item", [{"id": 1, **values}]),
        "filter": lambda: items.bulk_update("Item", {"id": 1}, values),
        "upsert": lambda: items.bulk_upsert("Item", [{"id": 1, **values}]),
    }
    for name, write in writes.items():
        with pytest.raises(RecordValidationError) as caught:
            write()
        assert problem in caught.value.problem_text(), name
    assert items.list("Item")["records"] == before
