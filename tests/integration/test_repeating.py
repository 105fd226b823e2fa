"""Calls that fail in passing are made again where that can do no harm."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import (
    CannotConnectError,
    ConnectionLostError,
    DatabaseBusyError,
    DeadlockError,
    ParameterError,
    SerializationFailureError,
    TransactionAbortedError,
    UniqueViolationError,
)

Call = Callable[..., Awaitable[Any]]


class Breaking:
    """Lets driver calls fail: each entry says whether the statement is carried out first."""

    def __init__(self, db: DataFlow, *failures: tuple[bool, Exception]) -> None:
        self.calls = 0
        self._failures = list(failures)
        self._fetch = db.database.driver.fetch
        db.database.driver.fetch = self.fetch  # type: ignore[method-assign]

    async def fetch(self, connection: Any, sql: str, args: Any) -> Any:
        self.calls += 1
        if not self._failures:
            return await self._fetch(connection, sql, args)
        carried_out, error = self._failures.pop(0)
        if carried_out:
            await self._fetch(connection, sql, args)
        raise error


def lost(*, applied: bool) -> tuple[bool, Exception]:
    return applied, ConnectionLostError(detail="reset")


@pytest.fixture
def shop(url: str):
    database = DataFlow(url, retry_attempts=3, retry_delay_s=0.0)

    @database.model
    class Item:
        id: str = Field(primary_key=True)
        name: str = Field(default="", unique=False)

    @database.model
    class Entry:
        id: int
        name: str

    @database.model(versioned=True)
    class Page:
        id: str = Field(primary_key=True)
        text: str = ""

    @database.model(timestamps=False)
    class Lock:
        id: str = Field(primary_key=True)

    @database.model(soft_delete=True)
    class Letter:
        id: str = Field(primary_key=True)

    database.create_tables()
    yield database
    database.close()


BOTH = pytest.mark.parametrize("applied", [True, False], ids=["applied", "not_applied"])


class TestOutsideOfTransactions:
    @pytest.mark.parametrize("error", [ConnectionLostError(detail="reset")])
    def test_a_read_is_repeated(self, shop: DataFlow, error: Exception):
        shop.create("Item", id="a")
        breaking = Breaking(shop, (True, error), (False, error))

        assert shop.read("Item", "a")["id"] == "a"
        assert breaking.calls == 3

    def test_tries_end(self, shop: DataFlow):
        breaking = Breaking(shop, *(lost(applied=False) for _ in range(9)))

        with pytest.raises(ConnectionLostError) as found:
            shop.read("Item", "a")

        assert (breaking.calls, found.value.outcome) == (3, None)

    @BOTH
    def test_a_create_without_a_key_is_left_to_the_caller(self, shop: DataFlow, applied: bool):
        breaking = Breaking(shop, lost(applied=applied))

        with pytest.raises(ConnectionLostError) as found:
            shop.create("Entry", name="a")

        assert (breaking.calls, found.value.outcome) == (1, "unknown")
        assert shop.count("Entry") == int(applied)

    def test_a_write_that_was_not_sent_is_repeated(self, shop: DataFlow):
        error = ConnectionLostError(detail="closed", outcome="not_applied")
        Breaking(shop, (False, error))

        shop.create("Entry", name="a")

        assert shop.count("Entry") == 1

    @BOTH
    def test_a_create_by_key_is_carried_out_once(self, shop: DataFlow, applied: bool):
        Breaking(shop, lost(applied=applied))

        record = shop.create("Item", id="a", name="x")

        assert (record, shop.count("Item")) == (shop.read("Item", "a"), 1)

    def test_a_create_by_key_is_not_taken_for_somebody_elses(self, shop: DataFlow):
        shop.create("Item", id="a", name="x")
        shop.create("Lock", id="a")
        Breaking(shop, lost(applied=False))

        with pytest.raises(ConnectionLostError) as item:
            shop.create("Item", id="a", name="x")
        Breaking(shop, lost(applied=False))
        with pytest.raises(ConnectionLostError) as lock:
            shop.create("Lock", id="a")

        assert (item.value.outcome, lock.value.outcome) == ("unknown", "unknown")

    @BOTH
    def test_an_update_by_key_is_repeated(self, shop: DataFlow, applied: bool):
        shop.create("Item", id="a")
        Breaking(shop, lost(applied=applied))

        assert shop.update("Item", "a", {"name": "x"})["name"] == "x"

    @BOTH
    def test_an_update_by_filter_is_left_to_the_caller(self, shop: DataFlow, applied: bool):
        shop.create("Item", id="a", name="x")
        Breaking(shop, lost(applied=applied))

        with pytest.raises(ConnectionLostError):
            shop.update("Item", {"name": "x"}, {"name": "y"})

    @BOTH
    def test_a_versioned_update_counts_once(self, shop: DataFlow, applied: bool):
        shop.create("Page", id="a")
        Breaking(shop, lost(applied=applied))

        record = shop.update("Page", "a", {"text": "x"}, expect_version=1)

        assert (record["version"], record["text"]) == (2, "x")

    def test_a_versioned_update_without_a_version_is_left_to_the_caller(self, shop: DataFlow):
        shop.create("Page", id="a")
        Breaking(shop, lost(applied=True))

        with pytest.raises(ConnectionLostError):
            shop.update("Page", "a", {"text": "x"})

        assert shop.read("Page", "a")["version"] == 2

    @BOTH
    @pytest.mark.parametrize("model", ["Item", "Letter"])
    def test_a_delete_by_key_is_repeated(self, shop: DataFlow, model: str, applied: bool):
        shop.create(model, id="a")
        Breaking(shop, lost(applied=applied))

        assert shop.delete(model, "a") is True
        assert shop.read(model, "a") is None

    def test_what_a_repeated_write_meets_leaves_the_outcome_open(self, shop: DataFlow):
        Breaking(shop, lost(applied=True), (False, UniqueViolationError(table="t", fields="f")))

        with pytest.raises(ConnectionLostError) as found:
            shop.update("Page", "a", {"text": "x"})

        assert found.value.outcome == "unknown"

    def test_no_retries_where_none_are_wanted(self, url: str):
        with DataFlow(url, retry_attempts=1) as db:
            breaking = Breaking(db, lost(applied=False))

            with pytest.raises(ConnectionLostError):
                asyncio.run(db.database.fetch("SELECT 1", ()))

        assert breaking.calls == 1


@pytest.fixture
def postgres(postgres_databases: Any):
    with DataFlow(postgres_databases.create(), retry_attempts=4, retry_delay_s=0.0) as database:

        @database.model
        class Item:
            id: int
            value: int = 0

        database.create("Item", value=1)
        yield database


class TestOnPostgres:
    @pytest.mark.parametrize("error", [DatabaseBusyError, DeadlockError, SerializationFailureError])
    def test_what_was_certainly_not_applied_is_repeated(self, postgres: DataFlow, error: Any):
        Breaking(postgres, (False, error(detail="x")))

        postgres.create("Item", value=2)

        assert postgres.count("Item") == 2

    def test_an_altered_table_does_not_fail_a_transaction(self, postgres: DataFlow):
        async def alter(kind: str) -> None:
            sql = f"ALTER TABLE items ALTER COLUMN value TYPE {kind}"
            await postgres.database.execute(sql, ())

        async def read() -> int:
            async with postgres.transaction():
                first = await postgres.aio.read("Item", 1)
                async with postgres.transaction(savepoint=True):
                    second = await postgres.aio.read("Item", 1)
            return first["value"] + second["value"]

        async def main() -> list[int]:
            found = []
            for kind in ("smallint", "bigint", "integer"):
                await asyncio.gather(*(read() for _ in range(5)))
                await alter(kind)
                found += [await read(), *await asyncio.gather(*(read() for _ in range(5)))]
            return found

        assert asyncio.run(main()) == [2] * 18

    def test_a_later_statement_on_an_altered_table_can_be_run_again(self, postgres: DataFlow):
        tries = []

        async def work() -> int:
            tries.append(1)
            await postgres.database.fetch("SELECT 1", ())
            return (await postgres.aio.read("Item", 1))["value"]

        async def main() -> int:
            await postgres.aio.run_transaction(work)
            await postgres.database.execute("ALTER TABLE items ALTER value TYPE smallint", ())
            return await postgres.aio.run_transaction(work)

        assert (asyncio.run(main()), len(tries)) == (1, 3)

    def test_a_transaction_begins_on_another_connection(self, postgres: DataFlow):
        begin, failures = postgres.database.driver.begin, [ConnectionLostError(detail="reset")]

        async def breaking(*args: Any, **options: Any) -> None:
            if failures:
                raise failures.pop()
            await begin(*args, **options)

        postgres.database.driver.begin = breaking  # type: ignore[method-assign]
        with postgres.transaction():
            assert postgres.count("Item") == 1

    def test_a_statement_in_a_lost_transaction_was_not_applied(self, postgres: DataFlow):
        Breaking(postgres, lost(applied=True))

        with pytest.raises(ConnectionLostError) as found, postgres.transaction():
            postgres.create("Item", value=2)

        assert found.value.outcome == "not_applied"
        assert postgres.count("Item") == 1


class TestRunTransaction:
    def test_it_runs_again_as_a_whole(self, shop: DataFlow):
        tries = []

        def work(name: str) -> int:
            tries.append(name)
            shop.create("Entry", name=name)
            if len(tries) < 3:
                raise ConnectionLostError(detail="reset", outcome="not_applied")
            return shop.count("Entry")

        assert shop.run_transaction(work, "a") == 1
        assert (len(tries), shop.count("Entry")) == (3, 1)

    def test_coroutines_too(self, shop: DataFlow):
        tries = []

        async def work() -> int:
            tries.append(1)
            await shop.aio.create("Entry", name="a")
            if len(tries) < 3:
                raise ConnectionLostError(detail="reset", outcome="not_applied")
            return await shop.aio.count("Entry")

        assert asyncio.run(shop.aio.run_transaction(work)) == 1
        assert len(tries) == 3

    @pytest.mark.parametrize("work", [5, None, "create"])
    def test_what_is_no_function_is_refused(self, shop: DataFlow, work: Any):
        with pytest.raises(ParameterError, match="calls a function"):
            shop.run_transaction(work)
        with pytest.raises(ParameterError, match="awaits a coroutine function"):
            asyncio.run(shop.aio.run_transaction(work))

    def test_what_cannot_be_awaited_is_undone_and_refused(self, shop: DataFlow):
        def work() -> int:
            return 5

        with pytest.raises(ParameterError, match="awaits a coroutine function"):
            asyncio.run(shop.aio.run_transaction(work))  # type: ignore[arg-type]  # what is refused

    def test_a_failure_that_was_caught_inside_counts(self, shop: DataFlow):
        Breaking(shop, (False, ConnectionLostError(detail="reset")))
        tries = []

        def work() -> None:
            tries.append(1)
            with contextlib.suppress(ConnectionLostError):
                shop.create("Entry", name="a")

        shop.run_transaction(work)

        assert (len(tries), shop.count("Entry")) == (2, 1)

    def test_other_errors_leave_at_once(self, shop: DataFlow):
        tries = []

        def work() -> None:
            tries.append(1)
            raise RuntimeError("mine")

        with pytest.raises(RuntimeError, match="mine"):
            shop.run_transaction(work)

        assert len(tries) == 1

    def test_inside_a_transaction_it_is_a_part_of_that(self, shop: DataFlow):
        tries = []

        def work() -> None:
            tries.append(1)
            raise ConnectionLostError(detail="reset", outcome="not_applied")

        with pytest.raises(ConnectionLostError), shop.transaction():
            shop.run_transaction(work)

        assert len(tries) == 1

    def test_a_caught_refusal_names_its_cause(self, shop: DataFlow):
        shop.create("Item", id="a")

        def work() -> None:
            with contextlib.suppress(UniqueViolationError):
                shop.create("Item", id="a")

        with pytest.raises(TransactionAbortedError):
            shop.run_transaction(work)

    def test_the_sync_face_takes_no_coroutine_function(self, shop: DataFlow):
        async def work() -> None: ...

        with pytest.raises(ParameterError, match="coroutine function"):
            shop.run_transaction(work)

    def test_a_pause_that_does_not_fit_before_the_deadline_is_not_begun(self, url: str):
        with DataFlow(url, retry_delay_s=1e6, retry_max_delay_s=1e6) as db:
            Breaking(db, lost(applied=False))
            begun = time.monotonic()

            async def main() -> None:
                async with db.deadline(100.0):
                    await db.database.fetch("SELECT 1", ())

            with pytest.raises(ConnectionLostError):
                asyncio.run(main())

        assert time.monotonic() - begun < 100


def test_a_server_that_never_answers_is_waited_for_once():
    waiting: list[int] = []

    async def main() -> CannotConnectError:
        done = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            waiting.append(1)
            await done.wait()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://nobody@127.0.0.1:{port}/nothing"
        async with DataFlow(url, connect_timeout_s=0.05, retry_delay_s=0.0) as db:
            with pytest.raises(CannotConnectError) as found:
                await db.database.fetch("SELECT 1", ())
        done.set()
        server.close()
        return found.value

    error = asyncio.run(main())

    assert "no answer within 0.05 s." in str(error)
    assert len(waiting) == 1
