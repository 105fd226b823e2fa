"""The audit log: what is written, who is named, how it is read and checked."""

import asyncio
import datetime as dt
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from dataflow import DataFlow, Field, LocalRuntime, WorkflowBuilder
from dataflow.context import Setting, tenant
from dataflow.errors import OptionError, ParameterError, SchemaDriftError, UniqueViolationError
from dataflow.portal import portal
from dataflow.records.auditentry import AuditReport


def declare_user(db: DataFlow, **options: Any) -> None:
    @db.model(**{"audit": True, "timestamps": False, **options})
    class User:
        name: str = Field(unique=True)
        score: int = 0
        password: str = Field("secret", secret=True)


def run(db: DataFlow, sql: str) -> Any:
    """Run raw SQL as any caller of the driver would."""
    return portal.call(db.database.execute(sql, ()))


def trail(db: DataFlow) -> list[tuple[Any, ...]]:
    """Return action, key and changed fields of all entries, oldest first."""
    entries = db.audit.get_recent_activity(limit=1_000)
    return [(e.action, e.key, e.changed) for e in reversed(entries)]


# ----------------------------------------------------------------------- writes


def test_each_verb_writes_an_entry_per_record(db: DataFlow):
    declare_user(db)

    db.create("User", name="a")
    db.update("User", 1, {"score": 1})
    db.bulk_create("User", [{"name": "b"}, {"name": "c"}])
    db.bulk_update("User", {"name": "b"}, {"score": 2})
    db.bulk_update("User", [{"id": 3, "score": 3}])
    db.bulk_upsert("User", [{"id": 1, "name": "z"}, {"id": 9, "name": "n"}], update_fields=["name"])
    db.bulk_delete("User", {"name": "n"})
    db.delete("User", 3)

    assert sorted(trail(db)[:1]) == [("create", "1", {})]
    assert trail(db)[1:6] == [
        ("update", "1", {"score": (0, 1)}),
        ("create", "2", {}),
        ("create", "3", {}),
        ("update", "2", {"score": (0, 2)}),
        ("update", "3", {"score": (0, 3)}),
    ]
    assert sorted(trail(db)[6:8], key=str) == [
        ("create", "9", {}),
        ("update", "1", {"name": ("a", "z")}),
    ]
    assert trail(db)[8:] == [("delete", "9", {}), ("delete", "3", {})]
    assert db.audit.verify().ok


def test_nodes_pipelines_and_raw_sql_are_audited_alike(db: DataFlow, runtime: LocalRuntime):
    declare_user(db)
    builder = WorkflowBuilder("one", db=db)
    builder.add_node("UserCreateNode", "create", {"name": "a"})

    runtime.execute(builder.build())
    run(db, "UPDATE users SET score = score + 5 WHERE id = 1")
    run(db, "UPDATE users SET id = 7 WHERE id = 1")

    assert trail(db)[:2] == [("create", "1", {}), ("update", "1", {"score": (0, 5)})]
    assert sorted(trail(db)[2:]) == [("create", "7", {}), ("delete", "1", {})]
    assert db.audit.verify().ok


def test_cascades_are_audited(db: DataFlow):
    @db.model
    class Case:
        title: str

    @db.model(audit=True)
    class Note:
        text: str
        case_id: int = Field(foreign_key="cases.id", on_delete="cascade")

    db.create("Case", title="a")
    db.bulk_create("Note", [{"text": "x", "case_id": 1}, {"text": "y", "case_id": 1}])
    db.delete("Case", 1)

    assert trail(db)[2:] == [("delete", "1", {}), ("delete", "2", {})]


def test_truncating_and_replacing_are_audited(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")
    replace = "INSERT OR REPLACE INTO users (id, name, score, password) VALUES (1, 'b', 0, '')"
    sqlite = db.database.driver.name == "sqlite"

    run(db, replace if sqlite else "TRUNCATE users")

    gone = [("create", "1", {}), ("delete", "1", {})]
    assert trail(db) == [*gone, ("create", "1", {})] if sqlite else gone
    assert db.audit.verify().ok


def test_sessions_of_sqlalchemy_are_audited_with_their_actor(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")

    async def change() -> None:
        lane = await db.database.lane()
        async with AsyncSession(lane.engine) as session:
            await session.execute(text("UPDATE users SET score = 1"))
            async with db.acting("late", correlation_id="c"):
                await session.execute(text("UPDATE users SET score = 2"))
            await session.execute(text("UPDATE users SET score = 3"))
            await session.commit()

    portal.call(change())

    found = [(e.actor, e.correlation_id) for e in reversed(db.audit.get_by_entity("User", 1))]
    assert found == [(None, None), (None, None), ("late", "c"), (None, None)]


def test_a_soft_delete_is_an_update(db: DataFlow):
    declare_user(db, soft_delete=True)
    db.create("User", name="a")

    db.delete("User", 1)

    ((action, key, changed),) = trail(db)[1:]
    assert (action, key, list(changed)) == ("update", "1", ["deleted_at"])


def test_what_is_rolled_back_is_not_audited(db: DataFlow):
    declare_user(db)

    with pytest.raises(UniqueViolationError):
        db.bulk_create("User", [{"name": "a"}, {"name": "a"}])
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.create("User", name="b")
        _ = 1 / 0
    with db.transaction():
        db.create("User", name="c")
        with pytest.raises(ZeroDivisionError), db.transaction(savepoint=True):
            db.create("User", name="d")
            _ = 1 / 0
        db.create("User", name="e")

    names = [e.after["name"] for e in db.audit.get_recent_activity() if e.after]
    assert names == ["e", "c"]
    assert db.audit.verify().ok


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
def test_writers_at_the_same_time_never_wait_nor_fail_for_the_log(url: str, isolation: str):
    with DataFlow(url, pool_size=20, pool_timeout_s=120) as db:
        declare_user(db)
        db.create("User", name="first")

        async def write(number: int) -> None:
            async with db.transaction(isolation=isolation):
                await db.aio.create("User", name=str(number))
                await asyncio.sleep(0)
                await db.aio.create("User", name=f"{number} again")

        async def all_at_once() -> None:
            await asyncio.gather(*(write(number) for number in range(40)))

        portal.call(all_at_once())
        report = db.audit.verify()

    assert (report.entries, report.problems) == (81, ())
    assert (report.chains > 1) == (not url.startswith("sqlite"))


def test_serializable_writers_of_new_chains_do_not_fail_for_the_log(url: str):
    with DataFlow(url, pool_size=20, pool_timeout_s=120) as db:
        declare_user(db, multi_tenant=True)
        with db.tenant("first"):
            db.create("User", name="first")

        async def write(number: int) -> None:
            with db.tenant(f"tenant {number}"):
                async with db.transaction(isolation="serializable"):
                    await db.aio.create("User", name="one")
                    await asyncio.sleep(0)
                    await db.aio.bulk_create("User", [{"name": "two"}, {"name": "three"}])

        async def all_at_once() -> None:
            await asyncio.gather(*(write(number) for number in range(100)))

        portal.call(all_at_once())
        with db.all_tenants():
            report = db.audit.verify()

    assert (report.entries, report.chains, report.problems) == (301, 101, ())


# ---------------------------------------------------------------------- callers


def test_entries_name_actor_and_correlation_id(db: DataFlow):
    declare_user(db)
    db.create("User", name="nobody")

    with db.acting("ada", correlation_id="r1"):
        db.create("User", name="a")
        with db.acting("bob"):
            db.update("User", 1, {"score": 1})
        db.bulk_create("User", [{"name": "x"}])
        db.bulk_update("User", {"name": "x"}, {"score": 2})
        db.bulk_delete("User", {"name": "x"})
        db.delete("User", 1)
    db.create("User", name="nobody again")

    callers = [(e.actor, e.correlation_id) for e in reversed(db.audit.get_recent_activity())]
    ada = ("ada", "r1")
    assert callers == [(None, None), ada, ("bob", "r1"), ada, ada, ada, ada, (None, None)]


def test_the_actor_may_change_inside_a_transaction(db: DataFlow):
    declare_user(db)

    with db.transaction():
        db.create("User", name="a")
        with db.acting("ada"):
            db.bulk_create("User", [{"name": "b"}])
            with pytest.raises(ZeroDivisionError), db.transaction(savepoint=True):
                with db.acting("eve"):
                    db.bulk_create("User", [{"name": "c"}])
                _ = 1 / 0
            db.bulk_create("User", [{"name": "d"}])
        db.bulk_create("User", [{"name": "e"}])
    db.bulk_create("User", [{"name": "f"}])

    found = [(e.actor, (e.after or {})["name"]) for e in db.audit.get_recent_activity()]
    assert found[::-1] == [(None, "a"), ("ada", "b"), ("ada", "d"), (None, "e"), (None, "f")]


def test_tasks_at_the_same_time_keep_their_actors(db: DataFlow):
    declare_user(db)

    async def write(number: int) -> None:
        async with db.acting(number):
            await db.aio.create("User", name=str(number))
            await db.aio.update("User", {"name": str(number)}, {"score": 1})

    async def all_at_once() -> None:
        await asyncio.gather(*(write(number) for number in range(30)))

    portal.call(all_at_once())

    entries = db.audit.get_recent_activity(limit=100)
    assert len(entries) == 60
    assert all(e.after is not None and e.after["name"] == e.actor for e in entries)


# ---------------------------------------------------------------------- tenants


def test_each_tenant_has_a_chain_of_its_own(db: DataFlow):
    @db.model(audit=True)
    class Job:
        tenant_id: str
        text: str

    db.bulk_create("Job", [{"tenant_id": t, "text": "x"} for t in ("a", "b", "a")])
    run(db, "UPDATE jobs SET text = 'y'")

    with Setting(tenant, "a"):
        mine = db.audit.get_recent_activity()
    assert {(e.chain, e.tenant) for e in mine} == {("a", "a")}
    assert len(mine) == 4
    assert [(e.chain, e.sequence) for e in db.audit.get_by_entity("Job", 2)] == [("b", 2), ("b", 1)]
    assert (db.audit.verify().entries, db.audit.verify().ok) == (6, True)


def test_a_tenant_may_be_missing(db: DataFlow):
    @db.model(audit=True)
    class Job:
        tenant_id: str | None = None

    db.bulk_create("Job", [{"tenant_id": None}, {"tenant_id": "a"}])

    found = {(e.chain, e.tenant) for e in db.audit.get_recent_activity()}
    assert found == {("", None), ("a", "a")}
    assert db.audit.verify().ok


def test_views_are_left_alone(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")
    run(db, "CREATE VIEW names AS SELECT id, name FROM users")

    db.enable_audit_log()
    db.update("User", 1, {"score": 1})

    assert len(db.audit.get_recent_activity()) == 2


# --------------------------------------------------------------------- reading


class Color(enum.Enum):
    RED = "red"


def test_values_come_back_in_their_declared_types(db: DataFlow):
    @db.model(audit=True)
    class Thing:
        id: uuid.UUID
        price: Decimal
        weight: float
        ok: bool
        color: Color
        day: dt.date
        hour: dt.time
        wait: dt.timedelta
        data: bytes
        tags: list[str]
        doc: dict[str, Any]
        many: set[int]
        nothing: str | None = None

    given = {
        "price": Decimal("1.10"), "weight": 0.1, "ok": True, "color": Color.RED,
        "day": dt.date(2020, 2, 29), "hour": dt.time(1, 2, 3, 4),
        "wait": dt.timedelta(days=3, seconds=4, microseconds=5), "data": b"\x00\xff",
        "tags": ["a", 'ü\n"'], "doc": {"x": [1, 2.5, None]}, "many": {1, 2},
    }  # fmt: skip

    record = db.create("Thing", given)

    (entry,) = db.audit.get_by_entity("Thing", record["id"])
    assert entry.after == record
    assert (entry.before, entry.action, entry.table) == (None, "create", "things")
    assert entry.at.tzinfo is not None


def test_secrets_never_reach_the_log(db: DataFlow):
    declare_user(db)

    db.create("User", name="a", password="hunter2")
    db.update("User", 1, {"password": "hunter3"})

    for entry in db.audit.get_by_entity("User", 1):
        assert entry.after is not None
        assert entry.after["password"] == "***"
    rows = portal.call(db.database.fetch("SELECT * FROM dataflow_audit_log", ()))
    assert "hunter" not in str([tuple(row) for row in rows])


def test_a_wide_table_is_audited_whole(db: DataFlow):
    names = {f"c{number}": int for number in range(150)}
    model = type("Wide", (), {"__annotations__": names, "__module__": __name__})
    db.model(audit=True)(model)

    record = db.create("Wide", dict.fromkeys(names, 1))

    assert db.audit.get_by_entity("Wide", 1)[0].after == record


def test_composite_keys_are_texts_in_a_list(db: DataFlow):
    @db.model(audit=True)
    class Seat:
        row: int = Field(primary_key=True)
        name: str = Field(primary_key=True)
        taken: bool = False

    db.create("Seat", row=1, name="ä")
    db.update("Seat", {"row": 1, "name": "ä"}, {"taken": True})

    for key in ({"row": 1, "name": "ä"}, (1, "ä")):
        entries = db.audit.get_by_entity("Seat", key)
        assert [(e.action, e.key) for e in entries] == [
            ("update", '["1","ä"]'),
            ("create", '["1","ä"]'),
        ]


def test_the_log_is_read_by_user_entity_correlation_and_time(db: DataFlow):
    declare_user(db)
    with db.acting("ada", correlation_id="flow"):
        db.create("User", name="a")
        db.update("User", 1, {"score": 1})
        db.update("User", 1, {"score": 2})

    pages = [db.audit.get_by_user("ada", skip=skip, limit=2) for skip in (0, 2)]
    assert [[e.sequence for e in page] for page in pages] == [[3, 2], [1]]
    assert [e.sequence for e in db.audit.get_by_entity("users", 1)] == [3, 2, 1]
    assert [e.sequence for e in db.audit.get_by_correlation_id("flow")] == [1, 2, 3]
    assert [e.sequence for e in db.audit.get_recent_activity(hours=24, limit=2)] == [3, 2]
    assert db.audit.get_recent_activity(hours=0) == []
    assert db.audit.get_by_user("bob") == []


def test_actions_that_are_no_writes_are_recorded_and_chained(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")

    with db.acting("boss", correlation_id="r1"):
        db.audit.record(
            action="approve",
            entity_type="user",
            entity_id=1,
            details={"from": "NEW", "to": "OK"},
            ip_address="192.168.1.100",
            user_agent="Mozilla/5.0",
        )
    db.audit.record(action="login")

    entry, _ = db.audit.get_by_entity("user", 1)
    assert (entry.action, entry.model, entry.key, entry.actor) == ("approve", "User", "1", "boss")
    assert entry.details == {"from": "NEW", "to": "OK"}
    assert (entry.ip_address, entry.user_agent) == ("192.168.1.100", "Mozilla/5.0")
    assert (db.audit.verify().entries, db.audit.verify().ok) == (3, True)


def test_a_recorded_action_belongs_to_the_transaction(db: DataFlow):
    declare_user(db)

    with pytest.raises(ZeroDivisionError), db.transaction():
        db.audit.record(action="login")
        _ = 1 / 0

    assert db.audit.get_recent_activity() == []


def test_coroutines_have_the_same_calls(url: str):
    async def calls() -> AuditReport:
        async with DataFlow(url) as db:
            declare_user(db)
            await db.aio.create("User", name="a")
            await db.aio.audit.record(action="login")
            return await db.aio.audit.verify(await db.aio.audit.anchor())

    report = asyncio.run(calls())

    assert (report.entries, report.chains, report.ok) == (2, 1, True)


# ------------------------------------------------------------------ which models


def test_enabling_covers_all_models_but_those_that_refuse(db: DataFlow):
    @db.model
    class Early:
        text: str

    @db.model(audit=False)
    class Never:
        text: str

    db.create("Early", text="before")
    db.enable_audit_log()

    @db.model
    class Late:
        text: str

    for name in ("Early", "Never", "Late"):
        db.create(name, text="after")

    assert [e.model for e in db.audit.get_recent_activity()] == ["Late", "Early"]


def test_enabling_may_name_models(db: DataFlow):
    @db.model
    class One:
        text: str

    @db.model
    class Two:
        text: str

    db.enable_audit_log(One)
    db.create("One", text="a")
    db.create("Two", text="a")

    assert [e.model for e in db.audit.get_recent_activity()] == ["One"]


def test_reading_without_an_audited_model_says_what_to_do(db: DataFlow):
    with pytest.raises(ParameterError, match=r"nothing is audited\.\n  help: call db\.enable_"):
        db.audit.get_recent_activity()


def test_the_option_is_true_false_or_none(memory: DataFlow):
    with pytest.raises(OptionError, match="option audit must be True or False, not 'yes'"):

        @memory.model(audit="yes")
        class User:
            name: str


# ------------------------------------------------------------------------ schema


def test_a_new_column_is_audited_from_its_first_value(url: str):
    with DataFlow(url) as old:
        declare_user(old)
        old.create("User", name="a")

    with DataFlow(url) as db:

        @db.model(audit=True, timestamps=False)
        class User:
            name: str = Field(unique=True)
            score: int = 0
            password: str = Field("secret", secret=True)
            city: str = "x"

        db.update("User", 1, {"city": "y"})

        assert trail(db)[1:] == [("update", "1", {"city": ("x", "y")})]
        assert db.audit.verify().ok


def test_a_migration_keeps_the_triggers_and_audits_what_it_fills(url: str):
    with DataFlow(url) as old:
        declare_user(old)
        old.create("User", name="a")

    with DataFlow(url, auto_migrate=False) as db:

        @db.model(audit=True, timestamps=False)
        class User:
            full_name: str = Field(unique=True)
            score: float = 0.0
            password: str = Field("secret", secret=True)

        renames = {"users.name": "users.full_name"}
        plan = db.migrations.plan(renames=renames)
        db.migrations.apply(renames=renames, allow_drop=True)
        db.update("User", 1, {"score": 1.5})

        assert "create trigger" in {change.kind for change in plan.changes}
        assert db.migrations.plan().changes == ()
        assert trail(db)[-1] == ("update", "1", {"score": (0.0, 1.5)})
        assert db.audit.verify().ok


def test_existing_schema_mode_looks_for_the_triggers(url: str):
    with DataFlow(url) as old:
        declare_user(old, audit=False)
        old.create_tables()

    with DataFlow(url, existing_schema_mode=True) as db:
        declare_user(db)
        with pytest.raises(SchemaDriftError, match="trigger 'dataflow_guard_"):
            db.create("User", name="a")
    with DataFlow(url) as writing:
        declare_user(writing)
        writing.create_tables()
    with DataFlow(url, existing_schema_mode=True) as db:
        declare_user(db)
        db.create("User", name="a")

        assert db.audit.verify().entries == 1


def test_giving_the_audit_up_must_be_allowed(url: str):
    with DataFlow(url) as old:
        declare_user(old)
        old.create_tables()

    with DataFlow(url) as db:
        declare_user(db, audit=False)
        plan = db.migrations.plan()
        db.migrations.apply(allow_drop=True)
        db.create("User", name="a")

        assert {(change.kind, change.loses_data) for change in plan.changes} == {
            ("drop trigger", True)
        }
        assert db.migrations.plan().changes == ()


def test_processes_may_create_the_log_at_once(url: str):
    async def create(db: DataFlow) -> None:
        await db.aio.create_tables()

    async def all_at_once(many: list[DataFlow]) -> None:
        await asyncio.gather(*map(create, many))

    many = [DataFlow(url) for _ in range(4)]
    for db in many:
        declare_user(db)
    portal.call(all_at_once(many))
    for db in many:
        db.create("User", name=str(id(db)))
        db.close()

    with DataFlow(url) as db:
        declare_user(db)
        assert db.audit.verify().entries == 4


# ---------------------------------------------------------------------- checking

SWAP = (
    "UPDATE dataflow_audit_log SET sequence = 99 WHERE sequence = 2;"
    "UPDATE dataflow_audit_log SET sequence = 2 WHERE sequence = 4;"
    "UPDATE dataflow_audit_log SET sequence = 4 WHERE sequence = 99"
)


def tampering(sql: str) -> Callable[[DataFlow], None]:
    """Return what changes the log behind the triggers' back, as its owner can."""

    def damage(db: DataFlow) -> None:
        portal.call(_tamper(db, sql))

    return damage


async def _tamper(db: DataFlow, sql: str) -> None:
    sqlite = db.database.driver.name == "sqlite"
    async with db.database.transaction():
        if sqlite:
            query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%refuse%'"
            for (name,) in await db.database.fetch(query, ()):
                await db.database.execute(f"DROP TRIGGER {name}", ())
        else:
            await db.database.execute("SET LOCAL session_replication_role = replica", ())
        for statement in sql.split(";"):
            await db.database.execute(statement, ())


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE dataflow_audit_log SET actor = 'eve' WHERE sequence = 3", [(3, "altered")]),
        ("UPDATE dataflow_audit_log SET hash = previous WHERE sequence = 3", [(3, "altered")]),
        ("UPDATE dataflow_audit_log SET previous = hash WHERE sequence = 3", [(3, "altered")]),
        ("DELETE FROM dataflow_audit_log WHERE sequence = 3", [(3, "missing")]),
        ("DELETE FROM dataflow_audit_log WHERE sequence > 3", [(4, "truncated")]),
        ("DELETE FROM dataflow_audit_log", [(1, "truncated")]),
        (SWAP, [(2, "swapped"), (4, "swapped")]),
        ("UPDATE dataflow_audit_heads SET sequence = 4 WHERE sequence > 0", [(5, "inserted")]),
        ("UPDATE dataflow_audit_heads SET sequence = 9 WHERE sequence > 0", [(6, "truncated")]),
        ("DELETE FROM dataflow_audit_heads", [(5, "altered")]),
    ],
)
def test_every_damage_is_found_and_named(db: DataFlow, sql: str, found: list[Any]):
    declare_user(db)
    for number in range(5):
        db.create("User", name=str(number))

    tampering(sql)(db)

    problems = db.audit.verify().problems
    assert [(problem.sequence, problem.kind) for problem in problems] == found


def test_an_anchor_detects_an_end_that_was_cut_off_with_its_head(db: DataFlow):
    declare_user(db)
    for number in range(5):
        db.create("User", name=str(number))
    anchor = db.audit.anchor()

    tampering(
        "DELETE FROM dataflow_audit_log WHERE sequence > 3;"
        "UPDATE dataflow_audit_heads SET sequence = 3, "
        "hash = (SELECT hash FROM dataflow_audit_log WHERE sequence = 3) WHERE sequence > 0"
    )(db)

    assert db.audit.verify().ok
    (problem,) = db.audit.verify(anchor).problems
    assert (problem.sequence, problem.kind) == (4, "truncated")


def test_an_anchor_detects_that_everything_is_gone(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")
    anchor = db.audit.anchor()

    tampering("DELETE FROM dataflow_audit_log; DELETE FROM dataflow_audit_heads")(db)

    assert [problem.kind for problem in db.audit.verify(anchor).problems] == ["truncated"]


def test_entries_after_the_anchor_are_welcome(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")
    anchor = db.audit.anchor()
    db.create("User", name="b")

    assert db.audit.verify(anchor).ok


def test_the_log_is_not_verified_inside_a_transaction(db: DataFlow):
    declare_user(db)

    with db.transaction(), pytest.raises(ParameterError, match="a transaction of its own"):
        db.audit.verify()


def test_sessions_of_the_data_layer_are_audited_with_their_actor(db: DataFlow):
    declare_user(db)
    db.create("User", name="a")

    with db.acting("ada"), db.session() as session:
        session.execute(text("UPDATE users SET score = 1"))
        session.commit()

    async def change() -> None:
        async with db.acting("bob"), db.aio.session() as session:
            await session.execute(text("UPDATE users SET score = 2"))
            await session.commit()

    portal.call(change())

    assert [e.actor for e in db.audit.get_by_entity("User", 1)] == ["bob", "ada", None]


def test_who_is_named_after_a_rollback_as_text_is_who_acts(db: DataFlow):
    declare_user(db)
    ways = (
        "ROLLBACK TO SAVEPOINT here",
        "  rollback to here",
        "/* all */ -- of it\n Rollback to here",
    )

    for number, way in enumerate(ways):
        with db.session() as session:
            with db.acting("ada"):
                session.execute(text("SAVEPOINT here"))
            with db.acting("bob"):
                session.execute(text("INSERT INTO users (name, score) VALUES ('undone', 0)"))
                session.execute(text(way))
                name = {"name": str(number)}
                session.execute(text("INSERT INTO users (name, score) VALUES (:name, 0)"), name)
            session.commit()

    assert [entry.actor for entry in db.audit.get_recent_activity()] == ["bob"] * len(ways)


def test_a_record_that_gets_its_tenant_later_is_in_the_log_of_that_tenant(db: DataFlow):
    db.enable_audit_log()

    @db.model
    class Document:
        name: str
        tenant_id: str | None = None

    made = db.create("Document", name="a")
    db.update("Document", made["id"], {"tenant_id": "acme"})
    db.update("Document", made["id"], {"name": "b"})
    db.update("Document", made["id"], {"tenant_id": None})

    entries = db.audit.get_by_entity("Document", made["id"])
    assert [entry.tenant for entry in entries] == ["acme", "acme", "acme", None]
    assert db.audit.verify().ok
