"""The gate before the pool: bounded, fair, and nothing lost when a caller gives up."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.database.lane import Gate
from dataflow.errors import PoolExhaustedError


def run(coroutine):
    return asyncio.run(coroutine)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_free_slot_is_taken_at_once():
    async def main():
        gate = Gate(2, 1.0, None)
        entered = [gate.try_enter(), gate.try_enter(), gate.try_enter()]
        gate.leave()
        return entered, gate.free

    assert run(main()) == ([True, True, False], 1)


def test_callers_are_served_in_the_order_of_arrival():
    async def main():
        gate, served = Gate(1, 10.0, None), []

        async def caller(number: int) -> None:
            await gate.enter()
            served.append(number)
            await asyncio.sleep(0)
            gate.leave()

        await asyncio.gather(*(caller(number) for number in range(20)))
        return served, gate.free, gate.waiting

    assert run(main()) == (list(range(20)), 1, 0)


def test_nobody_overtakes_the_queue():
    async def main():
        gate = Gate(1, 10.0, None)
        gate.try_enter()
        waiting = asyncio.ensure_future(gate.enter())
        await settle()
        gate.leave()
        overtaken = gate.try_enter()
        await waiting
        return overtaken

    assert run(main()) is False


def test_who_waits_too_long_is_told_how_long_and_who_holds():
    async def main():
        gate = Gate(1, 0.001, None)
        gate.try_enter()
        with pytest.raises(PoolExhaustedError) as caught:
            await gate.enter("; held longest, 3.0 s, by app.py:7")
        gate.leave()
        return str(caught.value), gate.free, gate.waiting

    assert run(main()) == (
        (
            "no connection became free within 0.001 s "
            "(1 in use, 0 waiting; held longest, 3.0 s, by app.py:7).\n"
            "  help: raise pool_size or max_overflow, shorten transactions, "
            "or raise pool_timeout_s\n"
            "  code: DF214"
        ),
        1,
        0,
    )


def test_a_full_queue_refuses_at_once():
    async def main():
        gate = Gate(1, 10.0, 1)
        gate.try_enter()
        first = asyncio.ensure_future(gate.enter())
        await settle()
        with pytest.raises(PoolExhaustedError) as caught:
            await gate.enter()
        gate.leave()
        await first
        return caught.value.waited_s, caught.value.retryable, caught.value.outcome

    assert run(main()) == (0.0, True, "not_applied")


def test_a_caller_who_is_cancelled_in_the_queue_leaves_it():
    async def main():
        gate = Gate(1, 10.0, None)
        gate.try_enter()
        first, second = (asyncio.ensure_future(gate.enter()) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        gate.leave()
        await second
        return first.cancelled(), gate.free, gate.waiting

    assert run(main()) == (True, 0, 0)


def test_a_slot_given_to_a_caller_who_is_cancelled_goes_to_the_next():
    async def main():
        gate = Gate(1, 10.0, None)
        gate.try_enter()
        first, second = (asyncio.ensure_future(gate.enter()) for _ in range(2))
        await settle()
        gate.leave()
        first.cancel()
        await second
        return first.cancelled(), gate.free, gate.waiting

    assert run(main()) == (True, 0, 0)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=12),
)
def test_after_any_mix_of_callers_and_cancellations_all_slots_are_free(slots, callers):
    async def main():
        gate, most, inside = Gate(slots, 10.0, None), 0, 0

        async def caller(pauses: int) -> None:
            nonlocal most, inside
            await gate.enter()
            inside += 1
            most = max(most, inside)
            try:
                for _ in range(pauses):
                    await asyncio.sleep(0)
            finally:
                inside -= 1
                gate.leave()

        async def one(before: int, pauses: int, cancelled: bool) -> None:
            task = asyncio.ensure_future(caller(pauses))
            for _ in range(before):
                await asyncio.sleep(0)
            if cancelled:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(one(*plan) for plan in callers))
        return gate.free, gate.waiting, most <= slots

    assert run(main()) == (slots, 0, True)
