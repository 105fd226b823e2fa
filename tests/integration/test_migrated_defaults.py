"""Defaults of columns: what other programs get that insert without a value, and its changes."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow, Field
from dataflow.errors import DataValueError, SchemaDriftError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def insert(db: DataFlow, **values: Any) -> dict[str, Any]:
    """Insert into `things` as another program would; return the record."""
    names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    with db.session() as session:
        session.execute(sa.text(f"INSERT INTO things ({names}) VALUES ({marks})"), values)
        session.commit()
    return dict(db.query("Thing").sort("-id").first())


def thing(db: DataFlow, **fields: Any) -> None:
    """Declare the model `Thing` with a name and further fields, as `{name: (type, default)}`."""
    given = {"name": (str, ...), **fields}
    body = {name: value for name, (_, value) in given.items() if value is not ...}
    hints = {name: hint for name, (hint, _) in given.items()}
    options = {"timestamps": False}
    db.model(type("Thing", (), {**body, "__annotations__": hints, "__dataflow__": options}))


EVERY = {
    "count": (int, -7),
    "share": (float, 1.5e-7),
    "active": (bool, True),
    "text": (str, "it's 100% \\ :x"),
    "price": (Decimal, Decimal("1.50")),
    "colour": (Colour, Colour.BLUE),
    "day": (dt.date, dt.date(2020, 1, 2)),
    "hour": (dt.time, dt.time(12, 30)),
    "moment": (dt.datetime, dt.datetime(2020, 1, 2, tzinfo=dt.UTC)),
    "length": (dt.timedelta, dt.timedelta(minutes=90)),
    "code": (uuid.UUID, uuid.UUID(int=5)),
    "anything": (Any, 3),
}


def test_a_constant_of_any_type_is_the_default_of_its_column(db: DataFlow):
    thing(db, **EVERY)
    db.create_tables()

    found = insert(db, name="a")

    assert {name: found[name] for name in EVERY} == {n: value for n, (_, value) in EVERY.items()}
    assert not db.migrations.plan()


def test_columns_that_are_added_have_the_same_defaults(db: DataFlow, later: DataFlow):
    thing(db)
    db.create("Thing", name="a")
    thing(later, **EVERY)

    later.migrations.apply()

    assert not later.migrations.plan()
    old, new = later.read("Thing", 1), insert(later, name="b")
    assert {name: old[name] for name in EVERY} == {name: new[name] for name in EVERY}
    assert {name: new[name] for name in EVERY} == {n: value for n, (_, value) in EVERY.items()}


def test_a_changed_default_is_planned_and_applied(db: DataFlow, later: DataFlow):
    thing(db, city=(str, "unknown"), level=(int, ...), colour=(Colour, Colour.RED))
    db.create("Thing", name="a", level=1)
    thing(later, city=(str, "nowhere"), level=(int, 3), colour=(Colour, Colour.BLUE))

    plan = later.migrations.plan()

    changes = {change.name: change.detail for change in plan.changes}
    assert set(changes) == {"city", "level", "colour"}
    assert "unknown" in changes["city"]
    assert "nowhere" in changes["city"]
    assert changes["level"] == "default none -> '3'"
    assert not plan.losses
    later.migrations.apply()
    assert not later.migrations.plan()
    kept = later.read("Thing", 1)
    assert (kept["city"], kept["level"], kept["colour"]) == ("unknown", 1, Colour.RED)
    new = insert(later, name="b")
    assert (new["city"], new["level"], new["colour"]) == ("nowhere", 3, Colour.BLUE)


def test_a_default_that_the_model_does_not_give_is_left_to_the_column(
    db: DataFlow, later: DataFlow
):
    thing(db, city=(str, "unknown"), token=(str, Field(server_default="lower('ABC')")))
    db.create_tables()
    thing(later, city=(str, ...), token=(str, Field(server_default="upper('abc')")))

    assert not later.migrations.plan(), "one expression is as good as another"


def test_a_constant_and_an_expression_are_different_defaults(db: DataFlow, later: DataFlow):
    thing(db, token=(str, "none"))
    db.create("Thing", name="a")
    thing(later, token=(str, Field(server_default="lower('A :b')")))

    later.migrations.apply()

    assert not later.migrations.plan()
    assert insert(later, name="b")["token"] == "a :b"


@pytest.mark.parametrize(
    "expression", ["40+2", "(40 + 2)", "-(1)", "abs(-7)", "1.5e3", "CAST('7' AS float)"]
)
def test_a_number_that_is_worked_out_is_an_expression(
    db: DataFlow, later: DataFlow, expression: str
):
    thing(db)
    db.create("Thing", name="a")
    thing(later, level=(float, Field(server_default=expression)))

    later.migrations.apply()

    assert not later.migrations.plan()
    assert later.read("Thing", 1)["level"] == insert(later, name="b")["level"]


def test_timestamps_that_are_added_are_the_moment_of_each_insertion(db: DataFlow, later: DataFlow):
    thing(db)
    db.create("Thing", name="a")

    @later.model
    class Thing:
        name: str

    later.migrations.apply()

    assert not later.migrations.plan()
    first, second = insert(later, name="b"), insert(later, name="c")
    assert later.read("Thing", 1)["created_at"] < first["created_at"] < second["created_at"]


def test_timestamps_are_the_moment_when_an_empty_table_gets_them(db: DataFlow, url: str):
    thing(db)
    db.create_tables()
    with DataFlow(url) as late:

        @late.model
        class Thing:
            name: str

        late.count("Thing")
        first, second = insert(late, name="b"), insert(late, name="c")
        assert first["created_at"] < second["created_at"]
        assert not late.migrations.plan()


def test_what_a_factory_made_for_old_records_is_no_default(postgres_databases: Any):
    url = postgres_databases.create()
    with DataFlow(url) as db:
        thing(db)
        db.create("Thing", name="a")
    with DataFlow(url) as late:
        thing(late, code=(uuid.UUID, Field(default_factory=uuid.uuid4)))
        assert late.read("Thing", 1)["code"] is not None

        with pytest.raises(Exception, match="code"):
            insert(late, name="b")


def test_an_expression_that_only_a_new_table_takes_is_left_to_a_migration(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/test.db"
    with DataFlow(url) as db:
        thing(db)
        db.create("Thing", name="a")
    with DataFlow(url) as late:
        thing(late, token=(str, Field(server_default="lower(hex(randomblob(4)))")))
        with pytest.raises(SchemaDriftError, match="a table with records cannot get here"):
            late.count("Thing")

        late.migrations.apply()

        assert len(late.read("Thing", 1)["token"]) == 8
        assert insert(late, name="b")["token"] != insert(late, name="c")["token"]


def test_a_revision_changes_a_default_and_undoes_it(open_db: Any):
    one = open_db()
    thing(one, city=(str, "it's :x"), level=(int, 1))
    one.migrations.revision("first")
    one.migrations.upgrade()
    two = open_db()
    thing(two, city=(str, "nowhere"), level=(int, 2))

    two.migrations.revision("second")
    two.migrations.upgrade()

    two.migrations.check()
    found = insert(two, name="a")
    assert (found["city"], found["level"]) == ("nowhere", 2)
    two.migrations.downgrade("-1")
    found = insert(two, name="b")
    assert (found["city"], found["level"]) == ("it's :x", 1)


def test_records_without_a_value_that_becomes_required_are_counted_first(
    db: DataFlow, later: DataFlow
):
    thing(db, email=(str | None, None))
    db.bulk_create("Thing", [{"name": "a"}, {"name": "b"}, {"name": "c", "email": "c@x.org"}])
    thing(later, email=(str, ...))

    with pytest.raises(SchemaDriftError, match=r"2 record\(s\) of 'things' have no .* 'email'"):
        later.migrations.apply()

    later.update("Thing", 1, {"email": "a@x.org"})
    later.update("Thing", 2, {"email": "b@x.org"})
    later.migrations.apply()
    assert not later.migrations.plan()


def test_an_upgrade_counts_them_too(open_db: Any):
    one = open_db()
    thing(one, email=(str | None, None))
    one.migrations.revision("first")
    one.migrations.upgrade()
    one.create("Thing", name="a")
    two = open_db()
    thing(two, email=(str, ...))
    two.migrations.revision("second")

    with pytest.raises(SchemaDriftError, match=r"1 record\(s\) of 'things' have no .* 'email'"):
        two.migrations.upgrade()


@pytest.mark.parametrize(
    ("former", "latter"),
    [
        ((dt.datetime, dt.datetime(2020, 1, 2, 3, tzinfo=dt.UTC)), (dt.date, ...)),
        ((bytes, b"\xff"), (str, ...)),
        ((str, "many"), (dt.timedelta, ...)),
        ((str, "one"), (uuid.UUID, ...)),
        ((str, "00000000-0000-0000-0000-000000000005"), (uuid.UUID, ...)),
    ],
)
def test_sqlite_keeps_no_values_that_the_new_type_would_not_write(
    tmp_path: Path, former: Any, latter: Any
):
    url = f"sqlite:///{tmp_path}/test.db"
    with DataFlow(url) as db:
        thing(db, value=(former[0], ...))
        db.create("Thing", name="a", value=former[1])
    with DataFlow(url, auto_migrate=False) as late:
        thing(late, value=latter)

        with pytest.raises(DataValueError, match=r"things\.value"):
            late.migrations.apply(allow_drop=True)
    with DataFlow(url, auto_migrate=False) as db:
        thing(db, value=(former[0], ...))
        assert db.read("Thing", 1)["value"] == former[1]
