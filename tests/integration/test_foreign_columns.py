"""Columns of types that SQLAlchemy or PostgreSQL brought along, in adopted and reflected tables."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import OptionError, ParameterError, RecordValidationError, StoredValueError
from dataflow.portal import portal


class Colour(enum.Enum):
    RED = "r"
    BLUE = "it's %blue: 'b'"


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


def run(db: DataFlow, *statements: str) -> None:
    for statement in statements:
        portal.call(db.database.execute(statement, ()))


# ------------------------------------------------------------------- inheritance


def test_a_class_that_shares_its_records_with_another_is_refused(memory: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Employee(Base):
        __tablename__ = "employees"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}

    class Manager(Employee):
        __mapper_args__ = {"polymorphic_identity": "manager"}

    class Driver(Employee):
        __tablename__ = "drivers"
        id: Mapped[int] = mapped_column(sa.ForeignKey("employees.id"), primary_key=True)
        __mapper_args__ = {"polymorphic_identity": "driver"}

    for model in (Manager, Driver):
        for take in (memory.adopt, memory.model):
            with pytest.raises(OptionError, match="also those of 'Employee'"):
                take(model)
    memory.adopt(Employee)


# ------------------------------------------------------------------------- enums


def declare_car(db: DataFlow) -> None:
    class Base(DeclarativeBase):
        pass

    class Car(Base):
        __tablename__ = "cars"
        id: Mapped[int] = mapped_column(primary_key=True)
        colour: Mapped[Colour]
        size: Mapped[Size | None]

    db.adopt(Car)
    db.bulk_create(
        "Car",
        [
            {"id": 1, "colour": "r", "size": 1},
            {"id": 2, "colour": Colour.BLUE, "size": Size.LARGE},
            {"id": 3, "colour": Colour.BLUE},
        ],
    )


@pytest.mark.parametrize(
    ("stages", "found"),
    [
        (
            [{"$group": {"_id": "$colour", "n": {"$sum": 1}}}, {"$sort": {"n": 1}}],
            [{"_id": Colour.RED, "n": 1}, {"_id": Colour.BLUE, "n": 2}],
        ),
        (
            [{"$sort": {"id": 1}}, {"$group": {"_id": None, "all": {"$push": "$size"}}}],
            [{"_id": None, "all": [Size.SMALL, Size.LARGE, None]}],
        ),
        ([{"$match": {"$expr": {"$eq": ["$colour", "r"]}}}, {"$project": {"id": 1}}], [{"id": 1}]),
        ([{"$match": {"$expr": {"$gt": ["$size", 1]}}}, {"$project": {"id": 1}}], [{"id": 2}]),
        (
            [
                {"$match": {"colour": {"$ne": "r"}, "size": 2}},
                {"$project": {"colour": 1, "twice": {"$add": ["$size", "$size"]}}},
            ],
            [{"colour": Colour.BLUE, "twice": 4}],
        ),
        (
            [
                {"$match": {"id": 1}},
                {
                    "$lookup": {
                        "from": "cars",
                        "localField": "colour",
                        "foreignField": "colour",
                        "as": "same",
                    }
                },
                {"$project": {"same": {"colour": 1}}},
            ],
            [{"same": [{"colour": Colour.RED}]}],
        ),
    ],
)
def test_enums_that_are_stored_by_name_have_their_values_in_pipelines(
    db: DataFlow, stages: list[dict[str, Any]], found: list[dict[str, Any]]
):
    declare_car(db)
    assert db.query("Car").aggregate(stages) == found


@pytest.mark.parametrize(
    "stages",
    [
        [{"$project": {"state": 1}}],
        [{"$group": {"_id": "$state"}}],
        [{"$group": {"_id": None, "all": {"$push": "$state"}}}],
    ],
)
def test_a_stored_text_that_is_no_name_of_its_enum_is_an_error_and_not_null(
    db: DataFlow, stages: list[dict[str, Any]]
):
    class Base(DeclarativeBase):
        pass

    class Car(Base):
        __tablename__ = "cars"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[Colour | None] = mapped_column(sa.Enum(Colour, native_enum=False))

    db.adopt(Car)
    db.create_tables()
    run(db, "INSERT INTO cars (id, state) VALUES (1, 'PINK')")

    for read in (db.query(Car).all, lambda: db.query(Car).aggregate(stages)):
        with pytest.raises(StoredValueError, match="cannot be read"):
            read()


def test_numbers_of_an_enum_add_up_to_numbers(db: DataFlow):
    @db.model
    class Shirt:
        size: Size

    db.bulk_create("Shirt", [{"size": 1}, {"size": 2}])
    stages = [{"$sort": {"id": 1}}, {"$project": {"more": {"$add": ["$size", 1]}}}]
    assert [row["more"] for row in db.query("Shirt").aggregate(stages)] == [2, 3]


# ----------------------------------------------------------- PostgreSQL's own types

VALUES: dict[str, Any] = {
    "citext": "Ada@x.org",
    "macaddr": "08:00:2b:01:02:03",
    "inet": IPv4Address("10.0.0.1"),
    "cidr": IPv4Network("10.0.0.0/8"),
    "interval": dt.timedelta(days=41, hours=6),
    "oid": 5,
    "real": 1.100000023841858,
    "numeric[]": [Decimal("1.50"), None],
    "uuid[]": [uuid.UUID(int=7)],
    "text[]": ["a", "b,c", ""],
    "int[]": [1, None, 3],
    "tstzrange": None,
    "bit(4)": None,
    "point": None,
}


@pytest.mark.filterwarnings("ignore:Did not recognize type 'point'")
@pytest.mark.parametrize("kind", VALUES)
def test_all_verbs_and_the_audit_take_types_of_postgresql(postgres_db: DataFlow, kind: str):
    db, value = postgres_db, VALUES[kind]
    run(
        db,
        "CREATE EXTENSION IF NOT EXISTS citext",
        f"CREATE TABLE things (id serial PRIMARY KEY, name text, value {kind})",
    )
    if kind != "point":  # which SQLAlchemy does not know
        db.enable_audit_log()
    (thing,) = db.reflect("things")
    given = {} if value is None else {"value": value}
    assert db.create(thing, {"name": "a", **given})["value"] == value
    db.bulk_create(thing, [{"name": "b", **given}] * 150)
    db.bulk_upsert(thing, [{"id": n, "name": "c", **given} for n in (1, *range(9_000, 9_600))])
    db.bulk_update(thing, [{"id": n, "name": "d", **given} for n in range(1, 121)])
    assert {record["name"] for record in db.list(thing, {"id": {"$lt": 121}})["records"]} == {"d"}
    assert db.read(thing, 9)["value"] == value
    if kind != "point":
        last = db.audit.get_by_entity(thing, 9)[0]
        assert last.after is not None
        assert last.after["value"] == value
        assert db.audit.verify_records(thing).ok


def test_arrays_are_lists_in_pipelines(postgres_db: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Post(Base):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.Text))

    postgres_db.adopt(Post)
    postgres_db.bulk_create(Post, [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": []}])
    query = postgres_db.query(Post)
    (found,) = query.aggregate([
        {"$sort": {"id": 1}},
        {"$group": {"_id": None, "first": {"$first": "$tags"}, "all": {"$push": "$tags"}}},
    ])  # fmt: skip
    assert found == {"_id": None, "first": ["a", "b"], "all": [["a", "b"], []]}
    assert [row["tags"] for row in query.aggregate([{"$unwind": "$tags"}])] == ["a", "b"]
    sizes = query.aggregate([{"$sort": {"id": 1}}, {"$project": {"n": {"$size": "$tags"}}}])
    assert [row["n"] for row in sizes] == [2, 0]


# ------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["returning", "nothing", "order", "Upper", "a b"])
def test_reflected_columns_may_have_any_name_on_sqlite(tmp_path: Path, name: str):
    with DataFlow(f"sqlite:///{tmp_path}/names.db") as db:
        run(db, f'CREATE TABLE things (id INTEGER PRIMARY KEY, "{name}" TEXT)')
        (thing,) = db.reflect("things")
        db.create(thing, {name: "a"})
        db.bulk_create(thing, [{name: "b"}])
        db.bulk_upsert(thing, [{"id": 1, name: "c"}])
        with db.session() as session:
            assert session.get_one(thing, 1).id == 1
        assert [row[name] for row in db.list(thing, sort="id")["records"]] == ["c", "b"]


# ---------------------------------------------------------------- defaults and links


def test_a_default_that_is_an_sql_expression_is_made_by_single_inserts(db: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Paper(Base):
        __tablename__ = "papers"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(default=sa.func.lower("ABC"))
        note: Mapped[str | None] = mapped_column(default=sa.func.upper("x"))

    db.adopt(Paper)
    assert db.create(Paper, {})["slug"] == "abc"
    with db.session() as session:
        session.add(Paper())
        session.commit()
    calls = (db.bulk_create, db.bulk_upsert, partial(db.bulk_create, on_error="collect"))
    for call in calls:
        with pytest.raises(ParameterError, match=r"Paper\.slug is an SQL expression"):
            call(Paper, [{"id": 7}])
    db.bulk_create(Paper, [{"slug": "x", "note": None}])
    found = [(paper["slug"], paper["note"]) for paper in db.list(Paper, sort="id")["records"]]
    assert found == [("abc", "X"), ("abc", "X"), ("x", None)]


def test_what_a_default_factory_makes_is_validated(db: DataFlow):
    @db.model
    class Paper:
        pages: int = Field(default_factory=lambda: -5, ge=0)

    for call in (lambda: db.create("Paper", {}), lambda: db.bulk_create("Paper", [{}])):
        with pytest.raises(RecordValidationError, match="pages: "):
            call()


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (sa.Uuid(as_uuid=False), str(uuid.UUID(int=7)), "no uuid"),
        (sa.Enum("draft", "live", name="state"), "draft", "gone"),
        (sa.Enum("draft", "live", native_enum=False), "live", "gone"),
    ],
)
def test_texts_that_a_column_does_not_take_are_refused(
    db: DataFlow, kind: Any, good: str, bad: str
):
    class Base(DeclarativeBase):
        pass

    class Paper(Base):
        __tablename__ = "papers"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str | None] = mapped_column(kind)

    db.adopt(Paper)
    assert db.create(Paper, {"state": good})["state"] == good
    for call in (db.create, lambda model, data: db.bulk_create(model, [data])):
        with pytest.raises(RecordValidationError, match="state: "):
            call(Paper, {"state": bad})
    assert db.list(Paper, {"state": good})["count"] == 1
