"""Row-level security: the server itself keeps tenants apart, and every call works as before."""

import asyncio
import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import (
    AsyncLocalRuntime,
    DataFlow,
    DataFlowConfig,
    Field,
    Relationship,
    WorkflowBuilder,
)
from dataflow.errors import (
    ConfigurationError,
    ForeignKeyViolationError,
    SchemaDriftError,
    StatementError,
    TenantRequiredError,
    UniqueViolationError,
)
from dataflow.models.mixins import SoftDeleteMixin, TenantMixin
from dataflow.models.ready import BaseModel
from dataflow.portal import portal
from dataflow.repositories import AsyncRepository, DatabaseManager

SEEN = "SELECT count(*) FROM notes"
ODD = 'it\'s \\ a "tenant"; DROP TABLE notes --ü😀'


def execute(url: str, *statements: str) -> list[Any]:
    """Run statements without DataFlow; return what the last one found."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        rows: list[Any] = []
        try:
            for statement in statements:
                rows = await connection.fetch(statement)
        finally:
            await connection.close()
        return rows

    return asyncio.run(run())


@pytest.fixture(scope="session")
def plain_role(postgres_url: str) -> Iterator[str]:
    """A role that is no superuser."""
    name = f"plain_{uuid.uuid4().hex[:8]}"
    execute(postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    yield name
    sql = f"SELECT datname FROM pg_database WHERE datdba = '{name}'::regrole"
    owned = [f'DROP DATABASE "{row[0]}" WITH (FORCE)' for row in execute(postgres_url, sql)]
    execute(postgres_url, *owned, f"DROP ROLE {name}")


@pytest.fixture
def superuser_url(postgres_databases: Any) -> str:
    found: str = postgres_databases.create()
    return found


@pytest.fixture
def plain_url(superuser_url: str, plain_role: str) -> str:
    """A new, empty database that a plain role owns."""
    name = superuser_url.rpartition("/")[2]
    database = f'ALTER DATABASE "{name}" OWNER TO {plain_role}'
    execute(superuser_url, database, f"ALTER SCHEMA public OWNER TO {plain_role}")
    user = urlsplit(superuser_url).netloc.rpartition("@")[2]
    return f"postgresql://{plain_role}:{plain_role}@{user}/{name}"


def declare_notes(db: DataFlow, **options: Any) -> type:
    @db.model(multi_tenant=True, **options)
    class Note:
        id: int
        text: str = Field(unique=True)
        n: int = 0
        data: dict[str, Any] | None = None

    return Note


@pytest.fixture
def walled(plain_url: str) -> Iterator[DataFlow]:
    """Two tenants with three records each."""
    with DataFlow(plain_url, row_level_security=True, max_overflow=0) as db:
        declare_notes(db)
        for tenant in ("acme", "globex"):
            with db.tenant(tenant):
                db.bulk_create("Note", [{"text": f"{tenant} {n}", "n": n} for n in range(3)])
        yield db


async def left_on_connections(db: DataFlow) -> set[str]:
    """Return what the settings of all pooled connections are outside of calls."""
    lane = await db.database.lane()
    fairies = [await lane.take(write=False) for _ in range(lane.driver.slots)]
    sql = (
        "SELECT coalesce(current_setting('dataflow.tenant', true), '') || "
        "coalesce(current_setting('dataflow.all_tenants', true), '')"
    )
    found = {await fairy.driver_connection.fetchval(sql) for fairy in fairies}
    for fairy in fairies:
        lane.give(fairy, write=False)
    return found


# ------------------------------------------------------------------ the wall


def test_a_raw_query_sees_nothing_without_the_setting_and_one_tenant_with_it(
    walled: DataFlow, plain_url: str
):
    with walled.tenant("acme"):
        walled.create("Note", text="one more")

    assert execute(plain_url, SEEN)[0][0] == 0
    assert execute(plain_url, "SET dataflow.tenant = 'acme'", SEEN)[0][0] == 4
    assert execute(plain_url, "SET dataflow.tenant = 'globex'", SEEN)[0][0] == 3
    assert execute(plain_url, "SET dataflow.tenant = ''", SEEN)[0][0] == 0
    assert execute(plain_url, "SET dataflow.all_tenants = 'on'", SEEN)[0][0] == 7


INSERT = (
    "INSERT INTO notes (text, n, tenant_id, created_at, updated_at) "
    "VALUES ('x', 1, 'globex', now(), now())"
)
NO_POLICY = (
    "DO $$ BEGIN EXECUTE (SELECT format('DROP POLICY %I ON notes', polname) FROM pg_policy "
    "LIMIT 1); END $$"
)


@pytest.mark.parametrize(
    ("setting", "statement"),
    [
        ("SET dataflow.tenant = 'acme'", "UPDATE notes SET n = 9 WHERE tenant_id = 'globex'"),
        ("SET dataflow.tenant = 'acme'", "DELETE FROM notes WHERE tenant_id = 'globex'"),
        ("SET dataflow.all_tenants = 'on'", "UPDATE notes SET n = 9"),
        ("SET dataflow.all_tenants = 'on'", "DELETE FROM notes"),
        ("SELECT 1", "DELETE FROM notes"),
    ],
)
def test_a_raw_write_reaches_no_other_tenants_record(
    walled: DataFlow, plain_url: str, setting: str, statement: str
):
    before = execute(plain_url, "SET dataflow.all_tenants = 'on'", "TABLE notes ORDER BY id")[3:]

    execute(plain_url, setting, statement)

    after = execute(plain_url, "SET dataflow.all_tenants = 'on'", "TABLE notes ORDER BY id")[3:]
    assert after == before


def test_a_record_cannot_be_moved_to_or_made_for_another_tenant(walled: DataFlow, plain_url: str):
    for statement in ("UPDATE notes SET tenant_id = 'globex'", INSERT):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            execute(plain_url, "SET dataflow.tenant = 'acme'", statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        execute(plain_url, "SET dataflow.all_tenants = 'on'", INSERT)


def test_sql_of_ones_own_is_behind_the_wall_too(walled: DataFlow):
    with walled.tenant("acme"):
        found = walled.aio.database.fetch
        assert asyncio.run(found(SEEN, ()))[0][0] == 3
    with walled.tenant("initech"):
        assert asyncio.run(found(SEEN, ()))[0][0] == 0
    assert asyncio.run(found(SEEN, ()))[0][0] == 0


def test_a_tenants_name_is_never_sql(walled: DataFlow):
    with walled.tenant(ODD):
        walled.create("Note", text="odd")
        with walled.transaction():
            walled.create("Note", text="odd too")
            with walled.tenant("acme"):
                assert walled.count("Note") == 3
            assert walled.count("Note") == 2
        with walled.session() as session:
            assert session.scalar(sa.select(sa.func.count(sa.column("id"))).select_from(
                walled.metadata.tables["notes"])) == 2  # fmt: skip
    with walled.tenant("acme"):
        assert walled.count("Note") == 3


@pytest.mark.parametrize(
    ("kind", "mine", "given"),
    [
        (int, 7, "7"),
        (uuid.UUID, uuid.UUID(int=0xABCDEF), str(uuid.UUID(int=0xABCDEF)).upper()),
    ],
)
def test_a_tenant_of_another_type_is_compared_in_that_type(
    plain_url: str, kind: type, mine: Any, given: str
):
    with DataFlow(plain_url, row_level_security=True) as db:

        @db.model(multi_tenant=True)
        class Note:
            tenant_id: kind  # type: ignore[valid-type]  # a parameter of the test
            text: str

        with db.tenant(mine):
            db.create("Note", text="a")
        with db.tenant(given):
            assert db.count("Note") == 1
        assert execute(plain_url, SEEN)[0][0] == 0


# -------------------------------------------------------------- as before


def test_every_verb_works_and_stays_with_its_tenant(walled: DataFlow):
    with walled.tenant("acme"):
        made = walled.create("Note", text="new", data={"a": 1})
        assert walled.read("Note", made["id"])["data"] == {"a": 1}
        assert walled.update("Note", made["id"], {"n": 5})["n"] == 5
        assert walled.count("Note", {"n": {"$gte": 1}}) == 3
        assert walled.count("Note", {"data.a": 1}) == 1
        assert walled.delete("Note", made["id"]) is True
        rows = walled.list("Note", sort="n")["records"]
        assert [row["text"] for row in rows] == ["acme 0", "acme 1", "acme 2"]
    with walled.tenant("globex"):
        assert walled.read("Note", rows[0]["id"]) is None
        assert walled.update("Note", rows[0]["id"], {"n": 1}) is None
        assert walled.delete("Note", rows[0]["id"]) is False


@pytest.mark.parametrize("size", [3, 1_200])
def test_every_bulk_verb_works_below_and_above_the_size_of_arrays(walled: DataFlow, size: int):
    given = [{"text": f"t{n}", "n": n, "data": {"n": n}} for n in range(size)]
    with walled.tenant("acme"):
        ids = walled.bulk_create("Note", given, returning="ids")["ids"]
        walled.bulk_create("Note", [{"text": f"u{n}"} for n in range(size)])
        upserted = walled.bulk_upsert(
            "Note", [{"text": f"t{n}", "n": 7} for n in range(size + 2)], conflict_on=["text"]
        )
        updated = walled.bulk_update("Note", [{"id": key, "n": 8} for key in ids])
        assert (upserted["inserted"], upserted["updated"]) == (2, size)
        assert updated["updated"] == size
        assert walled.count("Note", {"n": 8}) == size
        assert walled.bulk_delete("Note", ids=ids)["deleted"] == size
        assert walled.count("Note") == 3 + size + 2
    with walled.tenant("globex"):
        assert walled.count("Note") == 3
        assert walled.bulk_delete("Note", ids=ids)["deleted"] == 0


def test_conflicts_are_told_in_the_same_words(walled: DataFlow):
    with walled.tenant("acme"):
        with pytest.raises(UniqueViolationError) as single:
            walled.create("Note", text="acme 1")
        with pytest.raises(UniqueViolationError) as bulk:
            walled.bulk_create("Note", [{"text": f"acme {n % 3}"} for n in range(900)])
        walled.create("Note", text="globex 1")

    text = "a record of 'notes' with the same text exists already."
    assert single.value.problem_text() == bulk.value.problem_text() == text


def test_nodes_run_in_workflows_of_two_tenants_at_once(walled: DataFlow):
    async def one(tenant: str) -> list[str]:
        workflow = WorkflowBuilder(db=walled)
        workflow.add_node("NoteCreateNode", "made", {"text": "by a node"})
        await AsyncLocalRuntime().execute_async(workflow, tenant=tenant)
        workflow = WorkflowBuilder(db=walled)
        workflow.add_node("NoteListNode", "all", {"filter": {"text": "by a node"}})
        results, _ = await AsyncLocalRuntime().execute_async(workflow, tenant=tenant)
        return [row["tenant_id"] for row in results["all"]["records"]]

    async def both() -> list[list[str]]:
        return await asyncio.gather(*map(one, ("acme", "globex")))

    assert asyncio.run(both()) == [["acme"], ["globex"]]


def test_links_and_foreign_keys_work(plain_url: str):
    with DataFlow(plain_url, row_level_security=True) as db:

        @db.model(multi_tenant=True)
        class Owner:
            id: int
            boxes: list["Box"] = Relationship(back_populates="owner")

        @db.model(multi_tenant=True)
        class Box:
            id: int
            owner_id: int = Field(foreign_key=Owner, on_delete="cascade")
            owner: Owner = Relationship(back_populates="boxes")

        with db.tenant("acme"):
            mine = db.create("Owner")
            db.create("Box", owner_id=mine["id"])
            found = db.read("Owner", mine["id"], include=["boxes"])
            assert len(found["boxes"]) == 1
        with db.tenant("globex"), pytest.raises(ForeignKeyViolationError, match="owner_id"):
            db.create("Box", owner_id=mine["id"])
        with db.tenant("acme"):
            db.delete("Owner", mine["id"])
            assert db.count("Box") == 0


def test_all_tenants_are_read_and_never_written(walled: DataFlow):
    with walled.all_tenants():
        assert walled.count("Note") == 6
        with walled.transaction():
            assert walled.count("Note") == 6
        with walled.session() as session:
            table = walled.metadata.tables["notes"]
            assert len(session.execute(sa.select(table.c.id)).all()) == 6
        with pytest.raises(TenantRequiredError):
            walled.bulk_delete("Note", all=True)


def test_a_model_of_nobody_in_particular_needs_no_tenant(plain_url: str):
    with DataFlow(plain_url, row_level_security=True) as db:

        @db.model
        class Country:
            code: str = Field(primary_key=True)

        db.bulk_create("Country", [{"code": str(n)} for n in range(600)])
        with db.tenant("acme"):
            assert db.count("Country") == 600
        policies = execute(plain_url, "SELECT * FROM pg_policy")
        assert policies == []


def test_the_audit_log_tells_every_change(plain_url: str):
    with DataFlow(plain_url, row_level_security=True) as db:

        @db.model(multi_tenant=True, audit=True)
        class Note:
            text: str
            size: int = 0

        with db.tenant("acme"), db.acting("ada"):
            key = db.create("Note", text="a")["id"]
            db.update("Note", key, {"size": 2})
            db.bulk_create("Note", [{"text": f"t{n}"} for n in range(600)])
        with db.all_tenants():
            assert db.audit.verify().ok
            assert len(db.audit.get_by_user("ada", limit=1_000)) == 602


# ------------------------------------------------- transactions and sessions


def test_a_transaction_is_told_whenever_the_tenant_changes(walled: DataFlow):
    def seen(tenant: str) -> int:
        with walled.tenant(tenant):
            return asyncio.run(_raw(walled))

    async def _raw(db: DataFlow) -> int:
        return int((await db.database.fetch(SEEN, ()))[0][0])

    async def play() -> list[int]:
        found = []
        with walled.tenant("acme"):
            walled_note = {"text": "only acme"}
            async with walled.transaction():
                await walled.aio.create("Note", walled_note)
                found.append(await _raw(walled))
                with walled.tenant("globex"):
                    found.append(await _raw(walled))
                found.append(await _raw(walled))
            async with walled.transaction():
                with pytest.raises(UniqueViolationError):
                    async with walled.transaction(savepoint=True):
                        with walled.tenant("globex"):
                            found.append(await _raw(walled))
                            await walled.aio.create("Note", text="globex 1")
                found.append(await _raw(walled))
                with walled.tenant("globex"):
                    found.append(await _raw(walled))
        found.append(await _raw(walled))
        return found

    assert asyncio.run(play()) == [4, 3, 4, 3, 4, 3, 0]
    assert seen("acme") == 4


def test_sessions_see_their_tenants_records_and_keep_what_they_write(walled: DataFlow):
    note = walled._catalogue.store_of("Note").spec.model

    async def play() -> list[int]:
        found = []
        async with walled.aio.session("acme") as session:
            session.add(note(text="by a session"))
            await session.commit()
            found.append(len((await session.scalars(sa.select(note))).all()))
            async with session.begin_nested() as part:
                session.add(note(text="taken back"))
                await session.flush()
                await part.rollback()
            found.append(len((await session.scalars(sa.select(note))).all()))
        async with walled.aio.session("globex") as session:
            found.append(len((await session.scalars(sa.select(note))).all()))
        return found

    assert asyncio.run(play()) == [4, 4, 3]


def test_a_session_within_a_transaction_and_the_verbs_around_it_take_turns(walled: DataFlow):
    note = walled._catalogue.store_of("Note").spec.model

    async def play() -> list[int]:
        found = []
        with walled.tenant("acme"):
            async with walled.transaction():
                found.append(await walled.aio.count("Note"))
                async with walled.aio.session("globex") as session:
                    session.add(note(text="joined"))
                    await session.flush()
                    found.append(await walled.aio.count("Note"))
                    found.append(len((await session.scalars(sa.select(note))).all()))
                    await session.commit()
                found.append(await walled.aio.count("Note"))
        return found

    assert asyncio.run(play()) == [3, 3, 4, 3]
    with walled.tenant("globex"):
        assert walled.count("Note") == 4


def test_repositories_work(walled: DataFlow):
    note = walled._catalogue.store_of("Note").spec.model

    async def play() -> tuple[int, Any]:
        async with walled.aio.session("acme") as session:
            repository: Any = AsyncRepository(session, note, "acme")
            made = await repository.create(text="by a repository")
            found = await repository.get_by_id(made.id)
            await session.commit()
            return await repository.count(), found.text

    assert asyncio.run(play()) == (4, "by a repository")


def test_a_cleanup_removes_the_old_records_of_every_tenant(plain_url: str):
    class Kept(BaseModel):
        __abstract__ = True
        metadata = sa.MetaData()

    class KeptNote(TenantMixin, SoftDeleteMixin, Kept):
        pass

    class KeptWord(SoftDeleteMixin, Kept):
        pass

    async def main() -> tuple[dict[str, int], dict[str, Any]]:
        old = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
        async with DatabaseManager(plain_url, base=Kept, row_level_security=True) as manager:
            for tenant, count in (("acme", 1), ("globex", 2)):
                made = [KeptNote(tenant_id=tenant, deleted_at=old) for _ in range(count)]
                await manager.bulk_insert([*made, KeptNote(tenant_id=tenant)])
            await manager.bulk_insert([KeptWord(deleted_at=old), KeptWord()])
            removed = await manager.cleanup_old_data()
            return removed, (await manager.get_stats())["models"]

    removed, left = asyncio.run(main())

    assert removed == {"KeptNote": 3, "KeptWord": 1}
    assert {name: figures["total"] for name, figures in left.items()} == {
        "KeptNote": 2,
        "KeptWord": 1,
    }


def test_nothing_is_left_on_pooled_connections(walled: DataFlow):
    def one(tenant: str) -> None:
        with walled.tenant(tenant):
            walled.count("Note")
            with pytest.raises(UniqueViolationError):
                walled.create("Note", text=f"{tenant} 1")
            with walled.transaction():
                walled.create("Note", text=str(dt.datetime.now(dt.UTC)))
            with pytest.raises(ZeroDivisionError), walled.transaction():
                walled.count("Note")
                raise ZeroDivisionError

    for tenant in ("acme", "globex"):
        one(tenant)
    with walled.all_tenants():
        walled.count("Note")

    assert walled.database.pool_status()["idle"] > 0
    assert portal.call(left_on_connections(walled)) == {""}


def test_a_cancelled_call_leaves_nothing_either(walled: DataFlow):
    async def play() -> None:
        with walled.tenant("acme"):
            for steps in range(12):
                task = asyncio.ensure_future(walled.aio.count("Note"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        assert (await walled.database.fetch(SEEN, ()))[0][0] == 0
        assert await left_on_connections(walled) == {""}

    asyncio.run(play())


# ------------------------------------------------------------------- schema


def test_policies_are_compared_and_made_once(walled: DataFlow, plain_url: str):
    sql = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = 'notes'"

    assert tuple(execute(plain_url, sql)[0]) == (True, True)
    assert len(execute(plain_url, "SELECT * FROM pg_policy")) == 2
    assert walled.migrations.plan().changes == ()


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE notes NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE notes DISABLE ROW LEVEL SECURITY",
        NO_POLICY,
    ],
)
def test_what_is_missing_is_found_named_and_mended(walled: DataFlow, plain_url: str, damage: str):
    execute(plain_url, damage)

    with DataFlow(plain_url, row_level_security=True, existing_schema_mode=True) as checking:
        declare_notes(checking)
        with checking.tenant("acme"), pytest.raises(SchemaDriftError, match="policy 'dataflow_g"):
            checking.count("Note")
    with DataFlow(plain_url, row_level_security=True, auto_migrate=False) as trusting:
        declare_notes(trusting)
        with trusting.tenant("acme"), pytest.raises(ConfigurationError, match="enabled and forced"):
            trusting.count("Note")
    with DataFlow(plain_url, row_level_security=True) as mending:
        declare_notes(mending)
        with mending.tenant("acme"):
            assert mending.count("Note") == 3
    with DataFlow(plain_url, row_level_security=True, existing_schema_mode=True) as checking:
        declare_notes(checking)
        with checking.tenant("acme"):
            assert checking.count("Note") == 3


def test_a_migration_puts_up_the_wall_and_takes_it_down(superuser_url: str, plain_url: str):
    with DataFlow(plain_url) as before:
        declare_notes(before)
        with before.tenant("acme"):
            before.create("Note", text="old")
    with DataFlow(plain_url, row_level_security=True, auto_migrate=False) as db:
        declare_notes(db)
        plan = db.migrations.apply()
        assert [change.kind for change in plan.changes] == ["create policy"] * 2
        with db.tenant("acme"):
            assert db.count("Note") == 1
    with DataFlow(superuser_url) as after:
        declare_notes(after)
        plan = after.migrations.plan()
        assert [(c.kind, c.loses_data) for c in plan.changes] == [("drop policy", True)] * 2
        after.migrations.apply(allow_drop=True)
    assert execute(plain_url, SEEN)[0][0] == 1


def test_a_migration_alters_the_column_that_the_policies_read(plain_url: str):
    with DataFlow(plain_url, row_level_security=True) as old:
        declare_notes(old)
        with old.tenant("acme"):
            old.create("Note", text="a")
    with DataFlow(plain_url, row_level_security=True, auto_migrate=False) as db:

        @db.model(multi_tenant=True)
        class Note:
            id: int
            tenant_id: str = Field(max_length=300)
            text: str = Field(unique=True)
            n: int = 0
            data: dict[str, Any] | None = None
            extra: int = 3

        db.migrations.apply()
        assert db.migrations.plan().changes == ()
        with db.tenant("acme"):
            assert db.list("Note", fields=["text", "extra"])["records"] == [
                {"text": "a", "extra": 3}
            ]
    assert execute(plain_url, SEEN)[0][0] == 0


POLICY = (
    "SELECT polname, polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), "
    "relrowsecurity, relforcerowsecurity "
    "FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid ORDER BY 1"
)


def test_revision_files_put_up_the_wall_change_it_and_take_it_down(plain_url: str, tmp_path: Path):
    settings: dict[str, Any] = {
        "row_level_security": True, "auto_migrate": False, "migrations_path": tmp_path,
    }  # fmt: skip
    with DataFlow(plain_url, **settings) as db:
        declare_notes(db)
        db.migrations.revision("Initial schema")
        db.migrations.upgrade()
        db.migrations.check()
        with db.tenant("acme"):
            db.create("Note", text="a")
        assert execute(plain_url, SEEN)[0][0] == 0
        assert execute(plain_url, "SET dataflow.tenant = 'acme'", SEEN)[0][0] == 1
        before = execute(plain_url, POLICY)
    with DataFlow(plain_url, **settings) as later:

        @later.model(multi_tenant=True)
        class Note:
            id: int
            tenant_id: str = Field(max_length=300)
            text: str = Field(unique=True)
            n: int = 0
            data: dict[str, Any] | None = None
            extra: int = 3

        made = later.migrations.revision("Long names of tenants")
        later.migrations.upgrade()
        later.migrations.check()
        with later.tenant("acme"):
            assert later.list("Note", fields=["extra"])["records"] == [{"extra": 3}]
        later.migrations.downgrade("-1", allow_drop=True)
        made.path.unlink()
    assert execute(plain_url, POLICY) == before
    with DataFlow(plain_url, **settings | {"row_level_security": False}) as open_again:
        declare_notes(open_again)
        open_again.migrations.revision("No wall", allow_drop=True)
        open_again.migrations.upgrade()
        open_again.migrations.check()


def test_first_use_puts_up_no_wall_where_revision_files_do(plain_url: str, tmp_path: Path):
    with DataFlow(plain_url, migrations_path=tmp_path) as before:
        declare_notes(before)
        before.migrations.revision("Initial schema")
        before.migrations.upgrade()
    with DataFlow(plain_url, migrations_path=tmp_path, row_level_security=True) as db:
        declare_notes(db)
        with db.tenant("acme"), pytest.raises(SchemaDriftError, match=r"policy .* is missing"):
            db.count("Note")
        db.migrations.revision("The wall")
        db.migrations.upgrade()
        with db.tenant("acme"):
            db.create("Note", text="a")
        db.migrations.downgrade("-1")
    assert execute(plain_url, POLICY) == []
    assert execute(plain_url, SEEN)[0][0] == 1


# ------------------------------------------------------------------ refused


def test_a_superuser_is_refused_before_anything_is_made(superuser_url: str):
    with DataFlow(superuser_url, row_level_security=True) as db:
        declare_notes(db)
        with db.tenant("acme"), pytest.raises(ConfigurationError) as caught:
            db.count("Note")

    assert str(caught.value) == (
        "row_level_security has no effect for this user of the database, who is a superuser "
        "or has BYPASSRLS.\n  help: connect as a role that is neither; it may own the tables"
        "\n  code: DF111"
    )
    assert execute(superuser_url, "SELECT to_regclass('notes')")[0][0] is None


def test_a_role_above_policies_is_refused(superuser_url: str, plain_url: str, plain_role: str):
    execute(superuser_url, f"ALTER ROLE {plain_role} BYPASSRLS")
    try:
        with DataFlow(plain_url, row_level_security=True) as db:
            declare_notes(db)
            with db.tenant("acme"), pytest.raises(ConfigurationError, match="BYPASSRLS"):
                db.count("Note")
    finally:
        execute(superuser_url, f"ALTER ROLE {plain_role} NOBYPASSRLS")


def test_sqlite_is_refused_at_once():
    with pytest.raises(ConfigurationError) as caught:
        DataFlow("sqlite:///:memory:", row_level_security=True)

    assert str(caught.value) == (
        "row_level_security needs PostgreSQL; sqlite has no policies.\n"
        "  help: leave the setting out here: models keep tenants apart without it, too\n"
        "  code: DF111"
    )
    assert DataFlowConfig().row_level_security is False


def test_without_the_setting_a_call_is_one_statement(url: str, statements: Callable[[], list[str]]):
    with DataFlow(url, echo=True) as db:
        declare_notes(db)
        db.create_tables()
        statements()
        with db.tenant("acme"):
            db.count("Note")

        assert len(statements()) == 1
        assert db.database.driver.walled is False


def test_the_server_stops_what_dataflow_lets_through(walled: DataFlow):
    """An INSERT of another tenant's record, sent past the verbs."""
    with walled.tenant("acme"), pytest.raises(StatementError, match="row-level security"):
        asyncio.run(walled.database.execute(INSERT, ()))


def test_an_altered_table_is_met_again_by_the_same_call(walled: DataFlow, plain_url: str):
    with walled.tenant("acme"):
        assert walled.list("Note")["count"] == 3
        execute(plain_url, "ALTER TABLE notes ALTER COLUMN n TYPE bigint")
        assert walled.list("Note")["count"] == 3
        assert re.match("acme", walled.list("Note")["records"][0]["text"])


def test_a_session_is_told_anew_after_a_part_that_failed(plain_url: str):
    """Neither tenant nor actor is told in a transaction that only a rollback can mend."""
    with DataFlow(plain_url, row_level_security=True) as db:

        @db.model(multi_tenant=True, audit=True)
        class Note:
            text: str = Field(unique=True)

        async def play() -> None:
            with db.acting("ada"):
                async with db.aio.session("acme") as session:
                    session.add(Note(text="a"))
                    await session.flush()
                    with pytest.raises(sa.exc.IntegrityError):
                        async with session.begin_nested():
                            session.add(Note(text="a"))
                    session.add(Note(text="b"))
                    await session.commit()

        asyncio.run(play())
        with db.tenant("acme"):
            assert db.count("Note") == 2
            assert len(db.audit.get_by_user("ada")) == 2


def test_reserved_keys_pass_the_policies_of_tenants(plain_url: str):
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "items"
        id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
        tenant_id: Mapped[str] = mapped_column(sa.String(255))
        number: Mapped[int] = mapped_column(sa.Integer, sa.Sequence("numbers"))

    with DataFlow(plain_url, row_level_security=True) as db, db.tenant("acme"):
        db.model(multi_tenant=True)(Item)

        told = db.bulk_create(Item, [{}] * 3, returning="records")["records"]

        assert [(r["id"], r["number"]) for r in told] == [(1, 1), (2, 2), (3, 3)]
