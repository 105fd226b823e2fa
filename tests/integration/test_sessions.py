"""SQLAlchemy sessions on the pool, and how they keep to one tenant's records."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import session_forged_reads
import session_forged_writes
import session_reads
import sqlalchemy as sa
from effort import calls_of
from session_house import CANARY, FORGED, READS, House, Route, fill, furnish, furnish_declarative
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Mapped, Session
from sqlalchemy.orm.exc import StaleDataError

from dataflow import DataFlow
from dataflow.context import ALL_TENANTS
from dataflow.errors import (
    AppendOnlyError,
    DataFlowError,
    ParameterError,
    TenantRequiredError,
    UnscopedStatementError,
)
from dataflow.models.mixins import TenantMixin
from dataflow.models.ready import BaseModel

ROUTES = (session_reads, session_forged_reads, session_forged_writes)  # fill the two lists
Work = Callable[[Session], Any]
InSession = Callable[[DataFlow, Work], Any]


def _in_thread(db: DataFlow, work: Work) -> Any:
    with db.session("acme") as session:
        return work(session)


def _in_loop(db: DataFlow, work: Work) -> Any:
    async def main() -> Any:
        async with db.aio.session("acme") as session:
            return await session.run_sync(work)

    return asyncio.run(main())


@pytest.fixture(params=[_in_thread, _in_loop], ids=["sync", "async"])
def in_session(request: pytest.FixtureRequest) -> InSession:
    """Do something in a session of the tenant `acme`."""
    return request.param


def everything(house: House) -> dict[str, Any]:
    """Return all records of all tenants, deleted ones too."""
    with house.db.all_tenants():
        return {
            model: house.db.list(model, limit=None, include_deleted=True)["records"]
            for model in ("Team", "Note", "Page")
        }


def records_of(tenant: str, records: dict[str, Any]) -> dict[str, Any]:
    return {
        model: [record for record in found if record["tenant_id"] == tenant]
        for model, found in records.items()
    }


def shown(value: Any) -> str:
    """Return a text of a value, of records in it, and of what these hold."""
    if isinstance(value, str | int | float | None):
        return str(value)
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value))
    held = getattr(value, "__dict__", {})
    return " ".join([str(value), *(str(item) for item in held.values())])


FURNISH = pytest.mark.parametrize("furnished", [furnish, furnish_declarative])


@FURNISH
def test_every_read_sees_the_tenants_records_alone(
    furnished: Callable[[DataFlow], House], db: DataFlow, in_session: InSession
):
    house = furnished(db)

    for route, expected in READS:
        found = in_session(db, lambda session, route=route: route(session, house))

        assert (route.__name__, found) == (route.__name__, expected)


@FURNISH
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_no_forged_route_reaches_another_tenant(
    furnished: Callable[[DataFlow], House], db: DataFlow, in_session: InSession
):
    house = furnished(db)
    theirs, reached = records_of("globex", everything(house)), []

    for route in FORGED:
        fill(db, "acme", "mine")
        told = _try(route, house, in_session)
        present = everything(house)
        same = records_of("globex", present) == theirs
        if not same or CANARY in told or CANARY in str(records_of("acme", present)):
            reached.append(route.__name__)

    assert reached == []


def _try(route: Route, house: House, in_session: InSession) -> str:
    """Return all that a route tells, also by its error; only named errors are expected."""

    def work(session: Session) -> str:
        found = shown(route(session, house))
        session.commit()
        return found

    try:
        return in_session(house.db, work)
    except (DataFlowError, SQLAlchemyError) as error:
        return str(error).partition("[SQL")[0]  # what follows is what the route itself wrote
    except NotImplementedError as error:
        return str(error)  # SQLAlchemy's: SQLite has no DELETE with several tables


# ------------------------------------------------------------------- what holds of all sessions


def test_what_a_session_writes_belongs_to_its_tenant(db: DataFlow, in_session: InSession):
    house = furnish(db)

    def work(session: Session) -> None:
        team = house.Team(name="new", notes=[house.Note(title="first"), house.Note(title="second")])
        session.add_all([team, house.Page(slug="a", body="b", tenant_id="acme")])
        session.execute(sa.insert(house.Page), [{"slug": "c", "body": "d"}])
        session.execute(sa.insert(house.Page).values([{"slug": "e", "body": "f"}]))
        upsert = house.insert(house.Page).values(slug="home", body="changed")
        session.execute(
            upsert.on_conflict_do_update(
                index_elements=["tenant_id", "slug"], set_={"body": upsert.excluded.body}
            )
        )
        session.commit()

    in_session(db, work)
    with db.tenant("acme"):
        pages = db.list("Page", sort="slug", fields=["slug", "body"])["records"]
        notes = db.list("Note", {"team_id": {"$ne": None}}, sort="-id", limit=2)["records"]

    assert [tuple(page.values()) for page in pages] == [
        ("a", "b"), ("c", "d"), ("e", "f"), ("home", "changed"),
    ]  # fmt: skip
    assert sorted(note["title"] for note in notes) == ["first", "second"]
    assert {note["tenant_id"] for note in notes} == {"acme"}


def test_an_update_from_another_table_sees_the_tenants_records(db: DataFlow, in_session: InSession):
    house = furnish(db)
    change = sa.update(house.Note).where(house.Note.team_id == house.Team.id)

    def work(session: Session) -> list[str]:
        session.execute(
            change.values(title=house.Team.name), execution_options={"synchronize_session": False}
        )
        return sorted(session.scalars(sa.select(house.Note.title)))

    assert in_session(db, work) == ["mine loose", "mine team", "mine team"]


def test_a_generated_key_cannot_be_given(db: DataFlow, in_session: InSession):
    house = furnish(db)

    def work(session: Session) -> None:
        session.add(house.Note(id=900, title="x"))
        session.flush()

    with pytest.raises(UnscopedStatementError, match="the database generates 'id' of 'notes'"):
        in_session(db, work)


def test_a_session_without_a_tenant_refuses_before_any_statement(db: DataFlow):
    house = furnish(db)
    works: list[Work] = [
        lambda session: session.scalars(sa.select(house.Note)).all(),
        lambda session: session.execute(sa.update(house.Note).values(title="x")),
        lambda session: session.execute(sa.delete(house.Page)),
        lambda session: session.execute(sa.insert(house.Page).values(slug="x", body="y")),
        lambda session: session.get(house.Note, 1),
        lambda session: (session.add(house.Page(slug="x", body="y")), session.flush()),
    ]
    sent: list[str] = []
    for work in works:
        with db.session() as session:
            sa.event.listen(
                session.get_bind(), "after_cursor_execute", lambda *a, **kw: sent.append(a[2])
            )
            with pytest.raises(TenantRequiredError):
                work(session)

    assert [sql for sql in sent if not sql.startswith("BEGIN")] == []


def test_a_session_keeps_its_tenant_when_the_callers_changes(db: DataFlow):
    house = furnish(db)

    with db.tenant("acme"), db.session() as session:
        first = session.scalars(sa.select(house.Note.title)).all()
        with db.tenant("globex"):
            second = session.scalars(sa.select(house.Note.title)).all()
            loaded = session.get(house.Note, house.their_note)
            session.commit()
            third = session.scalars(sa.select(house.Note.title)).all()

    assert loaded is None
    assert {*first, *second, *third} == {"mine 1", "mine 2", "mine loose"}


def test_a_session_opened_for_all_stays_so_and_one_opened_for_none_stays_narrow(db: DataFlow):
    house = furnish(db)

    with db.all_tenants():
        wide = db.session()
    with wide, db.tenant("acme"):
        seen = len(wide.scalars(sa.select(house.Note)).all())
    narrow = db.session()
    with narrow, db.all_tenants(), pytest.raises(TenantRequiredError):
        narrow.scalars(sa.select(house.Note)).all()

    assert seen == 6
    assert wide.info["tenant"] is ALL_TENANTS


def test_sessions_of_two_tenants_share_connections_and_nothing_else(db: DataFlow):
    house = furnish(db)

    async def titles(tenant: str) -> set[str]:
        async with db.aio.session(tenant) as session:
            return {
                title.split()[0] for title in await session.scalars(sa.select(house.Note.title))
            }

    async def main() -> list[set[str]]:
        return await asyncio.gather(*(titles(name) for name in ("acme", "globex") * 50))

    assert asyncio.run(main()) == [{"mine"}, {CANARY}] * 50
    assert db.database.pool_status()["in_use"] == 0


@FURNISH
@pytest.mark.parametrize("told", ["globex", None])
def test_anothers_engine_takes_the_tenant_of_the_call(
    furnished: Callable[[DataFlow], House], db: DataFlow, url: str, told: str | None
):
    house = furnished(db)
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

    def insert(connection: sa.Connection) -> list[str]:
        teams = house.Team.__table__
        connection.execute(sa.insert(teams).values(name="core"))
        with Session(connection) as session:
            session.add(house.Team(name="orm"))
            session.flush()
        return list(connection.scalars(sa.select(teams.c.tenant_id).order_by(teams.c.id)))[-2:]

    async def main() -> list[str]:
        async with db.aio.session("acme") as session:
            session.add(house.Team(name="ours"))
            await session.flush()
        engine = create_async_engine(driver[url.split(":", maxsplit=1)[0]] + url[url.index(":") :])
        try:
            async with engine.connect() as connection:
                with db.tenant(told) if told else contextlib.nullcontext():
                    return await connection.run_sync(insert)
        finally:
            await engine.dispose()

    if told is None:
        with pytest.raises(SQLAlchemyError, match="tenant_id"):
            asyncio.run(main())
    else:
        assert asyncio.run(main()) == ["globex", "globex"]


def test_the_work_of_a_flush_grows_with_its_objects_alone(memory: DataFlow):
    house = furnish(memory)

    def flush_of(count: int) -> int:
        with memory.session("acme") as session:
            session.add_all([house.Note(title="x") for _ in range(count)])
            return calls_of(session.flush)

    flush_of(1)
    first = flush_of(50)

    assert flush_of(200) < 5 * first
    for number in range(50):
        memory.model(type(f"Other{number}", (), {"__annotations__": {"id": int}}))
    assert flush_of(50) < 1.1 * first


def test_a_streamed_result_keeps_the_tenant(db: DataFlow):
    house = furnish(db)

    async def main() -> list[str]:
        async with db.aio.session("acme") as session:
            found = await session.stream_scalars(
                sa.select(house.Note.title), execution_options={"yield_per": 1}
            )
            with db.tenant("globex"):
                return sorted([title async for title in found])

    assert asyncio.run(main()) == ["mine 1", "mine 2", "mine loose"]


def test_deleting_a_record_follows_soft_delete(db: DataFlow, in_session: InSession):
    house = furnish(db)

    def work(session: Session) -> list[str]:
        for note in session.scalars(sa.select(house.Note).where(house.Note.title == "mine 1")):
            session.delete(note)
        session.commit()
        return sorted(session.scalars(sa.select(house.Note.title)))

    assert in_session(db, work) == ["mine 2", "mine loose"]
    with db.tenant("acme"):
        kept = db.read("Note", filter={"title": "mine 1"}, include_deleted=True)
    assert kept is not None
    assert kept["deleted_at"] is not None
    with db.session("acme", include_deleted=True) as session:
        assert len(session.scalars(sa.select(house.Note)).all()) == 3


def test_a_record_that_someone_else_has_changed_is_stale(db: DataFlow, in_session: InSession):
    house = furnish(db)

    def work(session: Session) -> None:
        note = session.scalars(sa.select(house.Note).where(house.Note.title == "mine 1")).one()
        session.commit()
        with db.session("acme") as other:
            other.get(house.Note, note.id).title = "changed"
            other.commit()
        note.title = "lost"
        session.flush()

    with pytest.raises(StaleDataError):
        in_session(db, work)


def test_append_only_holds_for_records_and_statements(db: DataFlow, in_session: InSession):
    @db.model(append_only=True)
    class Entry:
        text: str

    works: dict[str, Work] = {
        "update": lambda session: session.execute(sa.update(Entry).values(text="x")),
        "delete": lambda session: session.execute(sa.delete(Entry)),
        "change": lambda session: setattr(session.scalars(sa.select(Entry)).one(), "text", "x"),
        "removal": lambda session: session.delete(session.scalars(sa.select(Entry)).one()),
    }
    db.create("Entry", text="kept")

    for work in works.values():

        def whole(session: Session, work: Work = work) -> None:
            work(session)
            session.commit()

        with pytest.raises(AppendOnlyError):
            in_session(db, whole)

    assert db.list("Entry", fields=["text"])["records"] == [{"text": "kept"}]


def test_a_session_inside_a_transaction_is_refused(db: DataFlow):
    furnish(db)

    with db.transaction(), pytest.raises(ParameterError, match="a transaction of its own"):
        db.session("acme")


def test_text_that_names_no_table_of_tenants_passes(db: DataFlow, in_session: InSession):
    house = furnish(db)

    @db.model
    class Country:
        name: str

    db.create("Country", name="Chile")

    def work(session: Session) -> tuple[Any, ...]:
        one = session.scalar(sa.text("SELECT 1"))
        country = session.scalar(sa.text('SELECT name FROM "countries"'))
        found = sa.select(house.Note.title).where(sa.text("notes.title = 'mine 1'"))
        return one, country, session.scalar(found)

    assert in_session(db, work) == (1, "Chile", "mine 1")


def test_a_cancelled_session_leaves_nothing_on_the_connection(db: DataFlow):
    house = furnish(db)

    async def write() -> None:
        async with db.aio.session("acme") as session:
            session.add(house.Page(slug="lost", body="x"))
            await session.flush()
            await asyncio.Event().wait()

    async def main() -> int:
        task = asyncio.create_task(write())
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with db.tenant("acme"):
            return await db.aio.count("Page", {"slug": "lost"})

    assert asyncio.run(main()) == 0
    assert db.database.pool_status()["in_use"] == 0


def test_no_statement_replaces_a_record_of_another_tenant_on_sqlite(memory: DataFlow):
    class Paper(BaseModel, TenantMixin):
        text: Mapped[str]

    memory.model(Paper)
    with memory.tenant("acme"):
        paper = memory.create("Paper", text="acme's")
    replace = sa.insert(Paper).prefix_with("OR REPLACE")
    with memory.session("globex") as session, pytest.raises(UnscopedStatementError):
        session.execute(replace, [{"id": paper["id"], "text": "x"}])
    with memory.all_tenants(), memory.session() as session:
        assert session.scalars(sa.select(Paper.text)).all() == ["acme's"]
