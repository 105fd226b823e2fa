"""Values that were stored behind the library's back and do not fit: told, not leaked raw."""

import asyncio
import datetime as dt
import enum
import traceback
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pydantic
import pytest
import sqlalchemy as sa

from dataflow import DataFlow, Field, Relationship
from dataflow.errors import StoredValueError
from dataflow.portal import portal
from dataflow.repositories import AsyncRepository, QueryFilter, QueryOptions, Repository


class Colour(enum.Enum):
    RED = "red"


class Size(pydantic.BaseModel):
    width: int


def declare(db: DataFlow) -> Any:
    @db.model(timestamps=False)
    class Thing:
        id: int
        colour: Colour = Colour.RED
        tags: list[int] = []
        size: Size = Size(width=1)
        codes: list[int] = Field(default=[], secret=True)
        at: dt.datetime | None = None
        day: dt.date | None = None
        price: Decimal = Decimal(1)
        token: uuid.UUID | None = None
        took: dt.timedelta | None = None

    db.create_tables()
    db.create("Thing")
    db.create("Thing")
    return Thing


def spoil(db: DataFlow, sql: str) -> None:
    """Store something with raw SQL."""
    portal.call(db.database.execute(f"UPDATE things SET {sql} WHERE id = 2", ()))


BOTH = [
    ("colour", "'green'", "'green' is not a valid Colour"),
    ("tags", """'["x"]'""", "0: Input should be a valid integer, unable to parse string as an"),
    ("size", """'{"width": []}'""", "width: Input should be a valid integer"),
]
SQLITE = [
    ("at", "'then'", "Invalid isoformat string: 'then'"),
    ("day", "'then'", "Invalid isoformat string: 'then'"),
    ("price", "'much'", "ConversionSyntax"),
    ("token", "'x'", "badly formed hexadecimal UUID string"),
    ("took", "'x'", "unsupported type for timedelta"),
    ("tags", "'{'", "Invalid JSON: EOF"),
]


RESTORED = {
    "colour": "colour = 'red'", "tags": "tags = '[]'", "size": """size = '{"width": 1}'""",
    "at": "at = NULL", "day": "day = NULL", "price": "price = '1'", "token": "token = NULL",
    "took": "took = NULL",
}  # fmt: skip


def in_session(read: Callable[[Any], Any]) -> Callable[[DataFlow, Any], Any]:
    def call(db: DataFlow, thing: Any) -> Any:
        with db.session() as session:
            return read(Repository(session, thing))

    return call


def in_coroutine(db: DataFlow, thing: Any) -> Any:
    async def main() -> Any:
        async with db.aio.session() as session:
            return await AsyncRepository(session, thing).list()

    return asyncio.run(main())


READS: dict[str, Callable[[DataFlow, Any], Any]] = {
    "list": lambda db, _: db.list("Thing"),
    "read": lambda db, _: db.read("Thing", 2),
    "query": lambda db, _: db.query("Thing").all(),
    "update": lambda db, _: db.update("Thing", 2, {"codes": [1]}),
    "repository get": in_session(lambda things: things.get(2)),
    "repository list": in_session(lambda things: things.list()),
    "repository page": in_session(lambda things: things.list_paginated()),
    "repository cursor": in_session(
        lambda things: things.cursor_paginate(
            QueryOptions(cursor_pagination={"cursor_field": "id"})
        )
    ),
    "repository filter": in_session(
        lambda things: things.list(QueryOptions(filters=[QueryFilter("id", "gt", 1)]))
    ),
    "coroutine": in_coroutine,
}


@pytest.mark.parametrize("read", READS)
def test_a_read_that_meets_an_invalid_value_names_model_and_field(db: DataFlow, read: str):
    thing = declare(db)
    wrong = BOTH + (SQLITE if db.database.driver.name == "sqlite" else [])
    for field, value, reason in wrong:
        spoil(db, f"{field} = {value}")

        with pytest.raises(StoredValueError) as caught:
            READS[read](db, thing)

        assert f"field {field!r} of model 'Thing'" in str(caught.value)
        assert reason in str(caught.value)
        assert (caught.value.model, caught.value.field) == ("Thing", field)
        spoil(db, RESTORED[field])


@pytest.mark.parametrize("read", ["list", "repository list"])
def test_a_secret_is_not_shown(db: DataFlow, read: str):
    thing = declare(db)
    spoil(db, """codes = '["hunter2"]'""")

    with pytest.raises(StoredValueError) as caught:
        READS[read](db, thing)

    assert str(caught.value) == (
        "the value stored in field 'codes' of model 'Thing' cannot be read: ***.\n"
        "  help: correct it in the database, or give the field the type of what is stored\n"
        "  code: DF223"
    )
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_other_records_are_read(db: DataFlow):
    declare(db)
    spoil(db, "colour = 'green'")

    assert db.read("Thing", 1)["colour"] is Colour.RED
    assert [row["id"] for row in db.list("Thing", fields=["id"])["records"]] == [1, 2]


def test_values_that_pipelines_compute_are_named_and_not_shown(db: DataFlow):
    declare(db)
    spoil(db, "colour = 'green'")

    with pytest.raises(StoredValueError, match=r"field 'c' of model 'Thing'.*: \*\*\*"):
        db.query("Thing").aggregate([{"$project": {"c": "$colour"}}])


def test_a_repository_that_loads_links_names_the_field_too(db: DataFlow):
    @db.model(timestamps=False)
    class Box:
        colour: Colour = Colour.RED
        parts: list["Part"] = Relationship(back_populates="box")

    @db.model(timestamps=False)
    class Part:
        colour: Colour = Colour.RED
        box_id: int = Field(foreign_key=Box)
        box: Box = Relationship(back_populates="parts")

    db.create("Part", box_id=db.create("Box")["id"])
    portal.call(db.database.execute("UPDATE boxes SET colour = 'green'", ()))

    with db.session() as session, pytest.raises(StoredValueError, match="'colour' of model 'Box'"):
        Repository(session, Box).get(1, include=["parts"])


def test_statements_of_ones_own_keep_their_own_errors(db: DataFlow):
    thing = declare(db)
    spoil(db, "colour = 'green'")

    with db.session() as session, pytest.raises(ValueError, match="not a valid Colour"):
        session.scalars(sa.select(thing)).all()
