"""One run of a plan: a chain stays in one task, a fan-out gets one task per branch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from dataflow.errors import NodeOutputError, NodeTimeoutError, UnresolvedReferenceError
from dataflow.runtime.events import (
    Event,
    NodeFailed,
    NodeFinished,
    NodeRetried,
    NodeSkipped,
    NodeStarted,
)
from dataflow.runtime.plan import Plan, PlannedStep
from dataflow.runtime.references import (
    InputReference,
    Reference,
    copy_containers,
    replace_references,
)
from dataflow.runtime.results import Results

__all__ = ["Listener", "Run"]

Listener = Callable[[Event], Any]


class _Mark:
    """A value that stands for an output that does not exist."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


PENDING: Any = _Mark("PENDING")
SKIPPED: Any = _Mark("SKIPPED")
FAILED: Any = _Mark("FAILED")


class Run:
    """The state of one run."""

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        parameters: Mapping[str, Mapping[str, Any]],
        inputs: Mapping[str, Any],
        listener: Listener | None,
        limit: int | None,
    ) -> None:
        """Begin with every step pending."""
        self.plan = plan
        self.run_id = run_id
        self.failures: dict[str, BaseException] = {}
        self._continued: set[str] = set()
        self._parameters = parameters
        self._inputs = inputs
        self._listener = listener
        self._limit = None if limit is None else asyncio.Semaphore(limit)
        self._outputs: list[Any] = [PENDING] * len(plan.steps)
        self._waits = list(plan.waits)
        self._tasks: list[asyncio.Task[None]] = []
        self._active = 0
        self._done: asyncio.Future[None] | None = None

    async def execute(self) -> None:
        """Run every step that can run; failures are in `failures` afterwards.

        On cancellation every task of the run is cancelled and awaited first.
        """
        loop = asyncio.get_running_loop()
        first, *others = self.plan.roots
        self._active = 1
        for index in others:
            self._spawn(loop, index)
        try:
            await self._walk(loop, first)
            if self._active:
                self._done = loop.create_future()
                await self._done
        except BaseException:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise

    def _spawn(self, loop: asyncio.AbstractEventLoop, index: int) -> None:
        self._active += 1
        self._tasks.append(loop.create_task(self._walk(loop, index)))

    async def _walk(self, loop: asyncio.AbstractEventLoop, index: int | None) -> None:
        """Run a step, then the first follower that became ready, and so on."""
        steps, outputs, waits = self.plan.steps, self._outputs, self._waits
        try:
            while index is not None and not self.failures:
                step = steps[index]
                try:
                    outputs[index] = await self._run_step(step)
                except BaseException as error:
                    if _is_cancelled(error) or isinstance(error, GeneratorExit):
                        raise
                    outputs[index] = FAILED
                    self.failures[step.id] = error
                    return
                index = None
                for follower in step.followers:
                    waits[follower] -= 1
                    if not waits[follower]:
                        if index is None:
                            index = follower
                        else:
                            self._spawn(loop, follower)
        finally:
            self._active -= 1
            if not self._active and self._done is not None and not self._done.done():
                self._done.set_result(None)

    async def _run_step(self, step: PlannedStep) -> Any:
        if step.conditional and self._is_skipped(step):
            if self._listener is not None:
                self._listener(NodeSkipped(self.run_id, self.plan.name, step.id))
            return SKIPPED
        if self._limit is not None:
            async with self._limit:
                return await self._run_now(step)
        return await self._run_now(step)

    async def _run_now(self, step: PlannedStep) -> Any:
        if not step.simple or self._listener is not None:
            return await self._run_guarded(step)
        inputs = self._bind(step)
        output = await step.call(**inputs) if step.is_async else step.call(**inputs)
        return output if type(output) is dict and step.trusted else _named(step, output)

    def _bind(self, step: PlannedStep) -> dict[str, Any]:
        inputs = dict(step.static)
        for name in step.copied:
            inputs[name] = copy_containers(inputs[name])
        for name, source, output in step.bindings:
            try:
                inputs[name] = self._outputs[source][output]
            except (KeyError, TypeError):
                if not self._is_dead(source, output):
                    raise self._unresolved(step, source, output) from None
        if not step.simple:
            self._bind_rest(step, inputs)
        if self._parameters and step.id in self._parameters:
            self._override(step, inputs)
        return inputs

    def _override(self, step: PlannedStep, inputs: dict[str, Any]) -> None:
        for name, value in self._parameters[step.id].items():
            for spelling in step.node_type.spellings(name):
                inputs.pop(spelling, None)
            inputs[name] = copy_containers(value) if step.copied_all else value

    def _bind_rest(self, step: PlannedStep, inputs: dict[str, Any]) -> None:
        for name, used in step.inputs_used:
            inputs[name] = self._inputs[used]
        given: dict[Reference | InputReference, Any] = {
            InputReference(name): value for name, value in self._inputs.items()
        }
        for template in step.templates:
            if any(self._is_dead(place, ref.output) for ref, place in template.sources):
                continue
            known = dict(given)
            for reference, source in template.sources:
                try:
                    known[reference] = self._outputs[source][reference.output]
                except (KeyError, TypeError):
                    raise self._unresolved(step, source, reference.output) from None
            inputs[template.input] = replace_references(template.value, known)

    def _unresolved(self, step: PlannedStep, source: int, output: str) -> UnresolvedReferenceError:
        origin, value = self.plan.steps[source], self._outputs[source]
        if value.get("found") is False:
            reason = f"{origin.id!r} found no record"
        elif value.get("updated") is False:
            reason = f"{origin.id!r} found no record to update"
        elif value.get("failed") is True:
            reason = f"{origin.id!r} failed: {value.get('error')}"
        else:
            reason = f"{origin.id!r} returned only {', '.join(map(repr, value)) or 'nothing'}"
        return UnresolvedReferenceError(
            node=step.id, source=origin.id, output=output, reason=reason, at=step.step.location
        )

    # ---------------------------------------------------------------- skipping

    def _is_dead(self, source: int, output: str) -> bool:
        """Whether an edge leads from a way that was not taken."""
        value = self._outputs[source]
        return value is SKIPPED or (
            self.plan.steps[source].node_type.branches and output not in value
        )

    def _is_skipped(self, step: PlannedStep) -> bool:
        dead = [self._is_dead(source, output) for source, output in step.edges]
        if dead and (all(dead) if step.node_type.join == "any" else any(dead)):
            return True
        when = step.step.when
        if when is None:
            return False
        if isinstance(when, InputReference):
            return not self._inputs[when.name]
        place = next(s.index for s in self.plan.steps if s.id == when.step)
        value = self._outputs[place]
        if value is SKIPPED:
            return True
        if when.output == "failed" and self.plan.steps[place].step.on_error == "continue":
            return not value.get("failed", False)
        if when.output not in value and not self.plan.steps[place].node_type.branches:
            raise self._unresolved(step, place, when.output)
        return not value.get(when.output)

    # ------------------------------------------------- retry, timeout, on_error

    async def _run_guarded(self, step: PlannedStep) -> Any:
        begun = time.perf_counter()
        name = self.plan.name
        if self._listener is not None:
            self._listener(NodeStarted(self.run_id, name, step.id, step.node_type.node_type))
        try:
            output = await self._attempts(step)
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled(error):
                raise
            seconds = time.perf_counter() - begun
            if self._listener is not None:
                self._listener(NodeFailed(self.run_id, name, step.id, seconds, error))
            if step.step.on_error != "continue":
                raise
            self._continued.add(step.id)
            return {"error": str(error), "error_type": type(error).__name__, "failed": True}
        if self._listener is not None:
            seconds = time.perf_counter() - begun
            self._listener(NodeFinished(self.run_id, name, step.id, seconds, output))
        return output

    async def _attempts(self, step: PlannedStep) -> Any:
        retry, attempt = step.step.retry, 1
        while True:
            try:
                return await self._once_apart(step)
            except Exception as error:
                if retry is None or not retry.wants(error, attempt):
                    raise
                delay = retry.delay_after(attempt)
                if self._listener is not None:
                    name = self.plan.name
                    event = NodeRetried(self.run_id, name, step.id, attempt, delay, error)
                    self._listener(event)
            await asyncio.sleep(delay)
            attempt += 1

    async def _once_apart(self, step: PlannedStep) -> Any:
        """Run once; in a transaction, a step that may fail does so in a savepoint."""
        may_fail = step.step.on_error == "continue" or step.step.retry is not None
        database = step.node_type.database
        if not may_fail or database is None or database.current() is None:
            return _named(step, await self._once(step))
        async with database.transaction(savepoint=True):
            return _named(step, await self._once(step))

    async def _once(self, step: PlannedStep) -> Any:
        inputs = self._bind(step)
        limit = step.step.timeout_s
        if limit is None:
            return await step.call(**inputs) if step.is_async else step.call(**inputs)
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                return await step.call(**inputs) if step.is_async else step.call(**inputs)
        except TimeoutError as error:
            if not scope.expired():
                raise
            late = NodeTimeoutError(node=step.id, timeout_s=limit, at=step.step.location)
            effects = step.node_type.effects
            late.outcome = "unknown" if effects.unknown or effects.writes else None
            raise late from error

    # ----------------------------------------------------------------- results

    def results(self) -> Results:
        """Return the outputs and states of all steps."""
        outputs: dict[str, Any] = {}
        status: dict[str, str] = {}
        for step, value in zip(self.plan.steps, self._outputs, strict=True):
            status[step.id] = _STATUS.get(id(value), "completed")
            if status[step.id] == "completed":
                outputs[step.id] = value
                if step.id in self._continued:
                    status[step.id] = "failed"
        return Results(outputs, status)


_STATUS = {id(PENDING): "not_run", id(SKIPPED): "skipped", id(FAILED): "failed"}


def _is_cancelled(error: BaseException) -> bool:
    """Whether the running task itself was asked to stop.

    A CancelledError that nobody asked for comes from within a node, and is its failure.
    """
    task = asyncio.current_task()
    asked = task is not None and task.cancelling() > 0
    return asked and isinstance(error, asyncio.CancelledError)


def _named(step: PlannedStep, output: Any) -> dict[str, Any]:
    """Return an output as a dict: a mapping as it is, other values as `result`."""
    if isinstance(output, Mapping):
        for name in output:
            if not isinstance(name, str):
                raise NodeOutputError(node=step.id, key=name, at=step.step.location)
        return dict(output)
    return {"result": output}
