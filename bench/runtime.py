"""What needs no server: runs of empty nodes, build(), imports and declarations."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx

from bench.data import Sizes
from bench.fresh import run_fresh
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from dataflow import LocalRuntime, WorkflowBuilder, node

CHAIN, FAN = 100, 1_000
IMPORTED = "import time; begun = time.perf_counter(); import {}; print(time.perf_counter() - begun)"


class RuntimeBench(NamedTuple):
    """How much is measured, and a folder for compiled modules."""

    sizes: Sizes
    bytecode: Path

    def versions(self) -> list[str]:
        return [f"networkx {nx.__version__}"]


@contextmanager
def open_runtime(_runner: asyncio.Runner, sizes: Sizes) -> Iterator[RuntimeBench]:
    """Make the folder for the time of the measurements."""
    with tempfile.TemporaryDirectory(prefix="dataflow-bench-") as folder:
        yield RuntimeBench(sizes, Path(folder))


@node(pure=True)
async def bench_no_op(value: int) -> dict[str, int]:
    """Return the value."""
    return {"value": value}


def _chain() -> WorkflowBuilder:
    builder = WorkflowBuilder("chain")
    last = builder.add_node(bench_no_op, "step_0", {"value": 0})
    for number in range(1, CHAIN):
        last = builder.add_node(bench_no_op, f"step_{number}", {"value": last["value"]})
    return builder


def _fan() -> WorkflowBuilder:
    builder = WorkflowBuilder("fan")
    for number in range(FAN):
        builder.add_node(bench_no_op, f"step_{number}", {"value": number})
    return builder


def chain(bench: RuntimeBench) -> Contest:
    runtime, built = LocalRuntime(), _chain().build()

    async def by_hand() -> None:
        outputs = {"step_0": await bench_no_op(value=0)}
        for number in range(1, CHAIN):
            value = outputs[f"step_{number - 1}"]["value"]
            outputs[f"step_{number}"] = await bench_no_op(value=value)

    async def ours() -> None:
        await runtime.execute_async(built)

    contestants = (Contestant(BASELINE, by_hand), Contestant(OURS, ours))
    return Contest(contestants, calls=20, rounds=bench.sizes.single, items=CHAIN)


def fan(bench: RuntimeBench) -> Contest:
    runtime, built = LocalRuntime(), _fan().build()

    async def by_hand() -> None:
        await asyncio.gather(*(bench_no_op(value=number) for number in range(FAN)))

    async def ours() -> None:
        await runtime.execute_async(built)

    contestants = (Contestant(BASELINE, by_hand), Contestant(OURS, ours))
    return Contest(contestants, calls=3, rounds=bench.sizes.single, items=FAN)


def _graph(pairs: list[tuple[int, int]], size: int) -> None:
    graph: Any = nx.DiGraph()
    for number in range(size):
        graph.add_node(number, inputs={"value": number})
    graph.add_edges_from(pairs)
    list(nx.topological_sort(graph))


def build(
    bench: RuntimeBench,
    make: Callable[[], WorkflowBuilder],
    pairs: list[tuple[int, int]],
    size: int,
) -> Contest:
    """Adding the nodes counts, too."""
    contestants = (
        Contestant(BASELINE, partial(_graph, pairs, size)),
        Contestant(OURS, lambda: make().build()),
    )
    return Contest(contestants, calls=2, rounds=bench.sizes.single)


def imports(bench: RuntimeBench) -> Contest:
    """Modules are compiled before the first round."""
    run = partial(run_fresh, bytecode=bench.bytecode)
    run("-c", IMPORTED.format("dataflow"))
    contestants = tuple(
        Contestant(name, partial(run, "-c", IMPORTED.format(modules)))
        for name, modules in (
            (BASELINE, "sqlalchemy.ext.asyncio, pydantic"),
            (OURS, "dataflow"),
        )
    )
    return Contest(contestants, rounds=bench.sizes.fresh, reports=True)


def declarations(bench: RuntimeBench) -> Contest:
    def taken_by(who: str) -> Callable[[], float]:
        return lambda: run_fresh("-m", "bench.declarations", who, str(bench.sizes.models))

    contestants = (Contestant(BASELINE, taken_by("raw")), Contestant(OURS, taken_by("ours")))
    return Contest(contestants, rounds=min(3, bench.sizes.fresh), reports=True)


_LINE = [(number, number + 1) for number in range(CHAIN - 1)]
MEASURES = (
    Measure("chain", "chain of 100 no-op nodes, per node (a loop)", 6.0, chain, "us"),
    Measure("fan", "fan of 1,000 no-op nodes, per node (gather)", 6.0, fan, "us"),
    Measure(
        "build_chain", "add_node and build() of a chain of 100 (networkx)", 3.0,
        partial(build, make=_chain, pairs=_LINE, size=CHAIN), "ms",
    ),
    Measure(
        "build_fan", "add_node and build() of a fan of 1,000 (networkx)", 25.0,
        partial(build, make=_fan, pairs=[], size=FAN), "ms",
    ),
    Measure("import", "import dataflow (sqlalchemy + pydantic = 1)", 1.6, imports),
    Measure("declare", "500 models and the first query (SQLAlchemy ORM)", 2.5, declarations, "s"),
)  # fmt: skip
