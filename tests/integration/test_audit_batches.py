"""Statements that change many records: their entries are those of one change after the other."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.portal import portal
from dataflow.records.auditentry import AuditEntry
from dataflow.records.auditrecords import RecordProblem

AWKWARD = [
    "",
    " ",
    ",",
    "(",
    ")",
    '"',
    '""',
    "\\",
    "\\\\",
    "\n",
    "\t",
    "a,b",
    '("x",)',
    "NULL",
    "ä€😀",
    "'",
]


def declare_item(db: DataFlow) -> None:
    @db.model(audit=True)
    class Item:
        id: str
        text: str
        note: str | None = None
        number: int = 0
        price: Decimal = Decimal(0)
        weight: float = 0.0
        sold: bool = False
        made: dt.datetime | None = None
        day: dt.date | None = None
        time: dt.time | None = None
        took: dt.timedelta | None = None
        ref: uuid.UUID | None = None
        blob: bytes = b""
        tags: list[str] = []
        facts: dict[str, Any] = {}
        pin: str = Field("", secret=True)


def items(count: int) -> list[dict[str, Any]]:
    """Return records with values that are hard to write down."""
    dice = random.Random(count)

    def text() -> str:
        return "".join(dice.choices(AWKWARD, k=dice.randrange(4)))

    return [
        {
            "id": f"{number}{text()}",
            "text": text(),
            "note": dice.choice([None, text()]),
            "number": dice.randrange(-(2**63), 2**63),
            "price": Decimal(dice.randrange(-(10**9), 10**9)).scaleb(-dice.randrange(9)),
            "weight": dice.choice([0.1, -1e300, 5e-324, dice.random()]),
            "sold": dice.random() < 0.5,
            "made": dt.datetime.fromtimestamp(dice.uniform(-1e9, 4e9), dt.UTC),
            "day": dt.date.fromordinal(dice.randrange(1, 3_000_000)),
            "time": dice.choice([None, dt.time(1, 2, 3, 4)]),
            "took": dt.timedelta(microseconds=dice.randrange(-(10**12), 10**12)),
            "ref": uuid.UUID(int=dice.getrandbits(128)),
            "blob": dice.randbytes(dice.randrange(5)),
            "tags": [text() for _ in range(dice.randrange(3))],
            "facts": {text(): dice.choice([1, 1.5, None, text(), [True]])},
            "pin": "1234",
        }
        for number in range(count)
    ]


def state(db: DataFlow, model: str) -> dict[str, Any]:
    """Return the model's records by key, without secrets."""
    found = db.list(model, limit=None, include_deleted=True)["records"]
    return {record["id"]: {**record, "pin": "***"} for record in found}


def entries(db: DataFlow) -> list[AuditEntry]:
    return db.audit.get_recent_activity(limit=100_000)


def rows(db: DataFlow) -> list[int | None]:
    """Return how many records each row of the log holds, oldest first."""
    found = portal.call(
        db.database.fetch("SELECT records FROM dataflow_audit_log ORDER BY sequence", ())
    )
    return [row[0] for row in found]


def run(db: DataFlow, sql: str) -> None:
    """Run raw SQL in a transaction, which tells who makes the change."""

    async def execute() -> None:
        async with db.transaction():
            await db.database.execute(sql, ())

    portal.call(execute())


def renamed(count: int, start: str) -> list[dict[str, Any]]:
    """Return records that are new under keys of their own."""
    return [{**item, "id": start + item["id"]} for item in items(count)]


def rewritten(count: int, text: str) -> list[dict[str, Any]]:
    """Return records with another text."""
    return [{**item, "text": text} for item in items(count)]


Change = Callable[[DataFlow], Any]
CHANGES: dict[str, Change] = {
    "create": lambda db: db.bulk_create("Item", renamed(150, "n")),
    "update": lambda db: db.bulk_update("Item", {"number": {"$gt": -(2**63)}}, {"note": "new"}),
    "update by key": lambda db: db.bulk_update("Item", rewritten(200, "by key")),
    "upsert": lambda db: db.bulk_upsert("Item", rewritten(200, "up") + renamed(120, "m")),
    "delete": lambda db: db.bulk_delete("Item", ids=[item["id"] for item in items(150)]),
    "new keys": lambda db: run(db, "UPDATE items SET id = 'k' || id"),
    "all gone": lambda db: db.bulk_delete("Item", all=True),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_each_record_has_its_entry_with_all_values_before_and_after(db: DataFlow, name: str):
    declare_item(db)
    db.bulk_create("Item", items(200))
    before = state(db, "Item")

    with db.acting("ada", correlation_id=name):
        CHANGES[name](db)

    after, found = state(db, "Item"), db.audit.get_by_correlation_id(name)
    assert {entry.key: entry.before for entry in found if entry.before} == {
        key: before[key] for key in before if before[key] != after.get(key)
    }
    assert {entry.key: entry.after for entry in found if entry.after} == {
        key: after[key] for key in after if after[key] != before.get(key)
    }
    actions = {(True, True): "update", (True, False): "delete", (False, True): "create"}
    assert all(entry.action == actions[bool(entry.before), bool(entry.after)] for entry in found)
    assert {entry.actor for entry in found} == {"ada"}
    assert db.audit.verify().ok
    assert db.audit.verify_records("Item").ok


def test_on_postgresql_they_share_a_row_of_the_log(postgres_db: DataFlow):
    db = postgres_db
    declare_item(db)

    db.bulk_create("Item", items(99))
    db.bulk_update("Item", {}, {"note": "few"}, all=True)
    db.bulk_create("Item", renamed(100, "n"))

    assert rows(db) == [None] * 198 + [100]


def test_on_sqlite_bulk_calls_share_rows_too(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        declare_item(db)
        db.bulk_create("Item", items(150))
        db.bulk_update("Item", rewritten(150, "by key"))
        db.bulk_upsert("Item", rewritten(150, "up") + renamed(120, "m"))
        db.bulk_update("Item", {"text": "up"}, {"note": "each"})

        assert rows(db) == [150, 150, 150, 120, 150]


def test_on_sqlite_they_do_not_where_triggers_of_others_may_change_more(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:

        @db.model(audit=True, timestamps=False)
        class Number:
            value: int

        db.create("Number", value=0)
        run(
            db,
            "CREATE TRIGGER total AFTER INSERT ON numbers BEGIN "
            "UPDATE numbers SET value = value + NEW.value WHERE id = 1; END",
        )
        db.bulk_create("Number", [{"value": 1}] * 150)

        assert db.audit.get_by_entity("Number", 1)[0].changed == {"value": (149, 150)}
        assert db.audit.verify_records("Number").ok


@pytest.mark.parametrize("others", [0, 1, 75])
def test_moments_that_records_have_in_common_are_told_of_each(db: DataFlow, others: int):
    @db.model(audit=True)
    class Visit:
        begun: dt.datetime
        day: dt.date | None = None

    common, other = dt.datetime(2026, 7, 1, 12, 0, 0, 123456, dt.UTC), dt.datetime.now(dt.UTC)
    given = [{"begun": common, "day": common.date()} for _ in range(150)]
    given[:others] = [{"begun": other, "day": None} for _ in range(others)]

    def visits() -> dict[int, Any]:
        return {record["id"]: record for record in db.list("Visit", limit=None)["records"]}

    db.bulk_create("Visit", given)
    created = visits()
    db.bulk_update("Visit", [{"id": key, "day": dt.date(2000, 2, 29)} for key in created])

    found = entries(db)
    images: dict[str, dict[int, Any]] = {entry.action: {} for entry in found}
    for entry in found:
        images[entry.action][(entry.after or {})["id"]] = (entry.before, entry.after)
    updated = visits()
    assert images["create"] == {key: (None, created[key]) for key in created}
    assert images["update"] == {key: (created[key], updated[key]) for key in created}
    assert db.audit.verify_records("Visit").ok


def test_a_record_alone_in_its_chain_may_have_a_day_as_key(db: DataFlow):
    @db.model(audit=True, multi_tenant=True, timestamps=False)
    class Holiday:
        day: dt.date = Field(primary_key=True)

    db.create_tables()
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=n) for n in range(120)]
    values = ", ".join(f"('{day}', '{'alone' if day == days[30] else 'many'}')" for day in days)
    run(db, f"INSERT INTO holidays (day, tenant_id) VALUES {values}")

    with db.all_tenants():
        assert {(entry.key, entry.after["day"]) for entry in entries(db) if entry.after} == {
            (f"{day}", day) for day in days
        }
    with db.tenant("alone"):
        assert [entry.key for entry in db.audit.get_by_entity("Holiday", days[30])]


@pytest.mark.parametrize("column", ["id", "rowid", "OID", "_rowid_"])
def test_a_new_key_by_any_name_is_told_on_sqlite(tmp_path: Path, column: str):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:

        @db.model(audit=True, timestamps=False)
        class Number:
            value: int

        db.create("Number", value=1)
        run(db, f"UPDATE numbers SET {column} = 7")

        assert [(e.action, e.key) for e in entries(db)[:2]] == [("create", "7"), ("delete", "1")]
        assert db.audit.verify_records("Number").ok


@pytest.mark.parametrize("returning", ["ids", "records"])
def test_the_keys_that_a_call_returns_are_those_of_its_records(db: DataFlow, returning: str):
    @db.model(audit=True, timestamps=False)
    class Number:
        value: int

    db.bulk_create("Number", [{"value": -1}] * 50)
    for value in range(120):
        db.update("Number", 1, {"value": value})
    made = db.bulk_create("Number", [{"value": n} for n in range(200)], returning=returning)

    if returning == "ids":
        assert made["ids"] == list(range(51, 251))
    else:
        assert [record["value"] for record in made["records"]] == list(range(200))


@pytest.mark.parametrize("low", [0, 60])
def test_records_whose_keys_are_lower_than_others_are_told(db: DataFlow, low: int):
    @db.model(audit=True, timestamps=False)
    class Lap:
        took: dt.timedelta = Field(primary_key=True)
        runner: str = ""

    times = [dt.timedelta(seconds=90, microseconds=n * 10_001) for n in range(150)]
    db.create("Lap", took=dt.timedelta(seconds=91, microseconds=-low))
    db.bulk_create("Lap", [{"took": took} for took in times if took.seconds != 91])

    assert {(entry.after or {})["took"] for entry in entries(db)} == {
        record.took for record in db.query("Lap").all()
    }
    assert db.audit.verify_records("Lap").ok


def test_columns_may_have_the_names_of_row_numbers(db: DataFlow):
    @db.model(audit=True)
    class Row:
        id: str
        rowid: int = 0
        _rowid_: int = 0

    @db.model(audit=True)
    class Line:
        id: str
        rowid: int = 0
        oid: int = 0

    for model in ("Row", "Line"):
        db.bulk_create(model, [{"id": f"r{n}", "rowid": -n} for n in range(150)])
        db.bulk_create(model, [{"id": f"s{n}", "rowid": -n} for n in range(150)])
        assert db.audit.verify_records(model).ok


def test_a_table_without_row_numbers_is_audited_record_by_record(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        create = "CREATE TABLE lines (id TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL)"
        portal.call(db.database.execute(f"{create} WITHOUT ROWID", ()))

        @db.model(audit=True, timestamps=False)
        class Line:
            id: str
            text: str

        db.bulk_create("Line", [{"id": str(n), "text": "x"} for n in range(150)])

        assert rows(db) == [None] * 150
        assert db.audit.verify_records("Line").ok


def test_large_records_have_entries_of_their_own(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:

        @db.model(audit=True, timestamps=False)
        class Paper:
            text: str

        db.bulk_create("Paper", [{"text": "x" * 200_000}] * 120)
        db.bulk_update("Paper", [{"id": n, "text": "short"} for n in range(1, 121)])
        db.bulk_update("Paper", [{"id": n, "text": "again"} for n in range(1, 121)])

        assert rows(db) == [None] * 240 + [120]
        assert db.audit.verify_records("Paper").ok


def test_later_entries_have_later_times_whoever_writes_them(db: DataFlow):
    @db.model(audit=True, timestamps=False)
    class Number:
        value: int

    db.create_tables()

    async def change() -> list[str]:
        async with db.transaction():
            for value in range(20):
                await db.aio.bulk_create("Number", [{"value": value}] * 100)
                await db.database.execute(f"UPDATE numbers SET value = -1 WHERE id = {value}", ())
        found = await db.database.fetch("SELECT at FROM dataflow_audit_log ORDER BY sequence", ())
        return [str(row[0]) for row in found]

    moments = portal.call(change())
    assert len(moments) == 39
    assert moments == sorted(moments)


def test_very_many_are_in_parts(postgres_db: DataFlow):
    db = postgres_db

    @db.model(audit=True, timestamps=False)
    class Number:
        value: int

    db.create_tables()
    run(db, "INSERT INTO numbers (value) SELECT n FROM generate_series(1, 45000) AS n")
    run(db, "UPDATE numbers SET value = -value")
    run(db, "UPDATE numbers SET id = id + 100000 WHERE id <= 200")

    parts = rows(db)
    assert (len(parts), sum(part or 0 for part in parts)) == (9, 90_400)
    assert [(e.action, e.changed) for e in db.audit.get_by_entity("Number", 30_000)] == [
        ("update", {"value": (30_000, -30_000)}),
        ("create", {}),
    ]
    moved = [entry.action for entry in db.audit.get_by_entity("Number", 7)]
    assert moved == ["delete", "update", "create"]
    assert db.audit.verify().ok


def test_the_servers_memory_setting_is_as_it_was_afterwards(postgres_db: DataFlow):
    db = postgres_db
    declare_item(db)
    db.create_tables()

    async def change() -> str:
        async with db.transaction():
            await db.database.execute("SET LOCAL work_mem = '5MB'", ())
            await db.aio.bulk_create("Item", items(1_000))
            await db.aio.bulk_update("Item", rewritten(1_000, "new"))
            await db.aio.bulk_upsert("Item", rewritten(1_000, "up"))
            ((found,),) = await db.database.fetch("SHOW work_mem", ())
            return str(found)

    assert portal.call(change()) == "5MB"
    assert len(entries(db)) == 3_000


def test_a_server_without_fast_compression_compresses_nothing(postgres_db: DataFlow):
    db = postgres_db
    declare_item(db)
    db.create_tables()

    (fast,) = portal.call(
        db.database.fetch(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = $1",
            ("default_toast_compression",),
        )
    )
    stored = portal.call(
        db.database.fetch(
            "SELECT attname, attstorage::text, attcompression::text FROM pg_attribute "
            "WHERE attrelid = 'dataflow_audit_log'::regclass AND attname IN ('before', 'after')",
            (),
        )
    )
    wanted = ("x", "l") if fast[0] else ("e", "")
    assert {tuple(row) for row in stored} == {("before", *wanted), ("after", *wanted)}


def test_the_history_of_a_record_is_that_of_single_changes(db: DataFlow):
    declare_item(db)
    db.bulk_create("Item", items(150))
    key = items(150)[77]["id"]
    db.update("Item", key, {"note": "one"})
    db.bulk_update("Item", {"id": {"$ne": "none"}}, {"note": "all"})
    db.bulk_delete("Item", {"note": "all"})

    found = db.audit.get_by_entity("Item", key)

    assert [(entry.action, entry.changed.get("note")) for entry in found] == [
        ("delete", None),
        ("update", ("one", "all")),
        ("update", (items(150)[77]["note"], "one")),
        ("create", None),
    ]


def test_keys_of_several_columns_are_found(db: DataFlow):
    @db.model(audit=True)
    class Place:
        row: int = Field(primary_key=True)
        name: str = Field(primary_key=True)

    db.bulk_create("Place", [{"row": n, "name": f'"{n}", \\'} for n in range(120)])

    (entry,) = db.audit.get_by_entity("Place", {"row": 5, "name": '"5", \\'})
    assert (entry.after or {})["row"] == 5
    assert db.audit.get_by_entity("Place", (5, "6")) == []


def test_negative_and_large_numbers_are_found(db: DataFlow):
    @db.model(audit=True)
    class Number:
        id: int
        value: int = 0

    keys = [-(2**63) + 1, -1, 0, 1, 2**63 - 1, *range(10, 150)]
    db.create_tables()
    values = ", ".join(f"({key}, 0)" for key in keys)
    run(db, f"INSERT INTO numbers (id, value) SELECT * FROM (VALUES {values}) AS v")

    assert [len(db.audit.get_by_entity("Number", key)) for key in keys[:5]] == [1] * 5


def test_pages_of_an_actors_entries_are_pieces_of_the_whole(db: DataFlow):
    declare_item(db)
    with db.acting("ada"):
        db.bulk_create("Item", items(150))
        db.update("Item", items(150)[0]["id"], {"note": "x"})
        db.bulk_update("Item", {"id": {"$ne": ""}}, {"note": "y"})

    def named(found: list[AuditEntry]) -> list[Any]:
        return [(entry.action, entry.key, entry.sequence, entry.position) for entry in found]

    whole = named(db.audit.get_by_user("ada", limit=1_000))
    assert len(whole) == 301
    assert whole[150][:2] == ("update", items(150)[0]["id"])
    for skip, limit in (
        (0, 0),
        (0, 1),
        (149, 3),
        (150, 1),
        (151, 10),
        (300, 5),
        (301, 5),
        (7, 250),
    ):
        assert named(db.audit.get_by_user("ada", skip, limit)) == whole[skip : skip + limit]
    assert named(db.audit.get_recent_activity(limit=155)) == whole[:155]


def test_entries_of_one_moment_in_several_chains_are_paged_one_by_one(db: DataFlow):
    @db.model(audit=True, timestamps=False)
    class Note:
        tenant_id: str
        text: str

    tenants = ("a", "b", "c")
    for name in tenants:
        db.create("Note", tenant_id=name, text="new")
    with db.acting("ada"):
        run(db, "UPDATE notes SET text = 'at once'")

    with db.all_tenants():
        pages = [db.audit.get_by_user("ada", skip, 1) for skip in range(4)]
    assert [len(page) for page in pages] == [1, 1, 1, 0]
    assert {page[0].tenant for page in pages[:3]} == set(tenants)


def test_secrets_are_nowhere_in_them(db: DataFlow):
    @db.model(audit=True)
    class Card:
        number: str = Field(primary_key=True, secret=True)
        owner: str

    db.bulk_create("Card", [{"number": f"4000-{n}", "owner": "Ada"} for n in range(120)])

    stored = portal.call(db.database.fetch("SELECT after FROM dataflow_audit_log", ()))
    assert not any('"4000-' in row[0] and "***" not in row[0] for row in stored)
    assert {(entry.after or {})["number"] for entry in entries(db)} == {"***"}


def test_each_tenant_has_its_own(db: DataFlow):
    @db.model(audit=True, multi_tenant=True)
    class Note:
        text: str

    for name in ("acme", "globex"):
        with db.tenant(name):
            db.bulk_create("Note", [{"text": name} for _ in range(120)])
    run(db, "UPDATE notes SET text = 'changed'")

    for name in ("acme", "globex"):
        with db.tenant(name):
            found = entries(db)
            texts = {(entry.after or {})["text"] for entry in found}
            assert (len(found), texts) == (240, {name, "changed"})
            assert {entry.tenant for entry in found} == {name}
            assert db.audit.verify().ok
            assert db.audit.verify_records("Note").ok


def test_records_that_move_to_another_tenant_leave_one_chain_for_the_other(postgres_db: DataFlow):
    db = postgres_db

    @db.model(audit=True, timestamps=False)
    class Note:
        tenant_id: str
        text: str

    db.bulk_create("Note", [{"tenant_id": "a", "text": str(n)} for n in range(150)])
    run(db, "UPDATE notes SET tenant_id = 'b' WHERE id <= 140")

    with db.tenant("a"):
        assert {entry.action for entry in entries(db)[:140]} == {"delete"}
    with db.tenant("b"):
        assert [entry.action for entry in entries(db)] == ["create"] * 140
    with db.all_tenants():
        assert db.audit.verify_records("Note").ok


@pytest.mark.parametrize(
    "damage",
    [
        "after = replace(after, 'user 7', 'user 8')",
        "records = 119",
        "first_key = last_key",
        "last_key = last_key || '0'",
        "before = after",
        "records = NULL, first_key = NULL, last_key = NULL",
    ],
)
def test_damage_to_one_is_found(postgres_db: DataFlow, damage: str):
    db = postgres_db

    @db.model(audit=True)
    class User:
        name: str

    db.bulk_create("User", [{"name": f"user {n}"} for n in range(120)])
    assert db.audit.verify().ok

    async def tamper() -> None:
        async with db.database.transaction():
            await db.database.execute("SET LOCAL session_replication_role = replica", ())
            await db.database.execute(f"UPDATE dataflow_audit_log SET {damage}", ())

    portal.call(tamper())

    assert [problem.kind for problem in db.audit.verify().problems] == ["altered"]


def test_records_changed_behind_the_logs_back_are_found(postgres_db: DataFlow):
    db = postgres_db

    @db.model(audit=True)
    class User:
        name: str

    db.bulk_create("User", [{"name": f"user {n}"} for n in range(120)])

    async def change() -> None:
        async with db.database.transaction():
            await db.database.execute("SET LOCAL session_replication_role = replica", ())
            await db.database.execute("UPDATE users SET name = 'eve' WHERE id = 5", ())
            await db.database.execute("DELETE FROM users WHERE id = 6", ())

    portal.call(change())

    found = db.audit.verify_records("User").problems
    assert found == (RecordProblem("5", "altered"), RecordProblem("6", "missing"))


def test_a_change_in_another_time_zone_and_style_reads_the_same(postgres_db: DataFlow):
    db = postgres_db

    @db.model(audit=True)
    class Event:
        at: dt.datetime
        day: dt.date

    moment = dt.datetime(2026, 7, 1, 12, 0, 0, 123456, dt.UTC)
    db.create("Event", at=moment, day=moment.date())
    run(
        db,
        "WITH style AS MATERIALIZED (SELECT set_config('timezone', 'Asia/Kathmandu', true), "
        "set_config('datestyle', 'SQL, DMY', true)) "
        "INSERT INTO events (at, day, created_at, updated_at) "
        "SELECT e.at, e.day, e.at, e.at FROM events AS e, generate_series(1, 120), style",
    )

    values = {((entry.after or {})["at"], (entry.after or {})["day"]) for entry in entries(db)}
    assert values == {(moment, moment.date())}
