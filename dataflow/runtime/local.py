"""`LocalRuntime`: runs workflows in this process."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack, cast

from dataflow.context import Setting, tenant
from dataflow.errors import ParameterError, WorkflowFailedError, did_you_mean, shown
from dataflow.identifiers import uuid7
from dataflow.places import awaiting_place, caller_place
from dataflow.portal import sync_call
from dataflow.runtime.builder import WorkflowBuilder
from dataflow.runtime.events import RunFinished, RunStarted
from dataflow.runtime.plan import Plan, plan_workflow
from dataflow.runtime.references import copy_containers
from dataflow.runtime.results import Results
from dataflow.runtime.run import Listener, Run
from dataflow.runtime.turnstile import Turnstile
from dataflow.runtime.workflow import Workflow

__all__ = ["AsyncLocalRuntime", "LocalRuntime", "RunOptions"]


class RunOptions(TypedDict, total=False):
    """Options of a run.

    Attributes:
        parameters: `{node id: {input: value}}`, in place of the given inputs.
        inputs: Values of the workflow's own parameters.
        transaction: Run everything in one transaction of the one database used.
        tenant: Whose records the nodes see; None: as outside the run.
        on_event: Called with each event, in the event loop's thread.
    """

    parameters: Mapping[str, Mapping[str, Any]] | None
    inputs: Mapping[str, Any] | None
    transaction: bool
    tenant: Any
    on_event: Listener | None


class LocalRuntime:
    """Runs workflows; has no state of its own and may be shared by threads.

    Args:
        max_concurrency: Nodes of one run that run at once; None: no limit but the pool's.
    """

    def __init__(self, max_concurrency: int | None = None) -> None:
        """Prepare; opens nothing."""
        if max_concurrency is not None and not _is_count(max_concurrency):
            raise ParameterError(
                problem="max_concurrency must be a whole number from 1, or None, "
                f"not {max_concurrency!r}.",
                at=caller_place(),
            )
        self._limit = max_concurrency
        self._turnstiles: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Turnstile] = (
            weakref.WeakKeyDictionary()
        )
        self._plans: weakref.WeakKeyDictionary[Workflow, Plan] = weakref.WeakKeyDictionary()

    def execute(
        self, workflow: Workflow | WorkflowBuilder, **options: Unpack[RunOptions]
    ) -> tuple[Results, str]:
        """Run a workflow and wait; see `execute_async`."""
        _check_workflow(workflow, caller_place)
        return sync_call(
            "LocalRuntime.execute", "execute_async", self.execute_async, workflow, **options
        )

    async def execute_async(
        self, workflow: Workflow | WorkflowBuilder, **options: Unpack[RunOptions]
    ) -> tuple[Results, str]:
        """Run a workflow.

        Args:
            workflow: A workflow, or a builder, which is built first.
            **options: `parameters`, `{node id: {input: value}}` in place of given
                inputs; `inputs`, values of the workflow's parameters;
                `transaction`, True for all or nothing; `tenant`, whose records the
                nodes see; `on_event`, called with each event.

        Returns:
            `({node id: output}, run id)`.

        Raises:
            WorkflowFailedError: If a node failed, with the results of the others.
            ParameterError: If parameters or inputs are unknown, missing or wrong.
        """
        _check_workflow(workflow, awaiting_place)
        for name in options:
            if name not in RunOptions.__annotations__:
                raise ParameterError(
                    problem=f"execute() has no option {name!r}.",
                    advise=did_you_mean(name, RunOptions.__annotations__),
                )
        listener = _checked_listener(options.get("on_event"))
        await self._turnstile().enter()
        built = workflow.build() if isinstance(workflow, WorkflowBuilder) else workflow
        plan = self._plans.get(built)
        if plan is None:
            plan = self._plans[built] = plan_workflow(built)
        run = Run(
            plan,
            str(uuid7()),
            _checked_parameters(built, options.get("parameters")),
            _checked_inputs(built, options.get("inputs")),
            listener,
            self._limit,
        )
        chosen, whole = options.get("tenant"), options.get("transaction", False)
        with nullcontext() if chosen is None else Setting(tenant, chosen):
            if listener is None:
                await _execute(run, transaction=whole)
            else:
                await _execute_told(run, listener, transaction=whole)
        return run.results(), run.run_id

    def _turnstile(self) -> Turnstile:
        loop = asyncio.get_running_loop()
        found = self._turnstiles.get(loop)
        if found is None:
            found = self._turnstiles[loop] = Turnstile(loop)
        return found

    def __enter__(self) -> Self:
        """Return the runtime; a context is not needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Self:
        """Return the runtime; a context is not needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held."""


AsyncLocalRuntime = LocalRuntime
"""The same runtime; a name for programs that only use `execute_async`."""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_workflow(workflow: object, place: Callable[[], str | None]) -> None:
    if not isinstance(workflow, Workflow | WorkflowBuilder):
        raise ParameterError(
            problem=f"execute() takes a Workflow or a WorkflowBuilder, not {workflow!r}.",
            advise="execute(builder.build()) or execute(builder)",
            at=place(),
        )


async def _execute(run: Run, *, transaction: bool) -> None:
    async with _transaction_of(run.plan) if transaction else nullcontext():
        await run.execute()
        if run.failures:
            failed = WorkflowFailedError(
                workflow=run.plan.name,
                run_id=run.run_id,
                results=run.results(),
                failures=run.failures,
                places=run.plan.places(run.failures),
            )
            raise failed from next(iter(run.failures.values()))


async def _execute_told(run: Run, listener: Listener, *, transaction: bool) -> None:
    name, begun, status = run.plan.name, time.perf_counter(), "cancelled"
    listener(RunStarted(run.run_id, name, len(run.plan.steps)))
    try:
        await _execute(run, transaction=transaction)
        status = "completed"
    except Exception:
        status = "failed"
        raise
    finally:
        listener(RunFinished(run.run_id, name, status, time.perf_counter() - begun))


def _transaction_of(plan: Plan) -> AbstractAsyncContextManager[Any]:
    if len(plan.databases) != 1:
        count = len(plan.databases)
        raise ParameterError(
            problem=f"transaction=True needs nodes of exactly one database; workflow "
            f"{plan.name!r} has nodes of {count}."
        )
    block: AbstractAsyncContextManager[Any] = plan.databases[0].transaction()
    return block


def _checked_listener(listener: Any) -> Listener | None:
    if listener is not None and not callable(listener):
        problem = f"on_event must be a function that takes an event, not {shown(listener)}."
        raise ParameterError(problem=problem)
    return cast("Listener | None", listener)


def _checked_names(what: str, values: Any) -> Mapping[str, Any]:
    """Return values by name; None: none."""
    if values is None:
        return {}
    if isinstance(values, Mapping) and all(isinstance(name, str) for name in values):
        return values
    raise ParameterError(problem=f"{what} must be a dict with names as keys, not {shown(values)}.")


def _checked_parameters(
    workflow: Workflow, parameters: Mapping[str, Mapping[str, Any]] | None
) -> Mapping[str, Mapping[str, Any]]:
    checked: dict[str, Mapping[str, Any]] = {}
    for step_id, given in _checked_names("parameters", parameters).items():
        step = workflow.steps.get(step_id)
        if step is None:
            raise ParameterError(
                problem=f"parameters name node {step_id!r}, which workflow {workflow.name!r} "
                "does not have.",
                advise=did_you_mean(step_id, workflow.steps),
            )
        values = _checked_names(f"parameters of {step_id!r}", given)
        problems = step.node_type.check_inputs(values, ())
        if problems:
            raise ParameterError(problem=f"parameters of {step_id!r}: {'; '.join(problems)}")
        checked[step_id] = step.node_type.accept(values)
    return checked


def _checked_inputs(workflow: Workflow, inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    given = _checked_names("inputs", inputs)
    for name in given:
        if name not in workflow.inputs:
            raise ParameterError(
                problem=f"workflow {workflow.name!r} has no input {name!r}.",
                advise=did_you_mean(name, workflow.inputs),
            )
    values: dict[str, Any] = {}
    for name, declared in workflow.inputs.items():
        if name in given:
            values[name] = declared.check(given[name])
        elif declared.required:
            raise ParameterError(
                problem=f"workflow {workflow.name!r} needs the input {name!r}.",
                advise=f"execute(workflow, inputs={{{name!r}: …}})",
            )
        else:
            values[name] = copy_containers(declared.default)
    return values
