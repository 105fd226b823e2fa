"""I3: filters and pipelines that are very deep or very wide are refused, and nothing dies."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.faults.case import Case, Verdict
from bench.faults.world import Leaks, World
from dataflow import DataFlow
from dataflow.errors import (
    ConnectionLostError,
    DataFlowError,
    SchemaDriftError,
    StatementError,
)

MEMORY_BYTES = 3 << 30
LONGEST_S, HANGS_S = 5.0, 30
DEPTHS, WIDTHS = (33, 500, 5_000), (1_001, 100_000)


class Shape(NamedTuple):
    """A way to make a query large.

    Attributes:
        ask: Runs a query of a size.
        accepted: Sizes that need not be refused, because they cost nothing.
    """

    name: str
    ask: Callable[[Any, int], Any]
    accepted: tuple[int, ...] = ()


def _nested(size: int, wrap: Callable[[Any], Any], core: Any) -> Any:
    for _ in range(size):
        core = wrap(core)
    return core


def _filter(make: Callable[[int], Any]) -> Callable[[Any, int], Any]:
    return lambda query, size: query.where(make(size)).count()


def _stage(make: Callable[[int], Any]) -> Callable[[Any, int], Any]:
    return lambda query, size: query.aggregate([make(size)])


def _project(make: Callable[[int], Any]) -> Callable[[Any, int], Any]:
    return _stage(lambda size: {"$project": {"x": make(size)}})


def _path(size: int) -> str:
    return "extra" + ".a" * size


def _not(item: Any) -> Any:
    return {"$not": item}


DEEP_FILTERS = (
    *(Shape(operator, _filter(lambda size, operator=operator: _nested(
        size, lambda item: {operator: [item]}, {"name": "a"})))
      for operator in ("$and", "$or", "$nor")),
    Shape("$not", _filter(lambda size: _nested(size, _not, {"name": "a"}))),
    Shape("$not of a field", _filter(lambda size: {"name": _nested(size, _not, {"$eq": "a"})})),
    Shape("$not of JSON", _filter(lambda size: {"extra.a": _nested(size, _not, {"$eq": 1})})),
    Shape("$elemMatch of values", _filter(lambda size: {"extra.a": _nested(
        size, lambda item: {"$elemMatch": item}, {"$gt": 1})})),
    Shape("$elemMatch of objects", _filter(lambda size: {"extra.a": {"$elemMatch": _nested(
        size, lambda item: {"a": {"$elemMatch": item}}, {"a": 1})}})),
    Shape("$not in $elemMatch", _filter(
        lambda size: {"extra.a": {"$elemMatch": {"a": _nested(size, _not, {"$gt": 1})}}})),
    Shape("$and in $elemMatch", _filter(lambda size: {"extra.a": {"$elemMatch": _nested(
        size, lambda item: {"$and": [item]}, {"a": 1})}})),
    Shape("compared object", _filter(
        lambda size: {"extra.a": _nested(size, lambda item: {"x": item}, 1)})),
    Shape("list in $in", _filter(
        lambda size: {"extra.a": {"$in": [_nested(size, lambda item: [item], 1)]}})),
    Shape("list for a text", _filter(
        lambda size: {"name": {"$in": [_nested(size, lambda item: [item], 1)]}})),
    Shape("path", _filter(lambda size: {_path(size): 1})),
)  # fmt: skip

DEEP_PIPELINES = (
    Shape("$match", _stage(lambda size: {"$match": _nested(
        size, lambda item: {"$and": [item]}, {"name": "a"})})),
    Shape("$expr", _stage(lambda size: {"$match": {"$expr": _nested(
        size, lambda item: {"$add": [item, 1]}, "$rank")}})),
    Shape("$cond", _project(lambda size: _nested(
        size, lambda item: {"$cond": [True, item, 1]}, "$rank"))),
    Shape("$ifNull", _project(lambda size: _nested(
        size, lambda item: {"$ifNull": [item, 1]}, "$rank"))),
    Shape("$switch", _project(lambda size: _nested(size, lambda item: {"$switch": {
        "branches": [{"case": True, "then": item}], "default": 1}}, "$rank"))),
    Shape("$literal", _project(lambda size: {"$literal": _nested(size, lambda item: [item], 1)}),
          (33, 500)),
    Shape("$group key", _stage(lambda size: {"$group": {"_id": _nested(
        size, lambda item: {"a": item}, "$rank")}})),
    Shape("$facet", lambda query, size: query.aggregate(_nested(
        size, lambda item: [{"$facet": {"a": item}}], []))),
    Shape("name in $addFields", _stage(lambda size: {"$addFields": {"x" + ".a" * size: 1}}), (33,)),
    Shape("path in $project", _stage(lambda size: {"$project": {_path(size): 1}})),
    Shape("path in an expression", _project(lambda size: f"${_path(size)}")),
    Shape("path in $sort", _stage(lambda size: {"$sort": {_path(size): 1}})),
    Shape("path in $unwind", _stage(lambda size: {"$unwind": f"${_path(size)}"})),
    Shape("path in $group", _stage(lambda size: {"$group": {"_id": f"${_path(size)}"}})),
)  # fmt: skip

WIDE = (
    Shape("$or", _filter(lambda size: {"$or": [{"name": str(n)} for n in range(size)]})),
    Shape("keys", _filter(lambda size: {f"extra.a{n}": 1 for n in range(size)})),
    Shape("$or in $elemMatch", _filter(
        lambda size: {"extra.a": {"$elemMatch": {"$or": [{"a": n} for n in range(size)]}}})),
    Shape("$all", _filter(lambda size: {"extra.a": {"$all": list(range(size))}})),
    Shape("objects in $in", _filter(
        lambda size: {"extra.a": {"$in": [{"a": n} for n in range(size)]}})),
    Shape("$or in $expr", _stage(lambda size: {"$match": {"$expr": {
        "$or": [{"$eq": ["$rank", n]} for n in range(size)]}}})),
    Shape("$add", _project(lambda size: {"$add": ["$rank"] * size})),
    Shape("$concat", _project(lambda size: {"$concat": ["$name"] * size})),
    Shape("$ifNull", _project(lambda size: {"$ifNull": ["$rank"] * size})),
    Shape("$switch", _project(lambda size: {"$switch": {
        "branches": [{"case": True, "then": "$rank"}] * size, "default": 1}}), (1_001,)),
    Shape("list", _project(lambda size: ["$rank"] * size)),
    Shape("$project", _stage(lambda size: {"$project": {f"x{n}": "$rank" for n in range(size)}}),
          (1_001,)),
    Shape("$addFields", _stage(
        lambda size: {"$addFields": {f"x{n}": "$rank" for n in range(size)}}), (1_001,)),
    Shape("$group", _stage(lambda size: {"$group": {
        "_id": None, **{f"x{n}": {"$sum": "$rank"} for n in range(size)}}}), (1_001,)),
    Shape("$facet", _stage(lambda size: {"$facet": {f"x{n}": [] for n in range(size)}}), (1_001,)),
    Shape("$sort", _stage(lambda size: {"$sort": {f"extra.a{n}": 1 for n in range(size)}})),
    Shape("stages", lambda query, size: query.aggregate([{"$skip": 1}] * size)),
    Shape("boundaries", _stage(lambda size: {"$bucket": {
        "groupBy": "$rank", "boundaries": list(range(size)), "default": -1}})),
)  # fmt: skip

PLAIN = (
    Shape("$in of 100,000", _filter(lambda size: {"name": {"$in": [str(n) for n in range(size)]}}),
          WIDTHS),
    Shape("100 stages", lambda query, _: query.aggregate(
        [{"$addFields": {"x": {"$add": ["$rank", 1]}}}] * 100), WIDTHS),
    Shape("32 levels", lambda query, _: query.where(_nested(
        31, lambda item: {"$and": [item]}, {"name": "a"})).count(), WIDTHS),
)  # fmt: skip


def _open(url: str) -> DataFlow:
    db = DataFlow(url)

    @db.model(timestamps=False)
    class Item:
        id: int
        name: str
        rank: int | None
        extra: dict[str, Any] | None

    return db


def _runs(share: float) -> Iterator[tuple[Shape, int]]:
    for shapes, sizes in (
        (DEEP_FILTERS, DEPTHS), (DEEP_PIPELINES, DEPTHS), (WIDE, WIDTHS), (PLAIN, WIDTHS[1:]),
    ):  # fmt: skip
        for shape in shapes:
            for size in sizes:
                if share == 1 or size != WIDTHS[1]:
                    yield shape, size


def _judge(query: Any, shape: Shape, size: int) -> tuple[str, str | None]:
    """Return what came out, and what is wrong about it."""
    try:
        shape.ask(query, size)
    except DataFlowError as error:
        late = isinstance(error, StatementError | SchemaDriftError | ConnectionLostError)
        text = str(error)  # which must work for any value
        return "refused", f"refused by the database alone: {text[:150]}" if late else None
    except BaseException as error:  # noqa: BLE001 - told in the verdict
        return "died", f"{type(error).__name__}: {str(error)[:100]}"
    return "ran", None if size in shape.accepted else "was not refused"


class _HangsError(BaseException):
    """Raised by the alarm in the thread that waits."""


def _alarm(*_: object) -> None:
    raise _HangsError


def large_queries(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _alarm)
    db = _open(url)
    db.create("Item", name="a", rank=1, extra={"a": [1]})
    query, refused, ran, slowest = db.query("Item"), 0, 0, 0.0
    for shape, size in _runs(world.share):
        begun = time.perf_counter()
        signal.alarm(HANGS_S)
        outcome, wrong = _judge(query, shape, size)
        signal.alarm(0)
        seconds = time.perf_counter() - begun
        if seconds > HANGS_S - 1:  # its thread works on: nothing else can be measured
            verdict.problems.append(f"{shape.name}, {size:,}: no end after {HANGS_S} s")
            return verdict
        refused, ran = refused + (outcome == "refused"), ran + (outcome == "ran")
        slowest = max(slowest, seconds)
        verdict.require(wrong is None, f"{shape.name}, {size:,}: {wrong}")
        verdict.require_time(seconds <= LONGEST_S, f"{shape.name}, {size:,}: {seconds:.1f} s")
    verdict.require(query.count() == 1, "the record is gone")
    verdict.figures = {"refused": refused, "ran": ran, "slowest_s": round(slowest, 1)}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("I3", "filters and pipelines 33 to 5,000 deep, 1,001 to 100,000 wide", large_queries,
         limit_s=600),
)  # fmt: skip
