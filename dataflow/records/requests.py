"""Requests that nodes and verbs share: checked once, the same for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dataflow.errors import ParameterError, UnfilteredWriteError, did_you_mean, shown
from dataflow.models.spec import ModelSpec
from dataflow.query.filters import EMPTY, Filter
from dataflow.query.sort import parse_sort
from dataflow.records.listing import ListRequest
from dataflow.records.related import parse_names
from dataflow.records.store import Store

__all__ = [
    "check_bulk_create",
    "check_count",
    "check_options",
    "conflict_fields",
    "field_names",
    "link_names",
    "list_request",
    "where_many",
    "where_some",
]


def field_names(spec: ModelSpec, names: Any, what: str = "fields") -> tuple[str, ...] | None:
    """Return names of fields, checked against the model; None stays None."""
    parsed = parse_names(names, what)
    for name in parsed or ():
        spec.field(name)
    return parsed


def link_names(store: Store, names: Any) -> tuple[str, ...]:
    """Return names of links, checked against the model."""
    parsed = parse_names(names, "include") or ()
    store.related.check(parsed)
    return parsed


def list_request(store: Store, options: Mapping[str, Any]) -> ListRequest:
    """Return the checked request that a list call's options mean.

    Raises:
        ParameterError: For a limit below 1 or an offset below 0.
    """
    limit, offset = options.get("limit", 100), options.get("offset") or 0
    check_count("limit", limit, least=1, advise="limit=None returns all records")
    check_count("offset", offset, least=0)
    sort, include = options.get("sort"), options.get("include")
    return ListRequest(
        where=store.where(options.get("filter")),
        sort=() if sort is None else parse_sort(store.spec, sort),
        limit=limit,
        offset=offset,
        after=options.get("after"),
        fields=field_names(store.spec, options.get("fields")),
        include=() if include is None else link_names(store, include),
        count=_counting(options.get("count")),
        include_deleted=bool(options.get("include_deleted")),
    )


def _counting(value: Any) -> bool | Literal["estimate"]:
    if value == "estimate":
        return "estimate"
    if isinstance(value, str):
        raise ParameterError(problem=f"count must be True, False or 'estimate' (got {value!r}).")
    return bool(value)


def check_options(options: Mapping[str, Any], known: type, verb: str) -> None:
    """Refuse options that a verb does not have.

    Raises:
        ParameterError: Naming the nearest one.
    """
    for name in options:
        if name not in known.__annotations__:
            raise ParameterError(
                problem=f"{verb}() has no option {name!r}.",
                advise=did_you_mean(name, known.__annotations__),
            )


def check_count(name: str, value: Any, *, least: int, advise: str | None = None) -> None:
    """Refuse what is no whole number in range; None is allowed.

    Raises:
        ParameterError: Naming the option.
    """
    if value is None:
        return
    if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**62:
        return
    highest = " to 2**62" if isinstance(value, int) and value >= 2**62 else ""
    problem = f"{name} must be a whole number from {least}{highest} (got {shown(value)})."
    raise ParameterError(problem=problem, advise=advise)


def where_some(store: Store, filter: Any, verb: str) -> Filter:
    """Return the filter of a write, which must not be empty.

    Raises:
        UnfilteredWriteError: If it matches everything.
    """
    where = store.where(filter)
    if not where.shape:
        raise UnfilteredWriteError(verb=verb, model=store.spec.name)
    return where


def where_many(store: Store, options: Mapping[str, Any], verb: str) -> Filter:
    """Return the filter that `filter`, `ids` and `all` of a bulk write mean.

    Raises:
        UnfilteredWriteError: If nothing is chosen and `all` is not True.
    """
    ids, given = options.get("ids"), options.get("filter")
    if ids is not None and given is not None:
        raise ParameterError(problem=f"{verb} takes ids or a filter, not both.")
    if ids is not None:
        return _where_ids(store, ids)
    if options.get("all") is True and not given:
        return EMPTY
    return where_some(store, given, verb)


def _where_ids(store: Store, ids: Sequence[Any]) -> Filter:
    key = store.spec.key
    if len(key) == 1:
        return store.where({key[0]: {"$in": ids}})
    keys = [dict(zip(key, i, strict=True)) if isinstance(i, tuple | list) else i for i in ids]
    return store.where({"$or": keys} if keys else {key[0]: {"$in": []}})


def check_bulk_create(options: Mapping[str, Any]) -> None:
    """Check that the options of a bulk create go together.

    Raises:
        ParameterError: Naming the option.
    """
    _check_choice(options, "on_conflict", ("error", "skip"))
    _check_choice(options, "on_error", ("abort", "collect"))
    _check_choice(options, "returning", (None, "ids", "records"))
    check_count("batch_size", options.get("batch_size"), least=1)
    if options.get("returning") and options.get("on_conflict") == "skip":
        raise ParameterError(problem="returning cannot be combined with on_conflict='skip'.")


def _check_choice(options: Mapping[str, Any], name: str, choices: tuple[Any, ...]) -> None:
    if name in options and options[name] not in choices:
        options_text = ", ".join(map(repr, choices))
        raise ParameterError(
            problem=f"{name} must be one of {options_text} (got {options[name]!r})."
        )


def conflict_fields(spec: ModelSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bulk upsert's options with checked tuples of names.

    Raises:
        ParameterError: If `conflict_on` is not unique.
    """
    _check_choice(options, "on_conflict", ("update", "ignore"))
    check_count("batch_size", options.get("batch_size"), least=1)
    chosen = field_names(spec, options.get("conflict_on"), "conflict_on")
    if chosen is not None and set(chosen) not in [set(names) for names in spec.unique_sets]:
        sets = ", ".join(" + ".join(names) for names in spec.unique_sets)
        raise ParameterError(
            problem=f"conflict_on={list(chosen)} is not unique.",
            advise=f"unique fields of {spec.name!r} are: {sets}",
        )
    update = field_names(spec, options.get("update_fields"), "update_fields")
    return {**options, "conflict_on": chosen, "update_fields": update}
