"""The bridge from sync callers to the event loop."""

import asyncio
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from dataflow.errors import LoopError
from dataflow.portal import Portal

LIMIT_S = 10
word: ContextVar[str] = ContextVar("word", default="none")


@pytest.fixture
def own() -> Portal:
    """A portal of the test's own; its thread is a daemon."""
    return Portal()


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_a_coroutine_runs_and_its_result_comes_back(own: Portal):
    assert own.call(answer()) == 42


def test_an_error_comes_back_as_it_is(own: Portal):
    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError, match="k"):
        own.call(fail())


def test_one_loop_serves_all_threads(own: Portal):
    async def loop_id() -> int:
        return id(asyncio.get_running_loop())

    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda _: own.call(loop_id()), range(200)))

    assert len(found) == 1


def test_the_callers_context_is_seen(own: Portal):
    async def read() -> str:
        return word.get()

    token = word.set("mine")
    found = own.call(read())
    word.reset(token)

    assert found == "mine"


def test_calls_of_several_threads_overlap(own: Portal):
    async def meet(barrier: asyncio.Barrier) -> int:
        return await asyncio.wait_for(barrier.wait(), LIMIT_S)

    async def make() -> asyncio.Barrier:
        return asyncio.Barrier(3)

    barrier = own.call(make())
    with ThreadPoolExecutor(3) as pool:
        found = sorted(pool.map(lambda _: own.call(meet(barrier)), range(3)))

    assert found == [0, 1, 2]


def test_a_sync_call_on_the_portals_own_thread_is_refused(own: Portal):
    async def inner() -> None:
        own.call(answer())

    line = inner.__code__.co_firstlineno + 1
    with pytest.raises(LoopError) as caught:
        own.call(inner())

    assert str(caught.value) == (
        "a sync call on DataFlow's own event loop, which would wait for itself.\n"
        f"  at: {__file__}:{line}\n"
        "  help: in a coroutine, await the same method of db.aio; where a bulk call reads a "
        "generator, make it an async generator that does so, or read the data into a list first\n"
        "  code: DF115"
    )


def test_an_interrupt_cancels_the_coroutine_and_waits_for_its_cleanup(own: Portal):
    started, cleaned = threading.Event(), []

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(50):
                await asyncio.sleep(0.002)  # cleanup that takes its time, such as a rollback
            cleaned.append(True)

    def interrupt() -> None:
        started.wait(LIMIT_S)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    # A shell starts what runs in the background with interrupts ignored.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            own.call(work())
        at_return = list(cleaned)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, former)

    assert at_return == [True]


class TestWarning:
    def test_a_blocked_loop_is_warned_of_once_per_name(self, own: Portal):
        async def main() -> list[str]:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                for _ in range(3):
                    own.warn_in_running_loop("db.read", "db.aio.read")
                own.warn_in_running_loop("db.list", "db.aio.list")
            return [(str(item.message), item.filename) for item in seen]

        assert asyncio.run(main()) == [
            ("db.read blocks the running event loop; await db.aio.read instead", __file__),
            ("db.list blocks the running event loop; await db.aio.list instead", __file__),
        ]

    def test_on_the_portals_own_loop_the_error_that_follows_is_enough(self, own: Portal):
        async def main() -> None:
            own.warn_in_running_loop("db.read", "db.aio.read")

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            own.call(main())

        assert seen == []

    def test_without_a_running_loop_nothing_is_warned_of(self, own: Portal):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            own.warn_in_running_loop("db.read", "db.aio.read")

        assert seen == []
