"""Random pairs of schemas: a migration reaches the second, and a downgrade the first again."""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import itertools
import re
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from dataflow import DataFlow, Field
from dataflow.portal import portal
from dataflow.schema.work import run_schema_work

pytestmark = pytest.mark.long

_numbers = itertools.count(1)
DEFAULTS: dict[type, Any] = {
    int: 7,
    str: "it's 100% \\ :x",
    bool: True,
    float: 1.5,
    Decimal: Decimal("1.50"),
    dt.date: dt.date(2020, 1, 2),
    dt.datetime: dt.datetime(2020, 1, 2, tzinfo=dt.UTC),
    dt.timedelta: dt.timedelta(hours=1),
    uuid.UUID: uuid.UUID(int=5),
    bytes: b"\x00a",
}
KINDS: dict[str, list[type]] = {
    "a": [int, str, Decimal, float],
    "b": [str, uuid.UUID],
    "c": [dt.date, dt.datetime, str],
    "d": [bool, str],
    "e": [bytes],
    "f": [str, dt.timedelta],
    "g": [str, dict],
}
"""Names of columns, and the types between which PostgreSQL converts."""


def columns(kinds: list[type]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "kind": st.sampled_from(kinds),
            "null": st.booleans(),
            "default": st.booleans(),
            "index": st.booleans(),
            "unique": st.sampled_from([False, False, True]),
            "length": st.sampled_from([None, 20, 60]),
        }
    )


tables = st.fixed_dictionaries(
    {
        "fields": st.fixed_dictionaries(
            {}, optional={name: columns(kinds) for name, kinds in KINDS.items()}
        ),
        "key": st.sampled_from(["id", "code", "pair"]),
        "link": st.booleans(),
        "together": st.booleans(),
    }
)
schemas = st.fixed_dictionaries({"One": tables, "Two": st.none() | tables})


def field_of(column: dict[str, Any]) -> tuple[Any, Any]:
    """Return the annotation and the value of a field."""
    kind = column["kind"]
    options: dict[str, Any] = {}
    if kind is dict:
        options["default_factory"] = dict
    elif column["default"]:
        options["default"] = DEFAULTS[kind]
    if kind is not dict:
        options |= {"index": column["index"], "unique": column["unique"]}
    if kind is str and column["length"]:
        options["max_length"] = column["length"]
    return kind | None if column["null"] else kind, Field(**options)


def declare(db: DataFlow, schema: dict[str, Any]) -> None:
    for name, table in schema.items():
        if table is not None:
            declare_one(db, name, table, linked=schema["One"]["key"] == "id")


def declare_one(db: DataFlow, name: str, table: dict[str, Any], *, linked: bool) -> None:
    keys: dict[str, tuple[Any, Any]] = {"id": (int, Field(primary_key=True))}
    if table["key"] == "code":
        keys = {"code": (str, Field(primary_key=True, max_length=20))}
    if table["key"] == "pair":
        keys = {n: (int, Field(primary_key=True)) for n in ("id", "tenant")}
    fields = keys | {key: field_of(column) for key, column in table["fields"].items()}
    if table["link"] and linked:
        fields["one_id"] = (int | None, Field(default=None, foreign_key="ones.id"))
    options: dict[str, Any] = {"timestamps": False}
    if table["together"] and len(fields) > 2:
        plain = [
            n for n in fields if n in table["fields"] and table["fields"][n]["kind"] is not dict
        ]
        options["unique_together"] = [tuple(plain[:2])] if len(plain) > 1 else []
    body = {key: value for key, (_, value) in fields.items()}
    hints = {key: hint for key, (hint, _) in fields.items()}
    db.model(type(name, (), {**body, "__annotations__": hints, "__dataflow__": options}))


def snapshot(db: DataFlow) -> set[str]:
    """Return what the database itself tells of its tables."""

    def look(connection: sa.Connection) -> set[str]:
        inspector = sa.inspect(connection)
        names = set(inspector.get_table_names()) - {"alembic_version"}
        return {
            f"{name}: {key}: {value}"
            for name in names
            for key, values in table_of(connection, inspector, name).items()
            for value in (values or ["none"])
        }

    return portal.call(run_schema_work(db.database, look, write=False))


def table_of(connection: sa.Connection, inspector: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "columns": {
            (c["name"], str(c["type"]), c["nullable"], c["default"])
            for c in inspector.get_columns(name)
        },
        "key": inspector.get_pk_constraint(name)["constrained_columns"],
        "links": sorted(
            (k["name"], k["constrained_columns"], k["referred_table"], k["referred_columns"])
            for k in inspector.get_foreign_keys(name)
        ),
        "unique": sorted(
            (u["name"], u["column_names"]) for u in inspector.get_unique_constraints(name)
        ),
        "indexes": sorted(
            (i["name"], i["column_names"], bool(i["unique"])) for i in inspector.get_indexes(name)
        ),
    }
    if connection.dialect.name == "sqlite":
        sql = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
        ).scalar_one()
        found["counts"] = ["AUTOINCREMENT" in sql]
        found["collations"] = re.findall(r'"?(\w+)"? TEXT COLLATE', sql)
    return found


@pytest.fixture
def fresh(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a new, empty database and a folder for its files; returns how to open it."""
    opened: list[DataFlow] = []

    def make() -> Callable[[], DataFlow]:
        folder = tmp_path / str(next(_numbers))
        folder.mkdir()
        target = f"sqlite:///{folder}/test.db" if url.startswith("sqlite") else url
        if not url.startswith("sqlite"):
            asyncio.run(emptied(url))

        def open_one() -> DataFlow:
            for old in opened:
                old.close()
            opened[:] = [
                DataFlow(target, auto_migrate=False, migrations_path=folder / "migrations")
            ]
            return opened[0]

        return open_one

    yield make
    for old in opened:
        old.close()


async def emptied(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


def gone(former: dict[str, Any], latter: dict[str, Any]) -> list[str]:
    """Return the table that the later schema has no model for, and that may refer to another."""
    return ["twos"] if former["Two"] is not None and latter["Two"] is None else []


EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@EXAMPLES
@given(former=schemas, latter=schemas)
def test_after_a_plan_was_applied_there_is_nothing_left_to_plan(
    fresh: Any, former: dict[str, Any], latter: dict[str, Any]
):
    open_db = fresh()
    db = open_db()
    declare(db, former)
    db.migrations.apply()
    assert not db.migrations.plan()

    db = open_db()
    declare(db, latter)
    db.migrations.apply(drop_tables=gone(former, latter), allow_drop=True)

    assert not db.migrations.plan()


@EXAMPLES
@given(former=schemas, latter=schemas)
def test_an_upgrade_reaches_the_models_and_its_downgrade_the_former_schema(
    fresh: Any, former: dict[str, Any], latter: dict[str, Any]
):
    open_db = fresh()
    db = open_db()
    declare(db, former)
    db.migrations.revision("former")
    db.migrations.upgrade()
    assert not db.migrations.plan()
    before = snapshot(db)

    db = open_db()
    declare(db, latter)
    dropped = gone(former, latter)
    if not db.migrations.plan(drop_tables=dropped):
        return
    made = db.migrations.revision("latter", drop_tables=dropped, allow_drop=True)
    note(made.path.read_text())
    db.migrations.upgrade()
    assert not db.migrations.plan()
    db.migrations.downgrade("-1", allow_drop=True)
    after = snapshot(db)
    assert [*sorted(after - before), "former:", *sorted(before - after)] == ["former:"]


@EXAMPLES
@given(former=schemas, latter=schemas)
def test_an_applied_plan_leaves_what_new_tables_would_be(
    fresh: Any, former: dict[str, Any], latter: dict[str, Any]
):
    new = fresh()()
    declare(new, latter)
    new.migrations.apply()
    wanted = snapshot(new)
    open_db = fresh()
    db = open_db()
    declare(db, former)
    db.migrations.apply()

    db = open_db()
    declare(db, latter)
    db.migrations.apply(drop_tables=gone(former, latter), allow_drop=True)

    found = {line if line in wanted else without_default(line) for line in snapshot(db)}
    assert [*sorted(found - wanted), "wanted:", *sorted(wanted - found)] == ["wanted:"]


def without_default(line: str) -> str:
    """Return what is told of a column as if it had no default; a model may leave it its own."""
    head, mark, column = line.partition(": columns: ")
    if not mark:
        return line
    return f"{head}{mark}{(*ast.literal_eval(column)[:3], None)}"
