"""The one bridge from sync callers to the event loop.

One event loop runs in one daemon thread per process. It starts at the first sync
call and again in a forked child. uvloop is used where it is installed.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from dataflow.errors import LoopError
from dataflow.places import caller_place

__all__ = ["Portal", "portal", "sync_call"]

T = TypeVar("T")
_STOP_SECONDS = 3


class _Job(Generic[T]):
    """A coroutine handed to another thread's loop, with the caller's context."""

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self.result: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._loop = loop
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None

    def wait(self) -> T:
        self._loop.call_soon_threadsafe(self._start)
        return self.result.result()

    def _start(self) -> None:
        self._task = self._loop.create_task(self._guarded())
        self._task.add_done_callback(self._finish)

    async def _guarded(self) -> T:
        try:
            return await self._coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio would end the loop's thread with these; they belong to the caller.
            self.result.set_exception(error)
            raise asyncio.CancelledError from None

    def _finish(self, task: asyncio.Task[T]) -> None:
        if self.result.done():
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(task.result())

    def cancel_and_wait(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)
        concurrent.futures.wait([self.result])

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Portal:
    """An event loop in a daemon thread, to which any thread can hand coroutines."""

    def __init__(self) -> None:
        """Prepare; the thread starts at the first call."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._warned: set[str] = set()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        # The thread did not survive the fork, and the lock may have been held.
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, starting its thread when there is none."""
        loop = self._loop
        if loop is not None:
            return loop
        with self._lock:
            if self._loop is None:
                self._loop = self._start()
            return self._loop

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = _new_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="dataflow", daemon=True)
        self._thread.start()
        atexit.register(self._stop, loop, os.getpid())
        return loop

    def _stop(self, loop: asyncio.AbstractEventLoop, process: int) -> None:
        """At exit, let everything that lives on the loop close itself."""
        if os.getpid() != process or not loop.is_running():
            return
        closed = asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop)
        with contextlib.suppress(TimeoutError):
            closed.result(_STOP_SECONDS)
        loop.call_soon_threadsafe(loop.stop)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop and wait for its result.

        The caller's context variables are visible to the coroutine. An interrupt
        (Ctrl-C) cancels the coroutine and waits until its cleanup is done.

        Raises:
            LoopError: When called on the portal's own thread, which would wait for itself.
        """
        loop = self.loop()
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise LoopError(
                problem="a sync call on DataFlow's own event loop, which would wait for itself.",
                advise="in a coroutine, await the same method of db.aio; where a bulk call reads "
                "a generator, make it an async generator that does so, or read the data into a "
                "list first",
                at=caller_place(),
            )
        job = _Job(loop, coroutine)
        try:
            return job.wait()
        except BaseException:
            if not job.result.done():
                job.cancel_and_wait()
            raise

    def warn_in_running_loop(self, name: str, twin: str) -> None:
        """Warn once per name when the caller's thread runs an event loop."""
        if asyncio._get_running_loop() is None or name in self._warned:  # noqa: SLF001 - no public call without exception cost
            return
        if threading.current_thread() is self._thread:  # `call` refuses that
            return
        self._warned.add(name)
        text = f"{name} blocks the running event loop; await {twin} instead"
        warnings.warn(text, RuntimeWarning, stacklevel=_outside_depth())


def _outside_depth() -> int:
    """Return the stack level of the first frame outside this package."""
    depth, frame = 1, sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("dataflow"):
        frame = frame.f_back
        depth += 1
    return depth


def _new_loop() -> asyncio.AbstractEventLoop:
    if importlib.util.find_spec("uvloop") is not None:
        uvloop: Any = importlib.import_module("uvloop")
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()


portal = Portal()


def sync_call(
    name: str, twin: str, make: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any
) -> T:
    """Run `make(*args, **kwargs)` on the portal, warning when a loop is blocked by it."""
    portal.warn_in_running_loop(name, twin)
    return portal.call(make(*args, **kwargs))
