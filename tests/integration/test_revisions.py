"""Revision files: written from the models, carried out whole, and undone."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow, Field


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def open_db(url: str, tmp_path: Path) -> Iterator[Any]:
    """Opens the database as another version of the program does."""
    opened: list[DataFlow] = []

    def make(**settings: Any) -> DataFlow:
        opened.append(DataFlow(url, migrations_path=tmp_path / "migrations", **settings))
        return opened[-1]

    yield make
    for db in opened:
        db.close()


def first(db: DataFlow) -> DataFlow:
    @db.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        name: str = Field(unique=True, max_length=50)

    @db.model
    class User:
        id: int
        name: str
        age: int | None = None
        balance: Decimal = Decimal("1.50")
        colour: Colour = Colour.RED
        tags: list[str] = []
        team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
        __dataflow__ = {"indexes": [("name", "age")]}

    return db


def second(db: DataFlow) -> DataFlow:
    @db.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        name: str = Field(unique=True, max_length=200)

    @db.model
    class User:
        id: int
        full_name: str = Field(index=True)
        age: int = 7
        balance: Decimal = Decimal("1.50")
        colour: Colour = Colour.RED
        tags: list[str] = []
        team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
        email: str = Field(default="it's 50% :x", max_length=80)
        since: dt.date = dt.date(2020, 1, 2)
        active: bool = True
        extra: dict[str, int] = {"a": 1}

    @db.model
    class Note:
        text: str
        user_id: int = Field(foreign_key="users.id", on_delete="cascade")

    return db


RENAMES = {"users.name": "users.full_name"}


def test_files_make_the_schema_change_it_and_undo_it(open_db: Any):
    one = first(open_db())
    made = one.migrations.revision("Initial schema")
    assert one.migrations.current() is None
    assert [r.id for r in one.migrations.upgrade()] == [made.id]
    assert one.migrations.current() == made.id
    one.migrations.check()
    team = one.create("Team", name="red")
    one.bulk_create(
        "User", [{"name": f"u{n}", "age": n or None, "team_id": team["id"]} for n in range(5)]
    )
    one.delete("User", 5)

    two = second(open_db())
    two.migrations.revision("Full names", renames=RENAMES)
    two.migrations.upgrade()
    two.migrations.check()
    users = two.query("User").sort("id").all()
    assert [user["full_name"] for user in users] == ["u0", "u1", "u2", "u3"]
    assert [user["age"] for user in users] == [7, 1, 2, 3]
    assert {user["email"] for user in users} == {"it's 50% :x"}
    assert {user["since"] for user in users} == {dt.date(2020, 1, 2)}
    assert users[0]["extra"] == {"a": 1}
    assert two.create("User", full_name="new")["id"] == 6

    two.migrations.downgrade("-1", allow_drop=True)
    assert two.migrations.current() == made.id
    again = first(open_db())
    assert not again.migrations.plan()
    assert [u["name"] for u in again.query("User").sort("id").all()][-1] == "new"
    again.migrations.downgrade("base", allow_drop=True)
    assert again.migrations.current() is None
