"""`DatabaseManager`, and sessions by the functions of a module."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from effort import calls_of

from dataflow import DataFlow
from dataflow.context import ALL_TENANTS, Setting, tenant
from dataflow.errors import (
    ConfigurationError,
    ParameterError,
    RecordValidationError,
    TenantRequiredError,
    UnknownModelError,
    UnscopedStatementError,
)
from dataflow.models.columns import utc_now
from dataflow.models.enums import WorkflowStatus
from dataflow.models.ready import BaseModel, BaseWorkflowModel
from dataflow.repositories import DatabaseManager, PerCallRepository, sessions


class House(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=BaseModel.metadata.naming_convention)


class ManagedFlow(BaseWorkflowModel, House):
    __abstract__ = False


class ManagedNote(House):
    text: sa.orm.Mapped[str]


class Elsewhere(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData()


class ManagedElsewhere(Elsewhere):
    pass


class Severity(enum.Enum):
    LOW = "low"


class Alarms(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData()


class ManagedAlarm(Alarms):
    status: sa.orm.Mapped[Severity | None]


flows = PerCallRepository(ManagedFlow)
Work = Callable[[DatabaseManager], Coroutine[Any, Any, None]]


def run(url: str, work: Work) -> None:
    async def inside() -> None:
        async with DatabaseManager(url, base=House) as manager:
            await work(manager)

    asyncio.run(inside())


async def fill(manager: DatabaseManager) -> None:
    for owner, count in (("acme", 3), ("globex", 2)):
        made = [ManagedFlow(name=f"{owner} {n}", tenant_id=owner) for n in range(count)]
        assert await manager.bulk_insert(made) == count


def test_a_manager_takes_the_models_of_its_base_alone(url: str):
    async def work(manager: DatabaseManager) -> None:
        await manager.create_tables()

        assert manager.register() == ["ManagedFlow", "ManagedNote"]
        engine = await manager.get_engine()
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda c: sa.inspect(c).get_table_names())
        assert set(found) >= {"managed_flows", "managed_notes"}
        assert "managed_elsewheres" not in found

    run(url, work)


def test_models_are_taken_once_and_later_ones_too(memory: DataFlow):
    class Growing(BaseModel):
        __abstract__ = True
        metadata = sa.MetaData()

    def grown(number: int) -> type:
        return type(f"Grown{number}", (Growing,), {"__module__": __name__})

    manager, kept = DatabaseManager(db=memory, base=Growing), [grown(0)]
    manager.register()
    alone = calls_of(manager.register)
    kept += [grown(number) for number in range(1, 5)]

    assert manager.register() == [model.__name__ for model in kept]
    assert calls_of(manager.register) < alone + 3 * len(kept)


def test_a_session_sees_one_tenant(url: str):
    async def work(manager: DatabaseManager) -> None:
        await fill(manager)

        async with manager.get_session("acme") as session:
            found = await flows.list(session)
            everything = (await session.scalars(sa.select(ManagedFlow))).all()
        async with manager.get_session("globex") as session:
            assert await flows.get_by_id(session, found[0].id) is None
            assert len(await flows.find_by_tenant(session, "globex")) == 2

        assert [flow.name for flow in found] == ["acme 0", "acme 1", "acme 2"]
        assert len(everything) == 3

    run(url, work)


def test_figures_count_models_and_connections(url: str):
    async def work(manager: DatabaseManager) -> None:
        await fill(manager)
        async with manager.get_session("acme") as session:
            flow = (await flows.list(session))[0]
            await flows.soft_delete(session, flow, "ada")
            await flows.update(session, (await flows.list(session))[0], {"status": "active"})
            await session.commit()

        acme = (await manager.get_stats("acme"))["models"]["ManagedFlow"]
        everyone = await manager.get_stats()
        with Setting(tenant, "globex"):
            globex = (await manager.get_stats())["models"]["ManagedFlow"]

        assert acme == {"total": 3, "deleted": 1, "by_status": {"draft": 2, "active": 1}}
        assert globex == {"total": 2, "deleted": 0, "by_status": {"draft": 2}}
        assert everyone["models"]["ManagedFlow"]["total"] == 5
        assert everyone["models"]["ManagedNote"] == {"total": 0, "deleted": 0}
        assert "pool" in everyone

    run(url, work)


def test_a_bulk_insert_is_one_transaction_of_one_tenant(url: str):
    async def work(manager: DatabaseManager) -> None:
        good, bad = ManagedFlow(name="x"), ManagedFlow(name=None)
        with pytest.raises(RecordValidationError, match="a value is required"):
            await manager.bulk_insert([good, bad], "acme")
        with pytest.raises(UnscopedStatementError):
            await manager.bulk_insert([ManagedFlow(name="x", tenant_id="globex")], "acme")

        assert (
            await manager.bulk_insert([ManagedFlow(name="y"), ManagedNote(text="z")], "acme") == 2
        )
        assert await manager.bulk_insert([]) == 0
        with manager.db.tenant("globex"), pytest.raises(UnscopedStatementError):
            await manager.bulk_insert([ManagedFlow(name="forged", tenant_id="acme")])
        with pytest.raises(ParameterError, match="names no tenant"):
            _ = [item async for item in manager.export_for_compliance("")]

        models = (await manager.get_stats())["models"]
        assert (models["ManagedFlow"]["total"], models["ManagedNote"]["total"]) == (1, 1)

    run(url, work)


@pytest.mark.parametrize("wrong", [None, 5, "x", {"text": "a"}, [{"text": "a"}], [ManagedNote]])
def test_a_bulk_insert_takes_objects_of_models_alone(memory: DataFlow, wrong: Any):
    manager = DatabaseManager(db=memory, base=House)

    with pytest.raises(ParameterError, match=r"bulk_insert takes .*objects of models") as refused:
        asyncio.run(manager.bulk_insert(wrong))

    assert refused.value.advice() == (
        "give objects, such as [Model(name='x')]; records as dicts go to db.bulk_create"
    )


def test_a_bulk_insert_takes_a_generator_and_each_object_once(url: str):
    async def work(manager: DatabaseManager) -> None:
        assert await manager.bulk_insert(ManagedNote(text=str(n)) for n in range(3)) == 3
        note = ManagedNote(text="twice")
        assert await manager.bulk_insert([note, note]) == 1

        assert (await manager.get_stats())["models"]["ManagedNote"]["total"] == 4

    run(url, work)


def test_a_bulk_insert_of_several_tenants_says_so(url: str):
    async def work(manager: DatabaseManager) -> None:
        made = [ManagedFlow(name="n", tenant_id=owner) for owner in ("globex", "acme")]
        with pytest.raises(ParameterError) as refused:
            await manager.bulk_insert(made)

        assert refused.value.problem_text() == (
            "bulk_insert is for one tenant, and the objects are of 'acme', 'globex'."
        )
        assert (await manager.get_stats())["models"]["ManagedFlow"]["total"] == 0

    run(url, work)


async def names_of(records: AsyncIterator[dict[str, Any]]) -> list[str]:
    return [f"{item['model']} {item['record'].get('name')}" async for item in records]


def test_an_export_has_everything_of_a_tenant_and_nothing_of_others(url: str):
    async def work(manager: DatabaseManager) -> None:
        await fill(manager)
        async with manager.get_session("acme") as session:
            await flows.soft_delete(session, (await flows.list(session))[0])
            await session.commit()

        found = await names_of(manager.export_for_compliance("acme"))
        with Setting(tenant, "globex"):
            theirs = await names_of(manager.export_for_compliance(models=[ManagedFlow]))

        assert sorted(found) == [f"ManagedFlow acme {n}" for n in range(3)]
        assert sorted(theirs) == ["ManagedFlow globex 0", "ManagedFlow globex 1"]
        for owner in (None, ALL_TENANTS):
            with pytest.raises(TenantRequiredError):
                await names_of(manager.export_for_compliance(owner))

    run(url, work)


def test_an_export_of_what_is_no_model_is_refused_before_the_first_record(url: str):
    async def work(manager: DatabaseManager) -> None:
        await fill(manager)
        for wrong in ([ManagedFlow, int], ["ManagedFlow", "ManagedFlw"]):
            with pytest.raises(UnknownModelError) as unknown:
                await anext(manager.export_for_compliance("acme", wrong))
            assert "ManagedFlow" in (unknown.value.advice() or "")
        for single in (ManagedFlow, "ManagedFlow", 5):
            with pytest.raises(ParameterError, match="models must be a list of models, not") as no:
                await anext(manager.export_for_compliance("acme", single))
            assert no.value.advice() == "write [Model], or leave it out for all"

    run(url, work)


def test_a_cleanup_removes_what_was_deleted_long_ago(url: str):
    async def work(manager: DatabaseManager) -> None:
        await fill(manager)
        async with manager.get_session("acme") as session:
            first, second, _ = await flows.list(session)
            first.deleted_at = utc_now() - dt.timedelta(days=31)
            second.deleted_at = utc_now() - dt.timedelta(days=29)
            await session.commit()

        assert await manager.cleanup_old_data() == {"ManagedFlow": 0}
        assert await manager.cleanup_old_data(days=30) == {"ManagedFlow": 1}
        assert await manager.cleanup_old_data(days=0) == {"ManagedFlow": 1}
        assert (await manager.get_stats())["models"]["ManagedFlow"]["total"] == 3
        with pytest.raises(ParameterError, match="days"):
            await manager.cleanup_old_data(days=-1)

    run(url, work)


def test_a_manager_takes_a_dataflow_or_settings(memory: DataFlow):
    assert DatabaseManager(db=memory).db is memory
    assert DatabaseManager("sqlite:///x.db", pool_size=7).db.config.pool_size == 7
    with pytest.raises(ParameterError, match="not both"):
        DatabaseManager("sqlite:///x.db", db=memory)
    with pytest.raises(ParameterError, match="db must be a DataFlow, not 5"):
        DatabaseManager(db=5)  # type: ignore[arg-type]  # refused


@pytest.mark.parametrize("days", ["x", float("nan"), float("inf"), 10**9, 10**6, True, None])
def test_days_that_no_calendar_has_are_refused(memory: DataFlow, days: Any):
    with pytest.raises(ParameterError, match="days must be from 0 to the first of all dates"):
        asyncio.run(DatabaseManager(db=memory).cleanup_old_data(days))


def test_a_plain_url_of_sqlalchemy_is_taken():
    manager = DatabaseManager("postgresql+asyncpg://u:p@localhost/x")

    assert manager.db.config.database_url.startswith("postgresql")


@pytest.mark.parametrize("other", ["sqlite:///other.db", None])
def test_the_empty_text_is_no_url_of_a_manager(monkeypatch: pytest.MonkeyPatch, other: str | None):
    if other is not None:
        monkeypatch.setenv("DATABASE_URL", other)

    with pytest.raises(ConfigurationError, match="the database URL cannot be read"):
        DatabaseManager("")


# ------------------------------------------------------------- module functions


@pytest.fixture
def _forgotten() -> Iterator[None]:
    yield
    asyncio.run(sessions.close_db())


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATAFLOW_DATABASE_URL"])
@pytest.mark.usefixtures("_forgotten")
def test_the_functions_refuse_an_empty_variable(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "")

    with pytest.raises(ConfigurationError, match="the database URL cannot be read"):
        sessions.get_session()


@pytest.mark.usefixtures("_forgotten")
def test_the_functions_take_the_variable_that_is_not_empty(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATAFLOW_DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///app.db")

    assert sessions.get_database().db.config.database_url == "sqlite:///app.db"


@pytest.mark.usefixtures("_forgotten")
def test_the_functions_share_the_database_of_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DATABASE_URL", url)

    async def work() -> None:
        sessions.use_database(DatabaseManager(url, base=House))
        await sessions.create_tables()
        assert await sessions.check_db_connection() is True
        async with sessions.get_session("acme") as session:
            session.add(ManagedFlow(name="x"))
            await session.commit()
        async with sessions.async_session_factory("acme") as session:
            assert await flows.count(session) == 1
        async with sessions.get_session("globex") as session:
            assert await flows.count(session) == 0
        assert (await sessions.get_engine()).url is not None
        await sessions.dispose_engine()

        assert sessions.get_database().db.config.database_url == url

    asyncio.run(work())


@pytest.mark.usefixtures("_forgotten")
def test_get_db_yields_one_session_and_closes_it(memory: DataFlow):
    sessions.use_database(memory)

    async def work() -> None:
        with Setting(tenant, "acme"):
            dependency = sessions.get_db()
            session = await anext(dependency)
            assert (await session.execute(sa.select(sa.literal(1)))).scalar_one() == 1
            with pytest.raises(StopAsyncIteration):
                await anext(dependency)
        assert not session.in_transaction()

    asyncio.run(work())


@pytest.mark.usefixtures("_forgotten")
def test_use_database_takes_a_manager_or_a_dataflow(memory: DataFlow):
    manager = DatabaseManager(db=memory)

    assert sessions.shared_database() is None
    assert sessions.use_database(manager) is manager
    assert sessions.get_database() is manager
    assert sessions.use_database(memory).db is memory
    assert sessions.shared_database() is memory


@pytest.mark.parametrize("wrong", [5, None, "sqlite:///x.db", DataFlow])
@pytest.mark.usefixtures("_forgotten")
def test_use_database_takes_nothing_else(wrong: Any):
    with pytest.raises(ParameterError) as caught:
        sessions.use_database(wrong)

    assert caught.value.problem_text() == (
        f"use_database takes a DatabaseManager or a DataFlow, not {wrong!r}."
    )
    assert caught.value.advice() == "for a URL, write use_database(DatabaseManager(url))"
    assert sessions.shared_database() is None


@pytest.mark.usefixtures("_forgotten")
def test_a_connection_that_fails_is_no_connection(tmp_path: Any):
    sessions.use_database(DataFlow(f"sqlite:///{tmp_path}/no/such/folder/x.db"))

    assert asyncio.run(sessions.check_db_connection()) is False


def test_statuses_are_counted_by_their_values(url: str):
    async def work(manager: DatabaseManager) -> None:
        made = [ManagedFlow(name="n", status=status) for status in WorkflowStatus]
        await manager.bulk_insert(made, "acme")

        figures = (await manager.get_stats("acme"))["models"]["ManagedFlow"]["by_status"]

        assert figures == {status.value: 1 for status in WorkflowStatus}

    run(url, work)


def test_a_status_is_named_by_its_value_and_none_by_none(url: str):
    async def work(manager: DatabaseManager) -> None:
        alarms = [ManagedAlarm(status=status) for status in (Severity.LOW, Severity.LOW, None)]
        await manager.bulk_insert(alarms)

        figures = (await manager.get_stats())["models"]["ManagedAlarm"]["by_status"]

        assert figures == {"low": 2, None: 1}

    async def inside() -> None:
        async with DatabaseManager(url, base=Alarms) as manager:
            await work(manager)

    asyncio.run(inside())


def test_an_export_of_nobody_says_how_to_name_a_tenant(memory: DataFlow):
    manager = DatabaseManager(db=memory, base=House)

    for owner, named in ((None, "none was"), (ALL_TENANTS, "all were")):
        with pytest.raises(TenantRequiredError) as refused:
            asyncio.run(names_of(manager.export_for_compliance(owner)))

        assert refused.value.problem_text() == (
            f"export_for_compliance is for the records of one tenant, and {named} named."
        )
        assert refused.value.advice() == (
            "give it tenant_id, or call it inside `with db.tenant('…'):`"
        )
