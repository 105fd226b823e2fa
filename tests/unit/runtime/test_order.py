"""Order from edges and data: the same answer as one by one, only sooner."""

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import LocalRuntime, Node, WorkflowBuilder
from dataflow.nodes.effects import PURE, UNKNOWN, Effects
from dataflow.runtime.order import find_cycle, find_hazards, serial_order

RESOURCES = "xyz"


def effects(reads: Iterable[str] = "", writes: Iterable[str] = "") -> Effects:
    return Effects(
        frozenset((None, name) for name in reads), frozenset((None, name) for name in writes)
    )


some_effects = st.one_of(
    st.just(UNKNOWN),
    st.builds(effects, st.sets(st.sampled_from(RESOURCES)), st.sets(st.sampled_from(RESOURCES))),
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], set[tuple[str, str]], dict[str, Effects]]:
    """Steps as written, edges that form no cycle but may go against the writing, effects."""
    ids = [f"s{number}" for number in range(draw(st.integers(1, 9)))]
    towards = draw(st.permutations(ids))
    pairs = [(a, b) for place, a in enumerate(towards) for b in towards[place + 1 :]]
    edges = draw(st.sets(st.sampled_from(pairs), max_size=6)) if pairs else set()
    return ids, edges, {step: draw(some_effects) for step in ids}


def written_order(ids: list[str], edges: set[tuple[str, str]]) -> list[str]:
    """The first as written of those that wait for none, again and again."""
    done: list[str] = []
    while len(done) < len(ids):
        done.append(
            next(
                step
                for step in ids
                if step not in done and all(a in done for a, b in edges if b == step)
            )
        )
    return done


def conflict(one: Effects, other: Effects) -> bool:
    if PURE in (one, other):
        return False
    if one.unknown or other.unknown:
        return True
    touched = other.reads | other.writes
    return bool(one.writes & touched or other.writes & one.reads)


@given(graphs())
def test_the_serial_order_moves_steps_only_where_an_edge_demands_it(graph: Any):
    ids, edges, _ = graph

    assert serial_order(ids, edges) == written_order(ids, edges)


@given(graphs())
def test_two_steps_that_conflict_never_overlap(graph: Any):
    ids, edges, effect = graph
    order = serial_order(ids, edges)
    ways = nx.DiGraph([*edges, *find_hazards(order, effect)])
    ways.add_nodes_from(ids)
    ways = nx.transitive_closure(ways)

    unordered = [
        (a, b)
        for place, a in enumerate(order)
        for b in order[place + 1 :]
        if conflict(effect[a], effect[b]) and not ways.has_edge(a, b)
    ]
    assert unordered == []


@given(graphs())
def test_hazards_follow_the_serial_order_and_bind_only_what_conflicts(graph: Any):
    ids, edges, effect = graph
    order = serial_order(ids, edges)

    hazards = find_hazards(order, effect)

    wrong = [
        (a, b)
        for a, b in hazards
        if order.index(a) >= order.index(b) or not conflict(effect[a], effect[b])
    ]
    assert wrong == []
    assert len(set(hazards)) == len(hazards)


def node_for(step: str, effect: Effects, pauses: int, store: dict[str, str]) -> type[Node]:
    """A node that reads, lets others run, and writes what it read with its own name."""

    async def run(_self: Any, **_inputs: Any) -> dict[str, Any]:
        touched = RESOURCES if effect.unknown else sorted(name for _, name in effect.reads)
        written = RESOURCES if effect.unknown else sorted(name for _, name in effect.writes)
        seen = {name: store[name] for name in touched}
        for _ in range(pauses):
            await asyncio.sleep(0)
        for name in written:
            store[name] = f"{step}({store[name]}{sorted(seen.values())})"
        return seen

    return type(step, (Node,), {"run": run, "effects": effect})


@settings(deadline=None, max_examples=60)
@given(graphs(), st.data(), st.sampled_from([None, 1, 2]))
def test_a_run_gives_the_answer_of_running_the_nodes_one_by_one(
    graph: Any, data: st.DataObject, limit: int | None
):
    ids, edges, effect = graph
    pauses = {step: data.draw(st.integers(0, 4)) for step in ids}

    def outcome(order: list[str], ways: set[tuple[str, str]]) -> tuple[Any, Any]:
        store = dict.fromkeys(RESOURCES, "")
        builder = WorkflowBuilder()
        for step in order:
            builder.add_node(node_for(step, effect[step], pauses[step], store), step)
        for source, target in sorted(ways):
            builder.add_connection(source, target)
        run = LocalRuntime(limit).execute_async(builder)
        results, _ = asyncio.run(run)
        return dict(sorted(results.items())), store

    serial = written_order(ids, edges)
    chain = set(itertools.pairwise(serial))

    assert outcome(ids, edges) == outcome(serial, chain)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([effects("x"), effects("x")], []),
        ([effects("", "x"), effects("x")], [("a", "b")]),
        ([effects("x"), effects("", "x")], [("a", "b")]),
        ([effects("", "x"), effects("", "x")], [("a", "b")]),
        ([effects("", "x"), effects("", "y")], []),
        ([UNKNOWN, effects("x")], [("a", "b")]),
        ([UNKNOWN, PURE], []),
        ([PURE, UNKNOWN], []),
        ([UNKNOWN, UNKNOWN], [("a", "b")]),
        ([effects("", "x"), effects("x"), effects("x")], [("a", "b"), ("a", "c")]),
        ([effects("x"), effects("x"), effects("", "x")], [("a", "c"), ("b", "c")]),
        ([effects("", "x"), effects("x"), effects("", "x")], [("a", "b"), ("b", "c")]),
    ],
)
def test_hazards_are_those_of_a_processor(written: list[Effects], expected: list[tuple[str, str]]):
    names = "abc"[: len(written)]

    assert find_hazards(names, dict(zip(names, written, strict=True))) == expected


def test_without_a_cycle_none_is_found():
    assert find_cycle("abc", {("a", "b"), ("b", "c"), ("a", "c")}) == []


@given(st.sets(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde"))))
def test_a_cycle_is_found_exactly_when_there_is_one(edges: set[tuple[str, str]]):
    acyclic = nx.is_directed_acyclic_graph(nx.DiGraph(list(edges)))

    cycle = find_cycle("abcde", edges)

    assert (cycle == []) is acyclic
    assert set(itertools.pairwise(cycle)) <= edges
    assert cycle[:1] == cycle[-1:]
    assert len(set(cycle)) == max(len(cycle) - 1, 0)
