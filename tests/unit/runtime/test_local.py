"""`LocalRuntime`: what it refuses before anything runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dataflow import LocalRuntime, WorkflowBuilder, node
from dataflow.errors import ParameterError

@node
def greet(name: str) -> str:
    return f"Hello, {name}"


HERE = Path(__file__)


def line_of(text: str) -> str:
    """The place of the one line of this file that holds a text."""
    (number,) = [n for n, line in enumerate(HERE.read_text().splitlines(), 1) if text in line]
    return f"{HERE}:{number}"


def test_what_is_no_workflow_is_refused_at_the_callers_line():
    with pytest.raises(ParameterError) as caught:
        LocalRuntime().execute(None)  # type: ignore[arg-type]  # the first mistake

    assert str(caught.value) == (
        "execute() takes a Workflow or a WorkflowBuilder, not None.\n"
        f"  at: {line_of('# the first ' + 'mistake')}\n"
        "  help: execute(builder.build()) or execute(builder)\n"
        "  code: DF103"
    )


def test_what_is_no_workflow_is_refused_where_it_is_awaited():
    async def use() -> None:
        await LocalRuntime().execute_async("wf")  # type: ignore[arg-type]  # the second mistake

    with pytest.raises(ParameterError) as caught:
        asyncio.run(use())

    assert caught.value.at == line_of("# the second " + "mistake")


@pytest.mark.parametrize("limit", ["x", 1.5, True, 0])
def test_a_limit_that_is_no_number_of_nodes_is_refused_at_the_callers_line(limit: Any):
    with pytest.raises(ParameterError) as caught:
        LocalRuntime(max_concurrency=limit)  # the third mistake

    assert str(caught.value) == (
        f"max_concurrency must be a whole number from 1, or None, not {limit!r}.\n"
        f"  at: {line_of('# the third ' + 'mistake')}\n"
        "  code: DF103"
    )


NAMES = "must be a dict with names as keys, not"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"parameters": 5}, f"parameters {NAMES} 5."),
        ({"parameters": {5: {}}}, f"parameters {NAMES} {{5: {{}}}}."),
        ({"parameters": {"a": 5}}, f"parameters of 'a' {NAMES} 5."),
        ({"parameters": {"a": {5: 6}}}, f"parameters of 'a' {NAMES} {{5: 6}}."),
        ({"inputs": ["name"]}, f"inputs {NAMES} ['name']."),
        ({"on_event": 5}, "on_event must be a function that takes an event, not 5."),
    ],
    ids=str,
)
def test_options_of_a_run_in_another_shape_are_refused(options: Any, problem: str):
    workflow = WorkflowBuilder()
    workflow.add_node(greet, "a", {"name": "Ada"})

    with pytest.raises(ParameterError) as caught:
        LocalRuntime().execute(workflow, **options)

    assert caught.value.problem_text() == problem
