"""Which operators, stages, accumulators and expressions took part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

FILTERS = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$between", "$exists", "$null",
    "$regex", "$options", "$like", "$ilike", "$startswith", "$endswith", "$contains", "$icontains",
    "$size", "$all", "$elemMatch", "$not", "$and", "$or", "$nor", "$date",
)  # fmt: skip
STAGES = (
    "$match", "$group", "$project", "$addFields", "$sort", "$limit", "$skip", "$count", "$unwind",
    "$lookup", "$facet", "$bucket", "$sortByCount", "$distinct",
)  # fmt: skip
ACCUMULATORS = (
    "$sum", "$avg", "$min", "$max", "$count", "$first", "$last", "$push", "$addToSet",
    "$stdDevPop", "$stdDevSamp",
)  # fmt: skip
EXPRESSIONS = (
    "$add", "$subtract", "$multiply", "$divide", "$mod", "$round", "$abs", "$concat", "$toUpper",
    "$toLower", "$substr", "$cond", "$ifNull", "$switch", "$dateTrunc", "$year", "$month",
    "$dayOfMonth", "$hour", "$size", "$in", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$and",
    "$or", "$not", "$literal", "$$ROOT",
)  # fmt: skip


def names_in(value: Any) -> Iterator[str]:
    """Yield each operator inside a filter or an expression."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key.startswith("$"):
                yield key
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)
    elif value == "$$ROOT":
        yield value


def count_filter(filter: Mapping[str, Any], counts: Counter[str]) -> None:
    counts.update(f"filter {name}" for name in names_in(filter))


def count_pipeline(pipeline: list[dict[str, Any]], counts: Counter[str]) -> None:
    for stage in pipeline:
        ((name, options),) = stage.items()
        if name in STAGES:
            counts[f"stage {name}"] += 1
            _count_stage(name, options, counts)
        else:
            _count_fields({"value": stage}, counts)


def _count_stage(name: str, options: Any, counts: Counter[str]) -> None:
    if name == "$match":
        count_filter(options, counts)
    elif name == "$facet":
        for part in options.values():
            count_pipeline(part, counts)
    elif name == "$group":
        _count_expression(options["_id"], counts)
        _count_fields({key: item for key, item in options.items() if key != "_id"}, counts)
    elif name == "$bucket":
        _count_expression(options["groupBy"], counts)
        _count_fields(options.get("output", {}), counts)
    else:
        _count_expression(options, counts)


def _count_fields(fields: Mapping[str, Any], counts: Counter[str]) -> None:
    for accumulator in fields.values():
        ((name, inner),) = accumulator.items()
        counts[f"accumulator {name}"] += 1
        _count_expression(inner, counts)


def _count_expression(value: Any, counts: Counter[str]) -> None:
    counts.update(f"expression {name}" for name in names_in(value))


def table(counts: Counter[str], kind: str, names: tuple[str, ...]) -> str:
    return " ".join(f"{name} {counts[f'{kind} {name}']}" for name in names)


def missing(counts: Counter[str], kind: str, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not counts[f"{kind} {name}"]]
