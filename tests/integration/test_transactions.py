"""Transactions: one commit for all that runs inside, on both faces."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder
from dataflow.errors import (
    ConfigurationError,
    DatabaseError,
    LoopError,
    ParameterError,
    RecordValidationError,
    TransactionAbortedError,
    UniqueViolationError,
    WorkflowFailedError,
)


def declare(db: DataFlow) -> None:
    @db.model(timestamps=False)
    class Note:
        id: int
        text: str


@pytest.fixture
def notes(db: DataFlow) -> DataFlow:
    declare(db)
    return db


def texts(db: DataFlow) -> str:
    return "".join(record["text"] for record in db.list("Note", sort="text")["records"])


def test_a_block_commits_at_its_end(notes: DataFlow):
    with notes.transaction():
        notes.create("Note", {"text": "a"})
        notes.bulk_create("Note", [{"text": "b"}])
        inside = texts(notes)

    assert (inside, texts(notes)) == ("ab", "ab")


def test_a_block_that_fails_keeps_nothing(notes: DataFlow):
    notes.create("Note", {"text": "a"})

    with pytest.raises(RuntimeError, match="stop"), notes.transaction():
        notes.create("Note", {"text": "b"})
        notes.update("Note", 1, {"text": "c"})
        notes.bulk_delete("Note", all=True)
        raise RuntimeError("stop")

    assert texts(notes) == "a"


def test_another_thread_does_not_see_what_is_not_committed(notes: DataFlow):
    notes.create("Note", {"text": "a"})
    seen: list[str] = []

    with notes.transaction():
        notes.create("Note", {"text": "b"})
        thread = threading.Thread(target=lambda: seen.append(texts(notes)))
        thread.start()
        thread.join()

    assert (seen, texts(notes)) == (["a"], "ab")


def test_a_nested_block_joins_the_outer_one(notes: DataFlow):
    with pytest.raises(RuntimeError), notes.transaction():
        with notes.transaction():
            notes.create("Note", {"text": "a"})
        raise RuntimeError

    assert texts(notes) == ""


def test_a_block_that_ends_in_another_context_is_rolled_back_and_says_so(notes: DataFlow):
    block, begun = notes.transaction(), contextvars.copy_context()

    begun.run(block.__enter__)
    begun.run(notes.create, "Note", {"text": "a"})
    with pytest.raises(LoopError, match=r"made at .*test_transactions.py:\d+ began in another"):
        block.__exit__(None, None, None)

    notes.create("Note", {"text": "b"})
    assert texts(notes) == "b"
    assert notes.health().pool["in_use"] == 0


def test_a_nested_block_that_failed_takes_the_outer_one_along(notes: DataFlow):
    def half() -> None:
        with notes.transaction():
            notes.create("Note", {"text": "half"})
            raise RuntimeError("no other half")

    with (
        pytest.raises(TransactionAbortedError, match="a part of it failed: no other half"),
        notes.transaction(),
    ):
        notes.create("Note", {"text": "a"})
        with pytest.raises(RuntimeError):
            half()
    with pytest.raises(TransactionAbortedError), notes.transaction():
        with pytest.raises(RuntimeError):
            half()
        notes.count("Note")

    assert texts(notes) == ""


def test_a_nested_block_that_failed_before_it_did_anything_does_not(notes: DataFlow):
    with notes.transaction():
        notes.create("Note", {"text": "a"})
        with pytest.raises(RecordValidationError):
            notes.bulk_create("Note", [{"text": None}])
        with pytest.raises(RuntimeError), notes.transaction(savepoint=True):
            notes.create("Note", {"text": "part"})
            with notes.transaction():
                notes.create("Note", {"text": "of it"})
                raise RuntimeError

    assert texts(notes) == "a"


def test_a_run_in_a_block_that_failed_takes_the_block_along(notes: DataFlow):
    @notes.node
    def fails() -> dict[str, Any]:
        raise RuntimeError

    flow = WorkflowBuilder("half", db=notes)
    flow.add_node("NoteCreateNode", "made", {"text": "half"})
    flow.add_node(fails, "fails", {})
    flow.add_connection("made", "fails")

    with pytest.raises(TransactionAbortedError), notes.transaction():
        with pytest.raises(WorkflowFailedError):
            LocalRuntime().execute(flow.build(), transaction=True)
        notes.count("Note")

    assert texts(notes) == ""


@pytest.mark.parametrize("savepoint", [False, True])
def test_a_block_that_is_entered_while_it_is_open_is_refused_and_stays_usable(
    notes: DataFlow, savepoint: bool
):
    block = notes.transaction(savepoint=savepoint)

    with block:
        with pytest.raises(ParameterError, match=r"made at .*test_transactions.py:\d+ is open"):
            block.__enter__()
        notes.create("Note", {"text": "a"})

    assert texts(notes) == "a"


def test_a_block_that_joined_another_is_refused_while_it_is_open(notes: DataFlow):
    with notes.transaction(), notes.transaction(savepoint=True) as part:
        block = notes.transaction()
        with block:
            with pytest.raises(ParameterError, match="open already"):
                block.__enter__()
            assert notes.database.current() is part
        notes.create("Note", {"text": "a"})

    assert texts(notes) == "a"


def test_an_async_block_that_is_entered_while_it_is_open_is_refused_and_stays_usable(
    notes: DataFlow,
):
    async def main() -> None:
        block = notes.transaction()
        async with block:
            with pytest.raises(ParameterError, match="open already"):
                await block.__aenter__()
            await notes.aio.create("Note", {"text": "a"})
        await notes.aio.create("Note", {"text": "b"})

    asyncio.run(main())

    assert texts(notes) == "ab"


def test_one_block_is_refused_to_a_second_thread_while_the_first_has_it(notes: DataFlow):
    block, refused = notes.transaction(), []

    def enter() -> None:
        with pytest.raises(ParameterError, match="open already"):
            block.__enter__()
        refused.append(notes.database.current())

    with block:
        second = threading.Thread(target=enter)
        second.start()
        second.join(30)
        notes.create("Note", {"text": "a"})

    assert (refused, texts(notes)) == ([None], "a")


def test_a_block_may_be_entered_again_after_its_end_inside_of_another_too(notes: DataFlow):
    block = notes.transaction()
    with block:
        notes.create("Note", {"text": "a"})
    with pytest.raises(ZeroDivisionError), block:
        notes.create("Note", {"text": "lost"})
        raise ZeroDivisionError
    with notes.transaction():
        with block:
            notes.create("Note", {"text": "b"})
        notes.create("Note", {"text": "c"})

    assert texts(notes) == "abc"


def test_a_savepoint_fails_alone(notes: DataFlow):
    with notes.transaction():
        notes.create("Note", {"text": "a"})
        with pytest.raises(RuntimeError), notes.transaction(savepoint=True):
            notes.create("Note", {"text": "b"})
            raise RuntimeError
        with notes.transaction(savepoint=True):
            notes.create("Note", {"text": "c"})

    assert texts(notes) == "ac"


def test_a_savepoint_survives_a_refused_statement(notes: DataFlow):
    with notes.transaction():
        notes.create("Note", {"id": 1, "text": "a"})
        with pytest.raises(UniqueViolationError), notes.transaction(savepoint=True):
            notes.create("Note", {"id": 1, "text": "b"})
        notes.create("Note", {"id": 2, "text": "c"})

    assert texts(notes) == "ac"


def test_savepoints_nest(notes: DataFlow):
    with notes.transaction():
        with notes.transaction(savepoint=True):
            notes.create("Note", {"text": "a"})
            with pytest.raises(RuntimeError), notes.transaction(savepoint=True):
                notes.create("Note", {"text": "b"})
                raise RuntimeError
        notes.create("Note", {"text": "c"})

    assert texts(notes) == "ac"


def test_a_refused_statement_that_is_caught_never_loses_the_rest_silently(notes: DataFlow):
    raised = False
    try:
        with notes.transaction():
            notes.create("Note", {"id": 1, "text": "a"})
            with pytest.raises(UniqueViolationError):
                notes.create("Note", {"id": 1, "text": "b"})
    except DatabaseError:
        raised = True

    assert raised or texts(notes) == "a"


def test_a_caught_error_has_the_same_end_on_every_database(tmp_path: Any, postgres_databases: Any):
    ends = []
    for url in (f"sqlite:///{tmp_path}/x.db", postgres_databases.create()):
        with DataFlow(url) as db:
            declare(db)
            raised = None
            try:
                with db.transaction():
                    db.create("Note", {"id": 1, "text": "a"})
                    with pytest.raises(UniqueViolationError):
                        db.create("Note", {"id": 1, "text": "b"})
                    db.create("Note", {"id": 2, "text": "c"})
            except DatabaseError as error:
                raised = type(error)
            ends.append((raised, texts(db)))

    assert ends[0] == ends[1]


REFUSED = (
    "the statement was not sent, because an earlier part of the transaction failed: "
    "a record of 'notes' with the same id exists already.\n"
    "  help: let the first error leave the block, or wrap what may fail in "
    "`with db.transaction(savepoint=True):`\n"
    "  code: DF213"
)


def test_after_a_refused_statement_the_next_one_is_not_sent_and_names_the_first(notes: DataFlow):
    with pytest.raises(TransactionAbortedError) as caught, notes.transaction():
        notes.create("Note", {"id": 1, "text": "a"})
        with pytest.raises(UniqueViolationError) as first:
            notes.create("Note", {"id": 1, "text": "b"})
        with pytest.raises(TransactionAbortedError):
            notes.count("Note")
        notes.create("Note", {"id": 2, "text": "c"})

    assert str(caught.value) == REFUSED
    assert caught.value.__cause__ is first.value
    assert texts(notes) == ""


def test_after_a_refused_statement_no_savepoint_is_set(notes: DataFlow):
    with pytest.raises(TransactionAbortedError) as caught, notes.transaction():
        notes.create("Note", {"id": 1, "text": "a"})
        with pytest.raises(UniqueViolationError) as first:
            notes.create("Note", {"id": 1, "text": "b"})
        with notes.transaction(savepoint=True):
            pytest.fail("the block was entered")

    assert str(caught.value) == REFUSED
    assert caught.value.__cause__ is first.value


def test_after_a_refused_statement_in_a_savepoint_only_the_savepoint_is_over(notes: DataFlow):
    with notes.transaction():
        notes.create("Note", {"id": 1, "text": "a"})
        with pytest.raises(TransactionAbortedError) as caught, notes.transaction(savepoint=True):
            with pytest.raises(UniqueViolationError):
                notes.create("Note", {"id": 1, "text": "b"})
            notes.create("Note", {"id": 2, "text": "c"})
        notes.create("Note", {"id": 3, "text": "d"})

    assert str(caught.value) == REFUSED
    assert texts(notes) == "ad"


def test_a_failed_transaction_refuses_rows_that_are_collected_as_a_whole(notes: DataFlow):
    with pytest.raises(TransactionAbortedError) as caught, notes.transaction():
        notes.create("Note", {"id": 1, "text": "a"})
        with pytest.raises(UniqueViolationError):
            notes.create("Note", {"id": 1, "text": "b"})
        notes.bulk_create("Note", [{"text": "c"}, {"text": "d"}], on_error="collect")

    assert str(caught.value) == REFUSED


def test_the_end_of_a_failed_transaction_names_the_first_failure(notes: DataFlow):
    with pytest.raises(TransactionAbortedError) as caught, notes.transaction():
        notes.create("Note", {"id": 1, "text": "a"})
        with pytest.raises(UniqueViolationError) as first:
            notes.create("Note", {"id": 1, "text": "b"})
        with pytest.raises(TransactionAbortedError):
            notes.count("Note")

    assert str(caught.value) == (
        "the transaction was rolled back, because a part of it failed: "
        "a record of 'notes' with the same id exists already.\n"
        "  help: let the first error leave the block, or wrap what may fail in "
        "`with db.transaction(savepoint=True):`\n"
        "  code: DF213"
    )
    assert caught.value.__cause__ is first.value


def test_a_read_only_block_refuses_writes(notes: DataFlow):
    notes.create("Note", {"text": "a"})

    with notes.transaction(read_only=True):
        inside = texts(notes)
    with pytest.raises(DatabaseError), notes.transaction(read_only=True):
        notes.create("Note", {"text": "b"})
    notes.create("Note", {"text": "c"})

    assert (inside, texts(notes)) == ("a", "ac")


@pytest.mark.parametrize("isolation", [None, "read_committed", "repeatable_read", "serializable"])
def test_an_isolation_level_is_chosen(notes: DataFlow, isolation: Any):
    with notes.transaction(isolation=isolation):
        notes.create("Note", {"text": "a"})

    assert texts(notes) == "a"


@pytest.mark.parametrize(
    "isolation", ["bogus", "serializable; DROP TABLE notes; --", "SERIALIZABLE READ ONLY", 5]
)
def test_another_isolation_level_is_refused(notes: DataFlow, isolation: Any):
    notes.create("Note", {"text": "a"})

    with (
        pytest.raises((ParameterError, ConfigurationError)),
        notes.transaction(isolation=isolation),
    ):
        pass

    assert texts(notes) == "a"


def test_an_unknown_option_of_a_transaction_is_refused(notes: DataFlow):
    with pytest.raises((TypeError, ParameterError), match="readonly"):
        notes.transaction(readonly=True)


def test_after_a_failed_block_the_next_one_works(notes: DataFlow):
    for number in range(25):
        with pytest.raises(RuntimeError), notes.transaction():
            notes.create("Note", {"text": str(number)})
            raise RuntimeError

    with notes.transaction():
        notes.create("Note", {"text": "a"})

    assert texts(notes) == "a"
    assert notes.database.pool_status()["in_use"] == 0


def test_the_async_face_has_the_same_transactions(url: str):
    async def use() -> list[str]:
        async with DataFlow(url) as db:
            declare(db)
            async with db.transaction():
                await db.aio.create("Note", {"text": "a"})
            with pytest.raises(RuntimeError):
                async with db.transaction():
                    await db.aio.create("Note", {"text": "b"})
                    raise RuntimeError
            async with db.transaction():
                await db.aio.create("Note", {"text": "c"})
                with pytest.raises(RuntimeError):
                    async with db.transaction(savepoint=True):
                        await db.aio.create("Note", {"text": "d"})
                        raise RuntimeError
            page = await db.aio.list("Note")
            return [record["text"] for record in page["records"]]

    assert asyncio.run(use()) == ["a", "c"]


def test_tasks_have_transactions_of_their_own(url: str):
    async def use() -> list[int]:
        async with DataFlow(url) as db:
            declare(db)

            async def one(number: int) -> None:
                async with db.transaction():
                    await db.aio.create("Note", {"text": str(number)})
                    await asyncio.sleep(0)
                    if number % 2:
                        raise RuntimeError

            await asyncio.gather(*(one(n) for n in range(10)), return_exceptions=True)
            page = await db.aio.list("Note")
            return sorted(int(record["text"]) for record in page["records"])

    assert asyncio.run(use()) == [0, 2, 4, 6, 8]


def test_one_dataflow_serves_several_event_loops(url: str):
    with DataFlow(url) as db:
        declare(db)

        async def one(text: str) -> int:
            await db.aio.create("Note", {"text": text})
            return await db.aio.count("Note")

        counts = [asyncio.run(one("a")), db.count("Note"), asyncio.run(one("b"))]

    assert counts == [1, 1, 2]


def test_a_sync_verb_inside_an_async_transaction_is_refused_and_says_how(url: str):
    async def use() -> str:
        async with DataFlow(url) as db:
            declare(db)
            async with db.transaction():
                with warnings.catch_warnings(), pytest.raises(LoopError) as caught:
                    warnings.simplefilter("ignore")  # it warns at the first use alone
                    db.bulk_upsert("Note", [{"id": 1, "text": "a"}])
            return str(caught.value)

    assert asyncio.run(use()) == (
        "a transaction was opened on one event loop and used on another.\n"
        "  help: inside `async with db.transaction()` await db.aio methods; inside `with "
        "db.transaction()` call db methods; where a bulk call reads a generator, make it an async "
        "generator, or read the data into a list first\n"
        "  code: DF115"
    )


PROGRAM = """
import asyncio, warnings
from dataflow import DataFlow, LocalRuntime, WorkflowBuilder

db = DataFlow("sqlite:///:memory:")

@db.model(timestamps=False)
class Note:
    id: int

async def main():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        db.create("Note", {})
        db.create("Note", {})
        db.count("Note")
    for item in caught:
        print(item.category.__name__, item.message, item.filename)

db.create("Note", {})
asyncio.run(main())
print(db.count("Note"))
db.close()
"""


def test_a_sync_verb_in_a_running_loop_works_and_warns_once_naming_its_twin():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.splitlines() == [
        (
            "RuntimeWarning db.create blocks the running event loop; await db.aio.create instead "
            "<string>"
        ),
        (
            "RuntimeWarning db.count blocks the running event loop; await db.aio.count instead "
            "<string>"
        ),
        "3",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("options", [{"read_only": True}, {"isolation": "serializable"}])
def test_a_nested_block_cannot_ask_for_what_the_outermost_has_not(
    db: DataFlow, options: dict[str, Any]
):
    with db.transaction():
        for more in ({}, {"savepoint": True}):
            with (
                pytest.raises(ParameterError, match="give them to the outermost block"),
                db.transaction(**options, **more),
            ):
                pass
        with pytest.raises(ParameterError, match="belong to a whole transaction"):
            db.run_transaction(lambda: None, **options)

    with db.transaction(**options), db.transaction(**options), db.transaction(savepoint=True):
        assert db.database.current() is not None
