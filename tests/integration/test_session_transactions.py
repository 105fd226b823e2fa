"""Blocks around sessions, and work that runs again, for threads and coroutines."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from dataflow import DataFlow, Field
from dataflow.errors import ConfigurationError, DeadlockError, ParameterError
from dataflow.repositories import DatabaseTransaction, TransactionManager


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine that knows nothing of DataFlow."""
    made = sa.create_engine(
        f"sqlite:///{tmp_path}/plain.db", connect_args={"isolation_level": None}
    )
    # As SQLAlchemy's manual has it: sqlite3 itself begins too late for savepoints.
    sa.event.listen(made, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as open_session:
        yield open_session


def stored(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return "".join(connection.scalars(sa.select(Note.text).order_by(Note.text)))


def test_a_block_commits_at_its_end(engine: sa.Engine, session: Session):
    with DatabaseTransaction.sync_transaction(session) as same:
        same.add(Note(text="a"))

    assert (stored(engine), same is session, session.in_transaction()) == ("a", True, False)


def test_an_error_rolls_back_and_leaves(engine: sa.Engine, session: Session):
    with pytest.raises(RuntimeError), DatabaseTransaction.sync_transaction(session):
        session.add(Note(text="a"))
        session.flush()
        raise RuntimeError

    assert (stored(engine), session.in_transaction()) == ("", False)


def test_what_a_statement_has_begun_is_taken_over(engine: sa.Engine, session: Session):
    session.scalars(sa.select(Note)).all()
    with DatabaseTransaction.sync_transaction(session):
        session.add(Note(text="a"))

    assert stored(engine) == "a"


def test_a_block_in_a_block_fails_alone(engine: sa.Engine, session: Session):
    with DatabaseTransaction.sync_transaction(session):
        session.add(Note(text="a"))
        with pytest.raises(RuntimeError), DatabaseTransaction.sync_transaction(session):
            session.add(Note(text="b"))
            session.flush()
            raise RuntimeError
        with DatabaseTransaction.sync_transaction(session):
            session.add(Note(text="c"))
        assert stored(engine) == ""

    assert stored(engine) == "ac"


def test_a_block_in_the_callers_transaction_commits_nothing(engine: sa.Engine, session: Session):
    outer = session.begin()
    with DatabaseTransaction.sync_transaction(session):
        session.add(Note(text="a"))
    assert session.in_transaction()
    outer.rollback()

    assert stored(engine) == ""


def test_read_only_refuses_writes_until_the_end_of_the_block(engine: sa.Engine, session: Session):
    with (
        pytest.raises(OperationalError, match="readonly"),
        DatabaseTransaction.sync_transaction(session, read_only=True),
    ):
        session.add(Note(text="a"))
        session.flush()
    with DatabaseTransaction.sync_transaction(session):
        session.add(Note(text="b"))

    assert stored(engine) == "b"


def test_options_of_a_transaction_come_too_late_inside_one(session: Session):
    with (
        DatabaseTransaction.sync_transaction(session),
        pytest.raises(ParameterError, match="belong to a whole transaction"),
        DatabaseTransaction.sync_transaction(session, isolation="serializable"),
    ):
        pass
    session.execute(sa.text("SELECT 1"))
    with (
        pytest.raises(ParameterError, match="before the session's first statement"),
        DatabaseTransaction.sync_transaction(session, read_only=True),
    ):
        pass


def test_unknown_levels_are_refused(session: Session):
    with (
        pytest.raises(ParameterError, match="did you mean 'serializable'"),
        DatabaseTransaction.sync_transaction(session, isolation="serialisable"),  # type: ignore[arg-type]  # wrong on purpose
    ):
        pass


class TestExecuteWithRetry:
    manager = TransactionManager(max_retries=2, retry_delay=0.0)

    def test_it_runs_the_whole_again(self, engine: sa.Engine, session: Session):
        tries: list[int] = []

        def work(given: Session) -> str:
            tries.append(1)
            given.add(Note(text="a"))
            given.flush()
            if len(tries) < 3:
                raise DeadlockError(detail="x")
            return "done"

        assert self.manager.execute_with_retry(work, session) == "done"
        assert (len(tries), stored(engine)) == (3, "a")

    def test_the_last_error_leaves(self, session: Session):
        tries: list[int] = []

        def work(given: Session) -> None:
            tries.append(1)
            raise DeadlockError(detail="x")

        with pytest.raises(DeadlockError):
            self.manager.execute_with_retry(work, session)
        assert len(tries) == 3

    def test_inside_a_transaction_it_runs_once(self, session: Session):
        tries: list[int] = []

        def work(given: Session) -> None:
            tries.append(1)
            raise DeadlockError(detail="x")

        with session.begin(), pytest.raises(DeadlockError):
            self.manager.execute_with_retry(work, session)
        assert len(tries) == 1

    @pytest.mark.parametrize("flushed", [True, False])
    def test_what_the_session_did_before_is_never_lost_to_a_second_try(
        self, engine: sa.Engine, session: Session, flushed: bool
    ):
        tries: list[int] = []

        def work(given: Session) -> None:
            tries.append(1)
            given.add(Note(text="b"))
            if len(tries) == 1:
                raise DeadlockError(detail="x")

        session.add(Note(text="a"))
        if flushed:
            session.flush()
        with pytest.raises(DeadlockError):
            self.manager.execute_with_retry(work, session)
        assert (len(tries), stored(engine)) == (1, "")

        self.manager.execute_with_retry(work, session)
        assert stored(engine) == "b"

    def test_it_makes_a_session(self, engine: sa.Engine):
        manager = TransactionManager(sessions=sessionmaker(engine))

        manager.execute_with_retry(lambda given: given.add(Note(text="a")))

        assert stored(engine) == "a"

    def test_without_a_session_it_says_so(self):
        with pytest.raises(ParameterError, match="needs a session"):
            self.manager.execute_with_retry(lambda given: None)

    def test_a_coroutine_function_needs_an_async_session(self, session: Session):
        async def work(given: Any) -> None: ...

        with pytest.raises(ParameterError, match="AsyncSession"):
            self.manager.execute_with_retry(work, session)

    def test_a_plain_function_needs_a_plain_session(self, db: DataFlow):
        @db.model
        class Jotting:
            text: str

        async def attempt() -> None:
            async with db.aio.session() as session:
                await TransactionManager().execute_with_retry(
                    lambda given: given.add(Jotting(text="a")), session
                )

        with pytest.raises(ParameterError) as refused:
            asyncio.run(attempt())

        assert refused.value.problem_text() == (
            "a plain function needs a Session; with an AsyncSession write `async def`."
        )
        assert db.count("Jotting") == 0

    def test_a_commit_whose_reply_was_lost_is_not_run_again(
        self, engine: sa.Engine, session: Session, monkeypatch: pytest.MonkeyPatch
    ):
        from dataflow.errors import ConnectionLostError

        tries: list[int] = []

        def lose() -> None:
            raise DBAPIError("COMMIT", {}, Exception("reset"), connection_invalidated=True)

        def work(given: Session) -> None:
            tries.append(1)
            monkeypatch.setattr(given, "commit", lose)

        with pytest.raises(ConnectionLostError) as found:
            self.manager.execute_with_retry(work, session)

        assert (len(tries), found.value.outcome) == (1, "unknown")


class TestAsync:
    def test_blocks_and_work(self, tmp_path: Path):
        async def main() -> list[str]:
            engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/plain.db")
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            manager, tries = TransactionManager(retry_delay=0.0), []

            async def work(given: AsyncSession) -> None:
                tries.append(1)
                given.add(Note(text="c"))
                await given.flush()
                if len(tries) < 2:
                    raise DeadlockError(detail="x")

            async with AsyncSession(engine) as session:
                async with manager.async_transaction(session) as same:
                    same.add(Note(text="a"))
                    with pytest.raises(RuntimeError):
                        async with manager.async_transaction(session):
                            session.add(Note(text="b"))
                            raise RuntimeError
                await manager.execute_with_retry(work, session)
                found = await session.scalars(sa.select(Note.text).order_by(Note.text))
                texts = list(found)
            await engine.dispose()
            return texts

        assert asyncio.run(main()) == ["a", "c"]

    def test_the_sessions_of_a_dataflow(self, db: DataFlow):
        @db.model
        class Item:
            id: int
            name: str

        async def main() -> tuple[int, str]:
            async with db.aio.session() as session:
                async with DatabaseTransaction.async_transaction(session, isolation="serializable"):
                    session.add(Item(name="a"))
                level = "serializable"
                if db.database.driver.name == "postgresql":
                    async with DatabaseTransaction.async_transaction(
                        session, isolation="repeatable_read", read_only=True
                    ):
                        shown = await session.connection()
                        rows = await shown.exec_driver_sql("SHOW transaction_isolation")
                        level = str(rows.scalar_one())
            return await db.aio.count("Item"), level

        count, level = asyncio.run(main())

        assert (count, level in ("serializable", "repeatable read")) == (1, True)


@pytest.mark.parametrize("session", [5, None, AsyncSession()], ids=["number", "none", "async"])
def test_what_is_no_session_for_threads_is_refused(session: Any):
    with (
        pytest.raises(ParameterError, match="sync_transaction takes a Session, not"),
        DatabaseTransaction.sync_transaction(session),
    ):
        pass


def test_what_is_no_session_for_coroutines_is_refused(session: Session):
    async def use(given: Any) -> None:
        async with DatabaseTransaction.async_transaction(given):
            pass

    for given in (5, session):
        with pytest.raises(ParameterError, match="async_transaction takes an AsyncSession, not"):
            asyncio.run(use(given))


def test_what_cannot_be_called_with_a_session_is_refused(session: Session):
    manager: Any = TransactionManager()

    with pytest.raises(ParameterError, match="calls a function with the session, not None"):
        manager.execute_with_retry(None, session)
    with pytest.raises(ParameterError, match="execute_with_retry takes a Session, not 5"):
        manager.execute_with_retry(lambda same: same, 5)


@pytest.mark.parametrize("retries", ["x", 1.5, True, -1, None])
def test_tries_that_are_no_number_are_refused(retries: Any):
    with pytest.raises(ConfigurationError) as caught:
        TransactionManager(max_retries=retries)

    assert caught.value.problem_text() == (
        f"max_retries must be a whole number from 0, not {retries!r}."
    )


def test_what_makes_no_sessions_is_refused():
    with pytest.raises(ConfigurationError, match="a function that makes a session, not 5"):
        TransactionManager(sessions=5)  # type: ignore[arg-type]  # refused


def test_the_block_of_a_session_is_entered_once_at_a_time(db: DataFlow):
    async def case() -> None:
        block = db.aio.session()
        for _ in range(2):
            async with block as session:
                await session.execute(sa.text("SELECT 1"))
                with pytest.raises(ParameterError, match="is open already"):
                    await block.__aenter__()
        health = await db.aio.health()
        assert health.pool["in_use"] == 0
        await db.aclose()

    asyncio.run(case())


def test_a_database_error_in_a_nested_block_leaves_the_outer_one_whole(
    engine: sa.Engine, session: Session
):
    def clash(given: Session) -> None:
        given.add_all([Note(id=7, text="x"), Note(id=7, text="y")])
        given.flush()

    with DatabaseTransaction.sync_transaction(session):
        session.add(Note(id=1, text="a"))
        with pytest.raises(IntegrityError), DatabaseTransaction.sync_transaction(session):
            clash(session)
        with pytest.raises(IntegrityError):
            TransactionManager().execute_with_retry(clash, session)
        session.add(Note(id=2, text="b"))

    assert stored(engine) == "ab"


def test_a_database_error_in_a_nested_async_block_leaves_the_outer_one_whole(url: str):
    async def main() -> list[str]:
        async with DataFlow(url) as db:

            @db.model
            class Word:
                text: str = Field(unique=True)

            async with (
                db.aio.session() as session,
                DatabaseTransaction.async_transaction(session),
            ):
                session.add(Word(text="a"))
                with pytest.raises(IntegrityError):
                    async with DatabaseTransaction.async_transaction(session):
                        session.add_all([Word(text="b"), Word(text="b")])
                        await session.flush()
                session.add(Word(text="c"))
            found = await db.aio.list("Word", sort="text")
            return [word["text"] for word in found["records"]]

    assert asyncio.run(main()) == ["a", "c"]


def test_an_option_that_no_transaction_has_is_refused(session: Session):
    with (
        pytest.raises(ParameterError, match="did you mean 'isolation'"),
        DatabaseTransaction.sync_transaction(session, isolaton="serializable"),  # type: ignore[call-arg]  # wrong on purpose
    ):
        pass
